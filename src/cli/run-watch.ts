/** `run --watch`: a round whenever the image file has changed. */

import { setTimeout as sleep } from "node:timers/promises";
import { printJson, progressLine, tell } from "./console.ts";
import { type ExitCode, exitCodes } from "./exit.ts";
import { imageAt, waitForImage } from "./image-watch.ts";
import { withOutcome } from "./outcome.ts";
import { describeCommandEnd, runShell } from "./run-end.ts";
import type { RunRequest } from "./run-request.ts";
import { isBoxThere } from "./run-world.ts";
import { lookUp } from "./user-home.ts";

const boxPauseMs = 2000;
/** A command that ends well and brings no box back is run so often, each time for the timeout. */
const powerCommandsMax = 3;

/**
 * Runs now and after each change, until the signal aborts. What ends a round does not end the watch:
 * the next image may be better.
 */
export async function watchRuns(
  requests: readonly RunRequest[],
  path: string,
  round: () => Promise<ExitCode>,
  signal: AbortSignal,
): Promise<ExitCode> {
  const isJson = requests.some((request) => request.isJson);
  const world = imageAt(path, signal);
  let known: string | null = null;
  return await withOutcome({ isJson, signal }, async () => {
    for (let n = 1; !signal.aborted; n++) {
      progressLine.show(`Waiting for ${path} to be written ...`);
      try {
        known = await waitForImage(world, known, ({ pid, name }) => {
          tell(`${path} is open for writing by ${name || "a process"} (${pid}); waiting.`);
        });
        progressLine.clear();
        if (n > 1) await Promise.all(requests.map((request) => waitForBox(request, signal)));
      } catch (error) {
        // Between two rounds nothing is under way that could be interrupted.
        if (signal.aborted) break;
        throw error;
      }
      if (isJson) printJson({ event: "round", round: n });
      else tell(`Round ${n}, ${new Date().toLocaleTimeString()}: ${path}`);
      const code = await round();
      if (code === exitCodes.interrupted) return code;
      if (!isJson) tell(`Waiting for ${path} to change. Ctrl-C ends.`);
    }
    return exitCodes.ok;
  });
}

/** A round may have left the machine with the image running, or off. */
async function waitForBox(
  { box, powerCommand, timeoutMs }: RunRequest,
  signal: AbortSignal,
): Promise<void> {
  const isThere = async () => {
    try {
      const { home, place } = await lookUp(box, signal);
      return await isBoxThere(place, home, signal);
    } catch {
      signal.throwIfAborted();
      return false;
    }
  };
  const isBackWithin = async (ms: number) => {
    const endMs = performance.now() + ms;
    while (!(await isThere())) {
      if (performance.now() > endMs) return false;
      await sleep(boxPauseMs, undefined, { signal });
    }
    return true;
  };
  if (await isThere()) return;
  for (let n = 1; powerCommand !== undefined && n <= powerCommandsMax; n++) {
    tell(`${box} is not back yet: ${powerCommand}`);
    const end = await runShell(powerCommand, { DISKOMATOR_BOX: box }, signal);
    if (end.exitCode !== 0) {
      tell(`The power command ${describeCommandEnd(end)}.`);
      break;
    }
    if (await isBackWithin(timeoutMs)) return;
  }
  tell(`${box} is not back yet; waiting for it. Reboot or reset the system that runs on it now.`);
  await isBackWithin(Number.POSITIVE_INFINITY);
}
