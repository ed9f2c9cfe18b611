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

/** How a port of the machine answers. */
export type Acceptance =
  | "no"
  /** A connection is accepted; behind a forwarded port it is not ended at once, either. */
  | "accepted"
  /** Something has come from there. */
  | "speaks";

/** What there is to ask, and the time. */
export interface RunWorld {
  /** Resolves when the channel to the box has ended. */
  readonly left: Promise<void>;
  /** @param within how long the answer is of use, and until when */
  ask(within: Within): Promise<Answer>;
  /** Whether the machine accepts connections. */
  accepts(port: number, within: Within): Promise<Acceptance>;
  /** Whether it is somebody else who accepts them, whatever the machine does. */
  isForwarded(port: number): boolean;
  /** Resolves with the first line of its console from now on that has a match. */
  shows(pattern: RegExp): Promise<string>;
  /** Where the machine is looked for. */
  readonly address: string;
  nowMs(): number;
  sleep(ms: number): Promise<void>;
}

/** Bounds of what is asked. */
export interface Within {
  readonly ms: number;
  /** Aborted when nobody waits for the answer any more. */
  readonly over: AbortSignal;
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
  const restMs = () => Math.max(0, timeoutMs - afterMs());
  while (leftMs === null && restMs() > 0) {
    signal.throwIfAborted();
    await Promise.race([left, world.sleep(Math.min(pauseMs, restMs()))]);
  }
  // What the box itself writes as it goes does not count.
  const shown =
    leftMs !== null && condition.kind === "text"
      ? world.shows(condition.pattern).then((line) => ({ kind: "shown" as const, line }))
      : never;
  // A console that fails when nobody waits for it any more is nobody's concern.
  shown.catch(() => {});
  while (leftMs !== null && restMs() > 0) {
    signal.throwIfAborted();
    const accepted =
      condition.kind === "port"
        ? await world.accepts(condition.port, { ms: restMs(), over })
        : ("no" as const);
    const answer = await Promise.race([shown, world.ask({ ms: restMs(), over })]);
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
    if (isMet(condition, answer, run, { accepted, isForwarded: world.isForwarded })) {
      const met = { afterMs: afterMs(), address: world.address };
      onPhase("met", met.afterMs);
      return { leftMs, met, returned: null };
    }
    await Promise.race([shown, world.sleep(Math.min(pauseMs, restMs()))]);
  }
  return { leftMs, met: null, returned: null };
}

const never = new Promise<never>(() => {});

function isMet(
  condition: Condition,
  answer: Answer,
  run: string,
  port: { readonly accepted: Acceptance; readonly isForwarded: RunWorld["isForwarded"] },
): boolean {
  const isImage =
    answer.kind === "other" || (answer.kind === "box" && answer.state.underTest === run);
  if (condition.kind === "ssh") return isImage;
  if (condition.kind !== "port" || port.accepted === "no") return false;
  if (isImage) return true;
  // A forwarder accepts though nobody is behind it; only what is there can say something.
  const isProven = port.accepted === "speaks" || !port.isForwarded(condition.port);
  return answer.kind === "silent" && isProven;
}
