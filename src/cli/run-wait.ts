/** The wait of `run`: asks again and again, through what it is given, until the run is over. */

import type { BootState } from "../rpc/index.ts";
import type { Condition, Seen } from "./run-condition.ts";

/** What answers where the box was. */
export type Answer =
  | { readonly kind: "box"; readonly state: BootState }
  /** Another system: it has SSH, and is not the box. */
  | { readonly kind: "other" }
  /** SSH is there, and who it is could not be found out yet. */
  | { readonly kind: "undecided" }
  | { readonly kind: "silent" };

/** What there is to ask, and the time. */
export interface RunWorld {
  /** Resolves when the channel to the box has ended. */
  readonly left: Promise<void>;
  /** @param over aborted when nobody waits for the answer any more */
  ask(over: AbortSignal): Promise<Answer>;
  /** Whether the machine accepts connections. */
  accepts(port: number): Promise<boolean>;
  /** Resolves with the first line of its console from now on that has a match. */
  shows(pattern: RegExp): Promise<string>;
  /** Where the machine is looked for. */
  readonly address: string;
  nowMs(): number;
  sleep(ms: number): Promise<void>;
}

/** What the wait is about. */
export interface RunWait {
  readonly run: string;
  readonly condition: Condition;
  readonly timeoutMs: number;
  readonly onPhase: (phase: "left" | "met" | "returned", afterMs: number) => void;
  readonly signal: AbortSignal;
}

const pauseMs = 1000;

/** @throws the signal's reason */
export async function waitForRun(world: RunWorld, wait: RunWait): Promise<Seen> {
  const over = new AbortController();
  try {
    return await waitUntilOver(world, wait, over.signal);
  } finally {
    over.abort();
  }
}

async function waitUntilOver(world: RunWorld, wait: RunWait, over: AbortSignal): Promise<Seen> {
  const { run, condition, timeoutMs, onPhase, signal } = wait;
  const startMs = world.nowMs();
  const afterMs = () => world.nowMs() - startMs;
  let leftMs: number | null = null;
  const left = world.left.then(() => {
    leftMs ??= afterMs();
    onPhase("left", leftMs);
  });
  while (leftMs === null && afterMs() < timeoutMs) {
    signal.throwIfAborted();
    await Promise.race([left, world.sleep(pauseMs)]);
  }
  // What the box itself writes as it goes does not count.
  const shown =
    leftMs !== null && condition.kind === "text"
      ? world.shows(condition.pattern).then((line) => ({ kind: "shown" as const, line }))
      : never;
  while (leftMs !== null && afterMs() < timeoutMs) {
    signal.throwIfAborted();
    const isAccepted = condition.kind === "port" && (await world.accepts(condition.port));
    const answer = await Promise.race([shown, world.ask(over)]);
    signal.throwIfAborted();
    if (answer.kind === "shown") {
      const met = { afterMs: afterMs(), address: world.address, line: answer.line };
      onPhase("met", met.afterMs);
      return { leftMs, met, returned: null };
    }
    if (answer.kind === "box" && answer.state.lastRun?.run === run) {
      const returned = { afterMs: afterMs(), state: answer.state };
      onPhase("returned", returned.afterMs);
      return { leftMs, met: null, returned };
    }
    if (isMet(condition, answer, run, isAccepted)) {
      const met = { afterMs: afterMs(), address: world.address };
      onPhase("met", met.afterMs);
      return { leftMs, met, returned: null };
    }
    await Promise.race([shown, world.sleep(pauseMs)]);
  }
  return { leftMs, met: null, returned: null };
}

const never = new Promise<never>(() => {});

function isMet(condition: Condition, answer: Answer, run: string, isAccepted: boolean): boolean {
  const isImage =
    answer.kind === "other" || (answer.kind === "box" && answer.state.underTest === run);
  if (condition.kind === "ssh") return isImage;
  return condition.kind === "port" && isAccepted && (isImage || answer.kind === "silent");
}
