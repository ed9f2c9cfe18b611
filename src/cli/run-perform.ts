/** One round of `run`: look, write, and let each box boot its disk once. */

import { openSession } from "../box/index.ts";
import { printJson, tell } from "./console.ts";
import { type ExitCode, exitCodes, RefusedError } from "./exit.ts";
import { stampOf } from "./image-watch.ts";
import { exitCodeOfAll, exitCodeOfError, messageOf, withOutcome } from "./outcome.ts";
import { bootOnce } from "./run-boot.ts";
import { lookFirst } from "./run-look.ts";
import type { Found, ImageWrite, RunRequest, Times } from "./run-request.ts";

/**
 * Boots a disk of each box once and waits, after the image was written to all of them, if there is one.
 * What speaks against one of them speaks against all, before anything is written; from the boot on
 * each goes its own way.
 */
export async function performRuns(
  requests: readonly RunRequest[],
  signal: AbortSignal,
  write?: ImageWrite,
): Promise<ExitCode> {
  const isJson = requests.some((request) => request.isJson);
  const left = new LeftBehind();
  const body = async (): Promise<ExitCode> => {
    const look = { isWritten: write !== undefined, signal };
    const found = await Promise.all(requests.map((request) => lookFirst(request, look)));
    const times: Times = {};
    if (write !== undefined) {
      const startMs = performance.now();
      const code = await writeWhole(write, found);
      times.flash = (performance.now() - startMs) / 1000;
      if (code !== exitCodes.ok) {
        tell("Nothing was booted.");
        return code;
      }
    }
    const bootOne = async (one: Found) => {
      const { request, home, place } = one;
      // A box ends sessions that say nothing for as long as a flash may take.
      await using session = await openSession(place, { home, signal });
      const machine = { session, times: { ...times }, signal };
      return await bootOnce(one, machine, (state) => left.say(request, state));
    };
    const [only, ...others] = found;
    if (only !== undefined && others.length === 0) return await bootOne(only);
    const codes = await Promise.all(
      found.map(async (one) => await withOneOutcome(one.request, left, signal, () => bootOne(one))),
    );
    signal.throwIfAborted();
    return tellAll(requests, codes, isJson);
  };
  return await withOutcome({ isJson, signal }, body, () => left.all());
}

/** What becomes of boxes that nobody waits for any more. */
class LeftBehind {
  readonly #states = new Map<RunRequest, string>();

  /** @param state null: it is back, or has not gone */
  say(request: RunRequest, state: string | null): void {
    if (state === null) this.#states.delete(request);
    else this.#states.set(request, state);
  }

  /** Of one of them, which is not told again. */
  take(request: RunRequest): string | undefined {
    const state = this.#states.get(request);
    this.#states.delete(request);
    return state;
  }

  all(): string | undefined {
    return this.#states.size === 0 ? undefined : [...this.#states.values()].join("\n");
  }
}

/** One of several boxes fails alone. */
async function withOneOutcome(
  request: RunRequest,
  left: LeftBehind,
  signal: AbortSignal,
  body: () => Promise<ExitCode>,
): Promise<ExitCode> {
  const { voice, isJson } = request;
  try {
    return await body();
  } catch (error) {
    signal.throwIfAborted();
    const exitCode = exitCodeOfError(error);
    const state = left.take(request);
    const message = state === undefined ? messageOf(error) : `${messageOf(error)} ${state}`;
    if (isJson) voice.json({ event: "result", outcome: "failed", exitCode, message });
    else voice.tell(message);
    return exitCode;
  }
}

function tellAll(
  requests: readonly RunRequest[],
  codes: readonly ExitCode[],
  isJson: boolean,
): ExitCode {
  const exitCode = exitCodeOfAll(codes);
  const outcome = exitCode === exitCodes.ok ? "met" : "failed";
  const boxes = requests.map(({ box }, n) => ({ box, exitCode: codes[n] }));
  const met = codes.filter((code) => code === exitCodes.ok);
  if (isJson) printJson({ event: "result", outcome, exitCode, boxes });
  else tell(`${met.length} of ${codes.length} boxes met the condition.`);
  return exitCode;
}

/** What is written must be one image: not half of this and half of that. */
async function writeWhole({ path, write }: ImageWrite, found: readonly Found[]): Promise<ExitCode> {
  const before = path === null ? null : await stampOf(path);
  const code = await write(found);
  if (code !== exitCodes.ok || before === null || path === null) return code;
  if ((await stampOf(path)) === before) return code;
  throw new RefusedError(
    `${path} was changed while it was written: what is on the disk now may be neither what it was ` +
      "nor what it is. Nothing was booted; run the same command again.",
  );
}
