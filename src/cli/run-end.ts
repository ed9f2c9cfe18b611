/** The end of a run: the user's commands, and what is told. */

import { spawn } from "node:child_process";
import { formatSeconds } from "../flash/index.ts";
import { type ExitCode, exitCodes } from "./exit.ts";
import { describeReport, type Seen, type Verdict } from "./run-condition.ts";
import type { RunRequest, Times } from "./run-perform.ts";

/** What became of a run. */
export interface RunEnd {
  readonly verdict: Verdict;
  readonly seen: Seen;
  /** How the box comes back. */
  readonly back: string;
  readonly times: Times;
  /** Exit code of the user's command; null where none was run. */
  readonly command: number | null;
}

/**
 * Runs a command of the user's by the shell; what it prints is no data of ours.
 * @returns its exit code
 * @throws the signal's reason
 */
export async function runShell(
  command: string,
  env: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<number> {
  const options = { env: { ...process.env, ...env }, signal };
  const child = spawn("sh", ["-c", command], { ...options, stdio: ["ignore", 2, 2] });
  const code = await new Promise<number>((resolve) => {
    child.once("error", () => resolve(exitCodes.failure));
    child.once("close", (end) => resolve(end ?? exitCodes.failure));
  });
  signal.throwIfAborted();
  return code;
}

/** Tells it, and gives the exit code. */
export function tellEnd({ isJson, exec, voice }: RunRequest, end: RunEnd): ExitCode {
  const { verdict, seen, back, times, command } = end;
  const hasFailed = command !== null && command !== 0;
  const exitCode = hasFailed ? exitCodes.failure : verdict.exitCode;
  const report = seen.returned?.state.lastRun ?? null;
  const text = hasFailed ? `${verdict.text} "${exec}" ended with ${command}.` : verdict.text;
  const isBack = seen.returned !== null;
  if (isJson) {
    const outcome = hasFailed ? "command-failed" : verdict.outcome;
    const { firmwareMs, loaderMs } = seen.returned?.state ?? { firmwareMs: null, loaderMs: null };
    const more = isBack ? { report, firmwareMs, loaderMs } : { back };
    const { isBooted } = verdict;
    const what = { outcome, exitCode, isBooted, message: text, seconds: times };
    voice.json({ event: "result", ...what, ...more });
    return exitCode;
  }
  for (const line of report === null ? [] : describeReport(report)) voice.tell(line);
  voice.line(`${text}  ${describeTimes(times, seen)}`);
  if (!isBack) voice.tell(back);
  return exitCode;
}

function describeTimes(times: Times, { leftMs, returned }: Seen): string {
  const down = leftMs === null ? 0 : leftMs / 1000;
  const firmwareMs = returned?.state.firmwareMs ?? null;
  const loaderMs = returned?.state.loaderMs ?? null;
  const parts = [
    ...(times.flash === undefined ? [] : [`flash ${formatSeconds(times.flash)}`]),
    ...(leftMs === null ? [] : [`shutdown ${formatSeconds(down)}`]),
    `boot ${formatSeconds((times.boot ?? 0) - down)}`,
    ...(firmwareMs === null ? [] : [`of this the firmware ${formatSeconds(firmwareMs / 1000)}`]),
    ...(loaderMs === null ? [] : [`the loader ${formatSeconds(loaderMs / 1000)}`]),
    ...(times.power === undefined ? [] : [`after the reset ${formatSeconds(times.power)}`]),
    ...(times.command === undefined ? [] : [`command ${formatSeconds(times.command)}`]),
  ];
  return parts.join(", ");
}
