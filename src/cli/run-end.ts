/** The end of a run: the user's commands, and what is told. */

import { spawn } from "node:child_process";
import { formatSeconds } from "../flash/index.ts";
import type { RunReport } from "../rpc/index.ts";
import { type ExitCode, exitCodes } from "./exit.ts";
import { describeReport, type Seen, type Verdict } from "./run-condition.ts";
import type { RunRequest, Times } from "./run-request.ts";
import { rememberTold } from "./told-runs.ts";

/** How a command of the user's ended. */
export interface CommandEnd {
  /** Null where a signal ended it. */
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** What became of a run. */
export interface RunEnd {
  readonly run: string;
  /** Kernel name and serial number. */
  readonly disk: string;
  readonly serial: string;
  /** Where the machine was seen last. */
  readonly address: string;
  readonly verdict: Verdict;
  readonly seen: Seen;
  /** How the box comes back. */
  readonly back: string;
  readonly times: Times;
  /** Null where none was run. */
  readonly command: CommandEnd | null;
  /** The last lines of its console, if somebody listened. */
  readonly shown: readonly string[];
}

/**
 * Runs a command of the user's by the shell; what it prints is no data of ours.
 * @throws the signal's reason
 */
export async function runShell(
  command: string,
  env: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<CommandEnd> {
  const options = { env: { ...process.env, ...env }, signal };
  const child = spawn("sh", ["-c", command], { ...options, stdio: ["ignore", 2, 2] });
  const end = await new Promise<CommandEnd>((resolve) => {
    child.once("error", () => resolve({ exitCode: exitCodes.failure, signal: null }));
    child.once("close", (exitCode, by) => resolve({ exitCode, signal: by }));
  });
  signal.throwIfAborted();
  return end;
}

/** `ended with 9`. */
export function describeCommandEnd({ exitCode, signal }: CommandEnd): string {
  return signal === null ? `ended with ${exitCode}` : `was ended by ${signal}`;
}

/** Tells it, and gives the exit code. */
export async function tellEnd(request: RunRequest, end: RunEnd): Promise<ExitCode> {
  const { isJson, exec, voice } = request;
  const { verdict, seen, back, times, command, shown } = end;
  const hasFailed = command !== null && command.exitCode !== 0;
  const exitCode = hasFailed ? exitCodes.failure : verdict.exitCode;
  const report = seen.returned?.state.lastRun ?? null;
  const text = hasFailed
    ? `${verdict.text} "${exec}" ${describeCommandEnd(command)}.`
    : verdict.text;
  const outcome = hasFailed ? "command-failed" : verdict.outcome;
  if (report !== null) await rememberTold(report);
  if (isJson) {
    const { isBooted } = verdict;
    const what = { outcome, exitCode, isBooted, message: text };
    voice.json({ event: "result", ...what, ...fieldsOf(request, end) });
    return exitCode;
  }
  if (verdict.outcome !== "met" && shown.length > 0) {
    voice.tell("The last lines of its console:");
    for (const line of shown) voice.tell(`  ${line}`);
  }
  if (report !== null) {
    for (const line of [...describeReport(report), describeRound(report)]) voice.tell(line);
  }
  voice.line(`${text}  ${describeTimes(times, seen)}`);
  if (seen.returned === null) voice.tell(back);
  return exitCode;
}

/** What programs need not read out of sentences. */
function fieldsOf({ box }: RunRequest, end: RunEnd): Readonly<Record<string, unknown>> {
  const { run, disk, serial, address, verdict, seen, back, times, command, shown } = end;
  const about = { box, disk, serial, run, address, command, seconds: times };
  const line = seen.met?.line === undefined ? {} : { line: seen.met.line };
  const last = verdict.outcome === "met" || shown.length === 0 ? {} : { console: shown };
  if (seen.returned === null) return { ...about, ...line, ...last, back };
  const { lastRun, firmwareMs, loaderMs } = seen.returned.state;
  return { ...about, ...line, ...last, report: lastRun, firmwareMs, loaderMs };
}

/** How often the machine booted, and for how long the box was gone. */
function describeRound({ boots, startedAt, returnedAt }: RunReport): string {
  const goneMs = Date.parse(returnedAt) - Date.parse(startedAt);
  const counted =
    boots === null ? "Boots: not counted by this firmware" : `Boots: ${boots}, the box's included`;
  // The clock of a machine may be set meanwhile.
  return goneMs > 0
    ? `${counted}; it was gone for ${formatSeconds(goneMs / 1000)}.`
    : `${counted}.`;
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
