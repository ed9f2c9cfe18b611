/** A disk of one box is booted once, and waited for. */

import { randomUUID } from "node:crypto";
import type { BoxSession } from "../box/index.ts";
import { formatSeconds } from "../flash/index.ts";
import { type Result, RpcError } from "../rpc/index.ts";
import { purposeOf } from "./box-target.ts";
import type { ExitCode } from "./exit.ts";
import {
  type Condition,
  describeCondition,
  describeTwins,
  judgeRun,
  type Seen,
  wayBack,
} from "./run-condition.ts";
import { RunConsole } from "./run-console.ts";
import { type CommandEnd, describeCommandEnd, runShell, tellEnd } from "./run-end.ts";
import { describePassedOver } from "./run-kexec.ts";
import { lookAgain } from "./run-look.ts";
import type { Found, RunRequest, Times } from "./run-request.ts";
import { waitForRun } from "./run-wait.ts";
import { machineOf } from "./run-world.ts";

/** What is at hand for it. */
export interface Machine {
  readonly session: BoxSession;
  readonly times: Times;
  readonly signal: AbortSignal;
}

/** @param onLeft what to say when it ends now; null when there is nothing to say */
export async function bootOnce(
  found: Found,
  machine: Machine,
  onLeft: (state: string | null) => void,
): Promise<ExitCode> {
  const { request, home, place } = found;
  const { condition, isJson, timeoutMs, voice } = request;
  const { session, times, signal } = machine;
  await using heard = request.console === null ? null : await RunConsole.open(request.console);
  const run = randomUUID();
  const { disk, comeback } = await lookAgain(session, found, signal);
  const back = wayBack(place.name, comeback);
  onLeft(
    `${place.name} was told to boot ${disk.name}, and had not answered: it may boot it now. ${back}`,
  );
  await order(session, found, run, { signal, onRefused: () => onLeft(null) });
  onLeft(`${place.name} boots ${disk.name} now. ${back}`);
  const world = machineOf({
    session,
    home,
    place,
    address: request.address,
    shows: (pattern) => heard?.find(pattern) ?? Promise.withResolvers<never>().promise,
    signal,
  });
  // Where a line of it is waited for, its end is that of the run.
  if (condition.kind !== "text") heard?.failed.catch((error) => voice.tell(error.message));
  const wait = (what: Condition) => {
    voice.progress(`Waiting for ${describeCondition(what)} ...`);
    return waitForRun(world, {
      run,
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
  if (seen.returned !== null) onLeft(null);
  const verdict = judgeRun(condition, seen, timeoutMs);
  const address = seen.met?.address ?? world.address;
  const env = { DISKOMATOR_ADDRESS: address, DISKOMATOR_BOX: place.name };
  const command = await runCommandOf(request, verdict.outcome === "met", env, times, signal);
  const shown = heard?.lastLines() ?? [];
  const about = { run, disk: disk.name, serial: disk.serial, address };
  return await tellEnd(request, { ...about, verdict, seen, back, times, command, shown });
}

/** Tells the box, which goes after its answer. */
async function order(
  session: BoxSession,
  { request, disk: { nqn, name, serial }, place }: Found,
  run: string,
  { signal, onRefused }: { readonly signal: AbortSignal; readonly onRefused: () => void },
): Promise<void> {
  const { noReturn, isKexec, isAppended, isJson, voice } = request;
  const purpose = purposeOf(process.argv[2] ?? "");
  // A box that does not know the word must not be asked in it when it is not needed.
  const words = {
    ...(isKexec ? { kexec: true } : {}),
    ...(isAppended ? { appendEntry: true } : {}),
  };
  let prepared: Result<"bootOnce">;
  try {
    const params = { disk: nqn, run, noReturn, purpose, ...words };
    prepared = await session.call("bootOnce", params, { signal });
  } catch (error) {
    // What the box itself answers is that it stays.
    if (error instanceof RpcError && !unknownEnds.includes(error.code)) onRefused();
    throw error;
  }
  if (isJson) {
    voice.json({ event: "booting", run, disk: name, ...prepared });
    return;
  }
  const how = isKexec ? "starts the kernel of" : "boots";
  voice.tell(`${place.name} ${how} ${prepared.path} of ${serial || name} once.`);
  for (const line of describePassedOver(prepared)) voice.tell(line);
  for (const line of describeTwins(prepared)) voice.tell(line);
}

/** After these nobody knows whether it was done. */
const unknownEnds: readonly string[] = ["closed", "protocol"];

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
  const end = await runShell(powerCommand, { DISKOMATOR_BOX: box }, signal);
  if (isJson) voice.json({ event: "power-command", ...end });
  if (end.exitCode !== 0) {
    voice.tell(`The power command ${describeCommandEnd(end)}.`);
    return seen;
  }
  const { returned } = await wait({ kind: "return" });
  times.power = since(startMs);
  return { ...seen, returned, isPowerUsed: true };
}

/** How the user's command ended; null where none was run. */
async function runCommandOf(
  { exec }: RunRequest,
  isMet: boolean,
  env: Readonly<Record<string, string>>,
  times: Times,
  signal: AbortSignal,
): Promise<CommandEnd | null> {
  if (exec === undefined || !isMet) return null;
  const startMs = performance.now();
  const end = await runShell(exec, env, signal);
  times.command = since(startMs);
  return end;
}

function since(startMs: number): number {
  return (performance.now() - startMs) / 1000;
}
