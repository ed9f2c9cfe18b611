/** One round of `run`: look, write, boot once, wait, tell. */

import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import {
  BoxError,
  type BoxErrorCode,
  type BoxSession,
  type Home,
  openSession,
  type Place,
} from "../box/index.ts";
import { formatSeconds } from "../flash/index.ts";
import { pickDisk, purposeOf, wordsOf } from "./box-target.ts";
import { printJson, tell } from "./console.ts";
import { type ExitCode, exitCodes, RefusedError } from "./exit.ts";
import { stampOf } from "./image-watch.ts";
import { exitCodeOfError, messageOf, withOutcome } from "./outcome.ts";
import {
  type Condition,
  describeCondition,
  describeTwins,
  judgeRun,
  type Seen,
  wayBack,
} from "./run-condition.ts";
import { type ConsoleSource, RunConsole } from "./run-console.ts";
import { type RunEnd, runShell, tellEnd } from "./run-end.ts";
import { describePassedOver, refuseKexec } from "./run-kexec.ts";
import type { RunVoice } from "./run-voice.ts";
import { waitForRun } from "./run-wait.ts";
import { machineOf } from "./run-world.ts";
import { lookUp } from "./user-home.ts";

/** What is to be done, as it was read. */
export interface RunRequest {
  readonly box: string;
  readonly disk: string | undefined;
  readonly condition: Condition;
  /** Where the text of a condition comes from. */
  readonly console: ConsoleSource | null;
  readonly address: string | undefined;
  readonly timeoutMs: number;
  /** Resets the machine. */
  readonly powerCommand: string | undefined;
  readonly exec: string | undefined;
  /** The box starts the disk's kernel itself. */
  readonly isKexec: boolean;
  /** The entry is put at the end of the boot order for the run. */
  readonly isAppended: boolean;
  /** The machine is switched on first. */
  readonly isWoken: boolean;
  readonly noReturn: boolean;
  readonly isForced: boolean;
  readonly isJson: boolean;
  readonly voice: RunVoice;
}

/** How the image gets to the disk. */
export interface ImageWrite {
  /** Null for what is no file. */
  readonly path: string | null;
  write(): Promise<ExitCode>;
}

/** How long each part took, in seconds. */
export type Times = Record<string, number>;

/** Asked so often whether a machine that was switched on is a box. */
const wakePauseMs = 2000;

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
  const gone = new Map<RunRequest, string>();
  const body = async (): Promise<ExitCode> => {
    const found = await Promise.all(requests.map((request) => lookFirst(request, signal)));
    const times: Times = {};
    if (write !== undefined) {
      const startMs = performance.now();
      const code = await writeWhole(write);
      times.flash = since(startMs);
      if (code !== exitCodes.ok) {
        tell("Nothing was booted.");
        return code;
      }
    }
    const bootOne = async ({ request, home, place }: (typeof found)[number]) => {
      // A box ends sessions that say nothing for as long as a flash may take.
      await using session = await openSession(place, { home, signal });
      const machine = { session, home, place, times: { ...times }, signal };
      return await bootOnce(request, machine, (state) => gone.set(request, state));
    };
    const [only, ...others] = found;
    if (only !== undefined && others.length === 0) return await bootOne(only);
    const codes = await Promise.all(
      found.map(async (one) => await withOneOutcome(one.request, signal, () => bootOne(one))),
    );
    signal.throwIfAborted();
    return tellAll(requests, codes, isJson);
  };
  const state = () => (gone.size === 0 ? undefined : [...gone.values()].join("\n"));
  return await withOutcome({ isJson, signal }, body, state);
}

/** A box that would come back, and nothing that speaks against booting its disk. */
async function lookFirst(request: RunRequest, signal: AbortSignal) {
  request.voice.progress(`Looking for ${request.box} ...`);
  const { home, place, session: first } = await reach(request, signal);
  await using session = first;
  request.voice.progress(null);
  await look(session, request, signal);
  return { request, home, place };
}

/** One of several boxes fails alone. */
async function withOneOutcome(
  { voice, isJson }: RunRequest,
  signal: AbortSignal,
  body: () => Promise<ExitCode>,
): Promise<ExitCode> {
  try {
    return await body();
  } catch (error) {
    signal.throwIfAborted();
    const exitCode = exitCodeOfError(error);
    const message = messageOf(error);
    if (isJson) voice.json({ event: "result", outcome: "failed", exitCode, message });
    else voice.tell(message);
    return exitCode;
  }
}

/** As `flash` has it: a code of its own when only some failed. */
function tellAll(
  requests: readonly RunRequest[],
  codes: readonly ExitCode[],
  isJson: boolean,
): ExitCode {
  const failed = codes.filter((code) => code !== exitCodes.ok);
  const [first = exitCodes.ok] = failed;
  const isSame = failed.every((code) => code === first) ? first : exitCodes.failure;
  const isPartial = failed.length > 0 && failed.length < codes.length;
  const exitCode = isPartial ? exitCodes.partial : isSame;
  const outcome = failed.length === 0 ? "met" : "failed";
  const boxes = requests.map(({ box }, n) => ({ box, exitCode: codes[n] }));
  if (isJson) printJson({ event: "result", outcome, exitCode, boxes });
  else tell(`${codes.length - failed.length} of ${codes.length} boxes: it was so.`);
  return exitCode;
}

/** What is said of a machine that is off. */
const awayCodes: readonly BoxErrorCode[] = ["no-such-box", "unreachable", "timeout"];

/** The box, switched on if that is wanted. */
async function reach(
  { box, isWoken, timeoutMs, voice }: RunRequest,
  signal: AbortSignal,
): Promise<{ readonly home: Home; readonly place: Place; readonly session: BoxSession }> {
  const open = async () => {
    const { home, place } = await lookUp(box, signal);
    return { home, place, session: await openSession(place, { home, signal }) };
  };
  try {
    return await open();
  } catch (error) {
    const isAway = error instanceof BoxError && awayCodes.includes(error.code);
    if (!isWoken || !isAway || signal.aborted) throw error;
  }
  const { wakeBox } = await import("./wake-box.ts");
  const { addresses } = await wakeBox(box, null);
  voice.tell(`${box} does not answer; it was woken at ${addresses.join(", ")}.`);
  for (const startMs = performance.now(); ; await sleep(wakePauseMs, undefined, { signal })) {
    try {
      return await open();
    } catch (error) {
      signal.throwIfAborted();
      if (performance.now() - startMs > timeoutMs) throw error;
      voice.progress(`Waiting for ${box} to wake up ...`);
    }
  }
}

/** What is written must be one image: not half of this and half of that. */
async function writeWhole({ path, write }: ImageWrite): Promise<ExitCode> {
  const before = path === null ? null : await stampOf(path);
  const code = await write();
  if (code !== exitCodes.ok || before === null || path === null) return code;
  if ((await stampOf(path)) === before) return code;
  throw new RefusedError(
    `${path} was changed while it was written: what is on the disk now may be neither what it was ` +
      "nor what it is. Nothing was booted; run the same command again.",
  );
}

/** What speaks against it, before anything is written. */
async function look(
  session: BoxSession,
  { noReturn, isForced, isKexec, disk: wanted, box, voice }: RunRequest,
  signal: AbortSignal,
): Promise<void> {
  const { grants } = await pickDisk(session, wanted, signal);
  const [writer] = grants.filter(({ mode }) => mode === "rw");
  if (writer !== undefined && !isForced) {
    throw new RefusedError(
      `Cannot boot ${box} now: ${wordsOf(writer)}. End that first, or use --force.`,
    );
  }
  const state = await session.call("bootState", {}, { signal });
  const { comeback, secureBoot } = state;
  if (isKexec) refuseKexec(box, state);
  if (!comeback.certain && !noReturn) {
    throw new RefusedError(
      `${box} would not come back by itself: ${comeback.text}. Put its medium first in the ` +
        "firmware's boot order and boot it again; --no-return boots the disk all the same.",
    );
  }
  if (secureBoot) {
    voice.tell(
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
  const { condition, isJson, timeoutMs, disk: wanted, noReturn, isKexec, voice } = request;
  const { session, place, times, signal } = machine;
  const { disk } = await pickDisk(session, wanted, signal);
  await using text = request.console === null ? null : await RunConsole.open(request.console);
  const id = randomUUID();
  const purpose = purposeOf(process.argv[2] ?? "");
  // A box that does not know the word must not be asked in it when it is not needed.
  const words = {
    ...(isKexec ? { kexec: true } : {}),
    ...(request.isAppended ? { appendEntry: true } : {}),
  };
  const params = { disk: disk.name, run: id, noReturn, purpose, ...words };
  const prepared = await session.call("bootOnce", params, { signal });
  const back = wayBack(place.name, prepared.comeback);
  onGone(`${place.name} boots ${disk.name} now. ${back}`);
  if (isJson) voice.json({ event: "booting", disk: disk.name, ...prepared });
  else {
    const how = isKexec ? "starts the kernel of" : "boots";
    voice.tell(`${place.name} ${how} ${prepared.path} of ${disk.serial || disk.name} once.`);
    for (const line of describePassedOver(prepared)) voice.tell(line);
    for (const line of describeTwins(prepared)) voice.tell(line);
  }
  const world = machineOf({
    ...machine,
    address: request.address,
    shows: (pattern) => text?.find(pattern) ?? Promise.withResolvers<never>().promise,
  });
  const wait = (what: Condition) => {
    voice.progress(`Waiting for ${describeCondition(what)} ...`);
    return waitForRun(world, {
      run: id,
      condition: what,
      timeoutMs,
      signal,
      onPhase: (phase, afterMs) => {
        if (isJson) voice.json({ event: "phase", phase, seconds: afterMs / 1000 });
        else if (phase === "left")
          voice.tell(`The box went down after ${formatSeconds(afterMs / 1000)}.`);
        voice.progress(`Waiting for ${describeCondition(what)} ...`);
      },
    });
  };
  const startMs = performance.now();
  let seen = await wait(condition);
  voice.progress(null);
  times.boot = since(startMs);
  seen = await usePower(request, seen, place.name, wait, times, signal);
  const verdict = judgeRun(condition, seen, timeoutMs);
  const address = seen.met?.address ?? world.address;
  const env = { DISKOMATOR_ADDRESS: address, DISKOMATOR_BOX: place.name };
  const command = await runCommandOf(request, verdict.outcome === "met", env, times, signal);
  const end: RunEnd = { verdict, seen, back, times, command };
  return tellEnd(request, end);
}

/** A system that comes to no end is ended, and the box waited for once more. */
async function usePower(
  { powerCommand, isJson, voice }: RunRequest,
  seen: Seen,
  box: string,
  wait: (condition: Condition) => Promise<Seen>,
  times: Times,
  signal: AbortSignal,
): Promise<Seen> {
  const isOver = seen.met !== null || seen.returned !== null || seen.leftMs === null;
  if (isOver || powerCommand === undefined) return seen;
  const startMs = performance.now();
  voice.tell(`${box} is not back, and the time is over: ${powerCommand}`);
  const code = await runShell(powerCommand, { DISKOMATOR_BOX: box }, signal);
  if (isJson) voice.json({ event: "power-command", code });
  if (code !== 0) {
    voice.tell(`The power command ended with ${code}.`);
    return seen;
  }
  const { returned } = await wait({ kind: "return" });
  times.power = since(startMs);
  return { ...seen, returned, isPowerUsed: true };
}

/** Exit code of the user's command; null where none was run. */
async function runCommandOf(
  { exec }: RunRequest,
  isMet: boolean,
  env: Readonly<Record<string, string>>,
  times: Times,
  signal: AbortSignal,
): Promise<number | null> {
  if (exec === undefined || !isMet) return null;
  const startMs = performance.now();
  const code = await runShell(exec, env, signal);
  times.command = since(startMs);
  return code;
}

function since(startMs: number): number {
  return (performance.now() - startMs) / 1000;
}
