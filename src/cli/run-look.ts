/** What `run` and `boot` look at before anything is written, and once more before anything is booted. */

import { setTimeout as sleep } from "node:timers/promises";
import {
  BoxError,
  type BoxErrorCode,
  type BoxSession,
  type Home,
  openSession,
  type Place,
} from "../box/index.ts";
import type { BootState, DiskView, GrantView } from "../rpc/index.ts";
import { isOwnGrant, pickDisk, wordsOf } from "./box-target.ts";
import { RefusedError, UsageError } from "./exit.ts";
import { refuseKexec } from "./run-kexec.ts";
import type { ChosenDisk, Found, RunRequest } from "./run-request.ts";
import { describeUntold, rememberTold } from "./told-runs.ts";
import { lookUp } from "./user-home.ts";

/** Asked so often whether a machine that was switched on is a box. */
const wakePauseMs = 2000;

/**
 * A box that would come back, its disk, and nothing that speaks against booting that.
 * @throws RefusedError, BoxError, RpcError
 */
export async function lookFirst(
  request: RunRequest,
  { isWritten, signal }: { readonly isWritten: boolean; readonly signal: AbortSignal },
): Promise<Found> {
  const { voice, box } = request;
  voice.progress(`Looking for ${box} ...`);
  const { home, place, session: first } = await reach(request, signal);
  await using session = first;
  voice.progress(null);
  refuseForwarder(request, place);
  const { disk, grants } = await pickDisk(session, request.disk, signal);
  refuseWriters(request, grants);
  const state = await session.call("bootState", {}, { signal });
  await tellEarlier(state, request);
  refuseComeback(request, state);
  if (state.secureBoot) {
    voice.tell(
      "Note: Secure Boot is on. The firmware boots only what is signed by a key that it trusts.",
    );
  }
  const chosen = chosenOf(disk, place.name);
  const found = { request, home, place, disk: chosen };
  // What is on the disk that is booted as it is, the box compares itself.
  if (!isWritten) return { ...found, others: [] };
  const { disks } = await session.call("disks", { contents: true }, { signal });
  return { ...found, others: disks.filter((one) => nqnOf(one) !== chosen.nqn) };
}

/**
 * The same disk once more, right before it is booted: writing it may have taken long.
 * @throws RefusedError when somebody may write to a disk of the box now, or when the disk is gone
 */
export async function lookAgain(
  session: BoxSession,
  { request, place, disk: chosen }: Found,
  signal: AbortSignal,
): Promise<{ readonly disk: DiskView; readonly comeback: BootState["comeback"] }> {
  const { disks, grants } = await session.call("disks", {}, { signal });
  const disk = disks.find(
    (one) =>
      nqnOf(one) === chosen.nqn &&
      one.serial === chosen.serial &&
      one.sizeBytes === chosen.sizeBytes,
  );
  if (disk === undefined) {
    throw new RefusedError(
      `The disk ${chosen.serial || chosen.name} of ${place.name} is not there any more, or is ` +
        "another one. Nothing was booted. List the disks again.",
    );
  }
  refuseWriters(request, grants);
  const state = await session.call("bootState", {}, { signal });
  refuseComeback(request, state);
  return { disk, comeback: state.comeback };
}

/**
 * Behind forwarded ports another one that is asked for would be the forwarder's own.
 * @throws UsageError
 */
function refuseForwarder({ condition, address, box }: RunRequest, { ports }: Place): void {
  const isForwarded = [...ports].some(([from, to]) => from !== to);
  if (condition.kind !== "port" || address !== undefined || !isForwarded) return;
  const { port } = condition;
  if (ports.has(port)) return;
  throw new UsageError(
    `${box} is behind forwarded ports, and none leads to its port ${port}: add ` +
      `"${port}" to its ports in boxes.json, or name the machine by --address.`,
  );
}

function chosenOf(disk: DiskView, box: string): ChosenDisk {
  const nqn = nqnOf(disk);
  if (nqn === null) throw new TypeError(`A disk of ${box} that is offered is exported.`);
  const { name, serial, sizeBytes, identity } = disk;
  return { nqn, name, serial, sizeBytes, isWeak: identity.weak };
}

function nqnOf({ state }: DiskView): string | null {
  return state.kind === "exported" ? state.nqn : null;
}

function refuseWriters({ box, isForced }: RunRequest, grants: readonly GrantView[]): void {
  const writer = grants.find((grant) => grant.mode === "rw" && !isOwnGrant(grant));
  if (writer === undefined || isForced) return;
  throw new RefusedError(
    `Cannot boot ${box} now: ${wordsOf(writer)}. End that first, or use --force.`,
  );
}

function refuseComeback({ box, isKexec, noReturn }: RunRequest, state: BootState): void {
  if (isKexec) refuseKexec(box, state);
  if (state.comeback.certain || noReturn) return;
  throw new RefusedError(
    `${box} would not come back by itself: ${state.comeback.text}. Put that entry first in the ` +
      "firmware's boot order and boot it again; --no-return boots the disk all the same.",
  );
}

/** What a run has left that nobody waited for, such as a crash after its condition was met. */
async function tellEarlier({ lastRun }: BootState, { voice, isJson }: RunRequest): Promise<void> {
  const lines = await describeUntold(lastRun);
  if (lastRun === null || lines.length === 0) return;
  if (isJson) voice.json({ event: "earlier-run", report: lastRun });
  else for (const line of lines) voice.tell(line);
  await rememberTold(lastRun);
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
  const { seenBox, wakeSeen } = await import("./wake-box.ts");
  const addresses = await wakeSeen(await seenBox(box), null);
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
