/** `diskomator run` and `boot`: a disk of a box is booted once, and the box comes back. */

import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { type BoxSession, type Home, openSession, type Place } from "../box/index.ts";
import { formatSeconds } from "../flash/index.ts";
import { pickDisk, purposeOf, wordsOf } from "./box-target.ts";
import { type Command, readOptions } from "./command.ts";
import { printJson, printLine, progressLine, tell } from "./console.ts";
import { type ExitCode, exitCodes, RefusedError, UsageError } from "./exit.ts";
import { withOutcome } from "./outcome.ts";
import {
  type Condition,
  describeCondition,
  describeReport,
  judgeRun,
  parseUntil,
  type Seen,
  type Verdict,
  wayBack,
} from "./run-condition.ts";
import { waitForRun } from "./run-wait.ts";
import { machineOf } from "./run-world.ts";
import { parseTarget } from "./target-address.ts";
import { lookUp } from "./user-home.ts";

const optionHelp = `  --until return      until the box is back (default)
  --until ssh         until the system on the disk answers by SSH
  --until port:N      until it accepts TCP connections on this port
  --address ADDRESS   where that system is, if not at the address of the box
  --timeout SECONDS   how long to wait for any of these (default 600)
  --exec COMMAND      what the shell runs when that is so; the address is in $DISKOMATOR_ADDRESS
  --no-return         even if the box will not come back by itself
  --force             even while another host may write to a disk of the box
  --json              JSON lines; the last one is the result

Exit codes: 0 it is so, and COMMAND succeeded; 1 the box came back without it, or after a crash, or
COMMAND failed; 4 refused, nothing was booted; 6 the box did not come back, and how it will is said.`;

const runHelp = `Usage: diskomator run IMAGE BOX[:DISK] [OPTIONS]

Writes an image to a disk of a box, as flash does, boots it once, and waits.

${optionHelp}

Further options are those of flash: --confirm SERIAL, --yes, --grow, --key FILE, --require-checksum,
--long, --no-tls.

Example: diskomator run my-os.raw lunch-feta --yes --until ssh --exec ./test-suite`;

const bootHelp = `Usage: diskomator boot BOX:DISK [OPTIONS]

Boots what is on a disk of a box once, and waits.

${optionHelp}

Example: diskomator boot lunch-feta:S6Z1NJ0W1 --until ssh`;

const ownOptions = {
  until: { type: "string", default: "return" },
  address: { type: "string" },
  timeout: { type: "string", default: "600" },
  exec: { type: "string" },
  "no-return": { type: "boolean", default: false },
  force: { type: "boolean", default: false },
  json: { type: "boolean", default: false },
} as const;

/** Options that go to flash as they are; each run is verified. */
const flashOptions = {
  confirm: { type: "string", multiple: true },
  yes: { type: "boolean", default: false },
  grow: { type: "boolean", default: false },
  key: { type: "string" },
  "require-checksum": { type: "boolean", default: false },
  long: { type: "boolean", default: false },
  "no-tls": { type: "boolean", default: false },
} as const;

/** What is to be done, as it was read. */
interface RunRequest {
  readonly target: string;
  readonly box: string;
  readonly disk: string | undefined;
  readonly condition: Condition;
  readonly address: string | undefined;
  readonly timeoutMs: number;
  readonly exec: string | undefined;
  readonly noReturn: boolean;
  readonly isForced: boolean;
  readonly isJson: boolean;
}

/** Writes an image and boots it once. */
export const run: Command = {
  help: runHelp,
  async run({ args, signal }) {
    const { values, positionals } = readOptions(args, { ...ownOptions, ...flashOptions }, 2);
    const [image, target] = positionals;
    if (image === undefined || target === undefined)
      throw new UsageError("Name an image and a box.");
    const request = readRequest(target, values);
    const words = Object.keys(flashOptions).flatMap((name) => {
      const value = values[name as keyof typeof flashOptions];
      if (typeof value === "boolean") return value ? [`--${name}`] : [];
      return [value ?? []].flat().flatMap((one) => [`--${name}`, one]);
    });
    if (request.isJson) words.push("--json");
    return await perform(request, signal, async () => {
      const { flash } = await import("./flash.ts");
      return await flash.run({ args: [image, target, ...words], signal });
    });
  },
};

/** Boots what is on a disk once. */
export const boot: Command = {
  help: bootHelp,
  async run({ args, signal }) {
    const { values, positionals } = readOptions(args, ownOptions, 1);
    const [target] = positionals;
    if (target === undefined) throw new UsageError("Name a box and its disk.");
    return await perform(readRequest(target, values), signal);
  },
};

function readRequest(
  target: string,
  values: {
    readonly until: string;
    readonly address?: string | undefined;
    readonly timeout: string;
    readonly exec?: string | undefined;
    readonly "no-return": boolean;
    readonly force: boolean;
    readonly json: boolean;
  },
): RunRequest {
  const parsed = parseTarget(target);
  if (parsed.kind !== "box") {
    throw new UsageError(
      `Only a box can boot a disk and come back: name BOX[:DISK], not ${target}.`,
    );
  }
  if (!/^[1-9]\d{0,5}$/.test(values.timeout)) {
    throw new UsageError(`--timeout takes a number of seconds, not "${values.timeout}".`);
  }
  return {
    target,
    ...{ box: parsed.box, disk: parsed.disk, condition: parseUntil(values.until) },
    ...{ address: values.address, timeoutMs: Number(values.timeout) * 1000, exec: values.exec },
    ...{ noReturn: values["no-return"], isForced: values.force, isJson: values.json },
  };
}

/** How long each part took, in seconds. */
type Times = Record<string, number>;

async function perform(
  request: RunRequest,
  signal: AbortSignal,
  write?: () => Promise<ExitCode>,
): Promise<ExitCode> {
  const { isJson } = request;
  let gone: string | undefined;
  const body = async (): Promise<ExitCode> => {
    const times: Times = {};
    progressLine.show(`Looking for ${request.box} ...`);
    const { home, place } = await lookUp(request.box, signal);
    {
      await using session = await openSession(place, { home, signal });
      progressLine.clear();
      await look(session, request, signal);
    }
    if (write !== undefined) {
      const startMs = performance.now();
      const code = await write();
      times.flash = since(startMs);
      if (code !== exitCodes.ok) {
        tell("Nothing was booted.");
        return code;
      }
    }
    // A box ends sessions that say nothing for as long as a flash may take.
    await using session = await openSession(place, { home, signal });
    return await bootOnce(request, { session, home, place, times, signal }, (state) => {
      gone = state;
    });
  };
  return await withOutcome({ isJson, signal }, body, () => gone);
}

/** What speaks against it, before anything is written. */
async function look(
  session: BoxSession,
  { noReturn, isForced, disk: wanted, box }: RunRequest,
  signal: AbortSignal,
): Promise<void> {
  const { grants } = await pickDisk(session, wanted, signal);
  const [writer] = grants.filter(({ mode }) => mode === "rw");
  if (writer !== undefined && !isForced) {
    throw new RefusedError(
      `Cannot boot ${box} now: ${wordsOf(writer)}. End that first, or use --force.`,
    );
  }
  const { comeback, secureBoot } = await session.call("bootState", {}, { signal });
  if (!comeback.certain && !noReturn) {
    throw new RefusedError(
      `${box} would not come back by itself: ${comeback.text}. Put its medium first in the ` +
        "firmware's boot order and boot it again; --no-return boots the disk all the same.",
    );
  }
  if (secureBoot) {
    tell(
      "Note: Secure Boot is on. The firmware boots only what is signed by a key that it trusts.",
    );
  }
}

interface Machine {
  readonly session: BoxSession;
  readonly home: Home;
  readonly place: Place;
  readonly times: Times;
  readonly signal: AbortSignal;
}

async function bootOnce(
  request: RunRequest,
  machine: Machine,
  onGone: (state: string) => void,
): Promise<ExitCode> {
  const { condition, isJson, timeoutMs, disk: wanted, noReturn } = request;
  const { session, place, times, signal } = machine;
  const { disk } = await pickDisk(session, wanted, signal);
  const id = randomUUID();
  const purpose = purposeOf(process.argv[2] ?? "");
  const params = { disk: disk.name, run: id, noReturn, purpose };
  const prepared = await session.call("bootOnce", params, { signal });
  const back = wayBack(place.name, prepared.comeback);
  onGone(`${place.name} boots ${disk.name} now. ${back}`);
  if (isJson) printJson({ event: "booting", disk: disk.name, ...prepared });
  else tell(`${place.name} boots ${prepared.path} of ${disk.serial || disk.name} once.`);
  const world = machineOf({ ...machine, address: request.address });
  progressLine.show(`Waiting for ${describeCondition(condition)} ...`);
  const startMs = performance.now();
  const seen = await waitForRun(world, {
    ...{ run: id, condition, timeoutMs, signal },
    onPhase: (phase, afterMs) => {
      if (isJson) printJson({ event: "phase", phase, seconds: afterMs / 1000 });
      else if (phase === "left") tell(`The box went down after ${formatSeconds(afterMs / 1000)}.`);
      progressLine.show(`Waiting for ${describeCondition(condition)} ...`);
    },
  });
  progressLine.clear();
  times.boot = since(startMs);
  const verdict = judgeRun(condition, seen, timeoutMs);
  const command = await runCommandOf(request, verdict, seen, world.address, times, signal);
  return tellEnd(request, { verdict, seen, back, times, command });
}

/** Exit code of the user's command; null where none was run. */
async function runCommandOf(
  { exec }: RunRequest,
  { outcome }: Verdict,
  seen: Seen,
  address: string,
  times: Times,
  signal: AbortSignal,
): Promise<number | null> {
  if (exec === undefined || outcome !== "met") return null;
  const startMs = performance.now();
  const env = { ...process.env, DISKOMATOR_ADDRESS: seen.met?.address ?? address };
  // What it prints is no data of ours.
  const child = spawn("sh", ["-c", exec], { env, stdio: ["ignore", 2, 2], signal });
  const code = await new Promise<number>((resolve) => {
    child.once("error", () => resolve(exitCodes.failure));
    child.once("close", (end) => resolve(end ?? exitCodes.failure));
  });
  signal.throwIfAborted();
  times.command = since(startMs);
  return code;
}

interface RunEnd {
  readonly verdict: Verdict;
  readonly seen: Seen;
  /** How the box comes back. */
  readonly back: string;
  readonly times: Times;
  readonly command: number | null;
}

function tellEnd({ isJson, exec }: RunRequest, end: RunEnd): ExitCode {
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
    printJson({ event: "result", outcome, exitCode, message: text, seconds: times, ...more });
    return exitCode;
  }
  for (const line of report === null ? [] : describeReport(report)) tell(line);
  printLine(`${text}  ${describeTimes(times, seen)}`);
  if (!isBack) tell(back);
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
    ...(times.command === undefined ? [] : [`command ${formatSeconds(times.command)}`]),
  ];
  return parts.join(", ");
}

function since(startMs: number): number {
  return (performance.now() - startMs) / 1000;
}
