/** What is done to several boxes at once: told for each of them, and of all at the end. */

import { printJson, printLine, tell } from "./console.ts";
import { type ExitCode, exitCodes, UsageError } from "./exit.ts";
import { exitCodeOfAll, exitCodeOfError, messageOf } from "./outcome.ts";

/** What is to be done to one of them. */
export interface Deed {
  readonly box: string;
  /** @returns what to tell of it to a person, and to a program */
  run(): Promise<{ readonly text: string; readonly fields: Readonly<Record<string, unknown>> }>;
}

/**
 * Boxes as they were named.
 * @throws UsageError for none, and for one that is named twice
 */
export function readBoxes(names: readonly string[]): readonly string[] {
  if (names.length === 0 || names.includes("")) throw new UsageError("Name a box.");
  const twice = names.find((name, n) => names.indexOf(name) < n);
  if (twice === undefined) return names;
  throw new UsageError(`${twice} is named twice. Name it once.`);
}

/**
 * Does it to all of them at the same time. One that fails does not hold up the others; what one of
 * one throws is thrown.
 */
export async function doToEach(
  deeds: readonly Deed[],
  { isJson, signal }: { readonly isJson: boolean; readonly signal: AbortSignal },
): Promise<ExitCode> {
  const [only, ...others] = deeds;
  if (only !== undefined && others.length === 0) {
    const { text, fields } = await only.run();
    const exitCode = exitCodes.ok;
    if (isJson) printJson({ event: "result", outcome: "ok", exitCode, ...fields });
    else printLine(text);
    return exitCode;
  }
  const codes = await Promise.all(deeds.map((deed) => doOne(deed, isJson, signal)));
  const exitCode = exitCodeOfAll(codes);
  const outcome = exitCode === exitCodes.ok ? "ok" : "failed";
  const boxes = deeds.map(({ box }, n) => ({ box, exitCode: codes[n] }));
  if (isJson) printJson({ event: "result", outcome, exitCode, boxes });
  return exitCode;
}

async function doOne({ box, run }: Deed, isJson: boolean, signal: AbortSignal): Promise<ExitCode> {
  try {
    const { text, fields } = await run();
    const exitCode = exitCodes.ok;
    if (isJson) printJson({ event: "box", box, outcome: "ok", exitCode, ...fields });
    else printLine(text);
    return exitCode;
  } catch (error) {
    signal.throwIfAborted();
    const exitCode = exitCodeOfError(error);
    const message = messageOf(error);
    if (isJson) printJson({ event: "box", box, outcome: "failed", exitCode, message });
    else tell(`${box}: ${message}`);
    return exitCode;
  }
}
