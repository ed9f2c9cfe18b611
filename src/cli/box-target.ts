/** A disk of a box, by name: found, asked for over SSH, and kept granted while it is open. */

import { randomUUID } from "node:crypto";
import { stat } from "node:fs/promises";
import { hostname, userInfo } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import {
  assertOffered,
  BoxError,
  type BoxSession,
  chooseDisk,
  type GrantEvent,
  type GrantRequest,
  grantedConnection,
  HeldGrant,
  LastingChannel,
  openSession,
} from "../box/index.ts";
import type { DiskHashing } from "../flash/index.ts";
import { InitiatorError } from "../initiator/index.ts";
import { nqnOfUuid } from "../nvme/index.ts";
import { type DiskView, type GrantView, hashRangesMax, type Item } from "../rpc/index.ts";
import { tell, visible } from "./console.ts";
import { type OpenTarget, openNamespaceTarget } from "./namespace-target.ts";
import { messageOf } from "./outcome.ts";
import { lookUp } from "./user-home.ts";

/** Which disk of which box, and what for. */
export interface BoxDisk {
  readonly box: string;
  readonly disk: string | undefined;
}

/** @see openBoxTarget */
export interface BoxTargetOptions {
  readonly readOnly: boolean;
  readonly isEncrypted: boolean;
  readonly signal: AbortSignal;
}

/** This process, to boxes. */
const hostnqn = nqnOfUuid(randomUUID());

const clock = {
  nowMs: () => performance.now(),
  sleep: async (ms: number, { signal }: { readonly signal?: AbortSignal } = {}) =>
    await sleep(ms, undefined, signal ? { signal } : {}),
};

/** A session with the box of that name; where there is none, a file of that name may be meant. */
async function openSessionWith(box: string, signal: AbortSignal) {
  try {
    const { home, place } = await lookUp(box, signal);
    const reach = { home, signal };
    return { place, reach, session: await openSession(place, reach) };
  } catch (error) {
    const isNoBox =
      error instanceof BoxError && (error.code === "no-such-box" || error.code === "unreachable");
    if (!isNoBox || !(await stat(box).catch(() => null))) throw error;
    const hint = `If the file ${box} is meant, write ./${box}.`;
    throw new BoxError(error.code, `${error.message} ${hint}`, error.facts, { cause: error });
  }
}

/**
 * Opens a disk of a box; disposal takes the grant back.
 * @throws BoxError, RpcError, InitiatorError, the signal's reason.
 */
export async function openBoxTarget(
  { box, disk: wanted }: BoxDisk,
  { readOnly, isEncrypted, signal }: BoxTargetOptions,
): Promise<OpenTarget> {
  await using stack = new AsyncDisposableStack();
  const { place, reach, session } = await openSessionWith(box, signal);
  const channel = stack.use(new LastingChannel(session, reach));
  const { disk } = await pickDisk(session, wanted, signal);
  const name = visible(`${place.name}:${disk.serial || disk.name}`);
  const follower = new GrantFollower(name);
  const request: GrantRequest = {
    params: {
      hostnqn,
      disks: [disk.name],
      mode: readOnly ? "ro" : "rw",
      purpose: purposeOf(process.argv[2] ?? ""),
    },
    clock,
    onEvent: (event: GrantEvent) => follower.take(event),
    signal,
  };
  const held = stack.use(await HeldGrant.take(channel, request));
  const granted = held.access.disks[0];
  if (granted === undefined) {
    throw new BoxError("unsupported", `The box ${place.name} granted no disk for ${disk.name}.`);
  }
  const secrecy = { isEncrypted: isEncrypted && !isInTheClear(session, name) };
  const where = grantedConnection(held.access, granted, place, session.address, secrecy);
  const open = () => openNamespaceTarget(name, where, granted.nsid, signal);
  const target = stack.use(await withPatience(open, signal));
  follower.follow(target);
  // Asked after our own grant: whoever comes later sees that one.
  const writer = await findWriter(session, granted.name, signal);
  const all = stack.move();
  return {
    ...target,
    ...(writer ? { inUseBy: wordsOf(writer) } : {}),
    hashing: hashingOf(channel, disk),
    findRival: (asked) => held.findRival(asked),
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

/** The box hashes by the disk's identity: kernel names swap when it boots again. */
function hashingOf(channel: LastingChannel, disk: DiskView): DiskHashing {
  const name = disk.state.kind === "exported" ? disk.state.nqn : disk.identity.value;
  return {
    digest: async (ranges, unitBytes, onDigests, { signal } = {}) => {
      const all = ranges.map(({ fromBytes, toBytes }) => {
        return { offsetBytes: fromBytes, lengthBytes: toBytes - fromBytes };
      });
      const options = signal ? { signal } : {};
      for (let at = 0; at < all.length; at += hashRangesMax) {
        const params = { disk: name, ranges: all.slice(at, at + hashRangesMax), unitBytes };
        const take = ({ offsetBytes, digests }: Item<"hash">) =>
          onDigests(offsetBytes, Buffer.from(digests, "base64"));
        await channel.hash(params, take, options);
      }
    },
  };
}

/**
 * A box in open mode has no encryption, which its owner has chosen; that it is in this mode is known
 * over SSH, so nobody on the way can pretend it.
 */
export function isInTheClear({ description }: BoxSession, name: string): boolean {
  if (description.access !== "open" || description.tls) return false;
  tell(`${name}: the box is in open mode, what goes to and from it is not encrypted.`);
  return true;
}

/**
 * The box starts its daemon for TLS handshakes with the first key that it gives away, and its kernel
 * hangs up until that listens.
 */
async function withPatience<T>(open: () => Promise<T>, signal: AbortSignal): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await open();
    } catch (error) {
      const cause = error instanceof InitiatorError ? error.cause : undefined;
      const hasHungUp = cause instanceof Error && "code" in cause && cause.code === "ECONNRESET";
      if (!hasHungUp || attempt === handshakeAttemptsMax) throw error;
      await clock.sleep(handshakePauseMs, { signal });
    }
  }
}

const handshakeAttemptsMax = 20;
const handshakePauseMs = 500;

/** The disk that is meant, and the grants that there are. Labels are looked at only if needed. */
export async function pickDisk(
  session: BoxSession,
  wanted: string | undefined,
  signal: AbortSignal,
): Promise<{ readonly disk: DiskView; readonly grants: readonly GrantView[] }> {
  const { name } = session.place;
  const choose = async (contents: boolean) => {
    const { disks, grants } = await session.call("disks", { contents }, { signal });
    return { disk: chooseDisk(disks, wanted, name), grants };
  };
  let chosen: Awaited<ReturnType<typeof choose>>;
  try {
    chosen = await choose(false);
  } catch (error) {
    if (!(error instanceof BoxError) || error.code !== "no-such-disk") throw error;
    chosen = await choose(true);
  }
  assertOffered(chosen.disk, name);
  return chosen;
}

/** For the box's list of events. */
export function purposeOf(command: string): string {
  return `${command} by ${userInfo().username} on ${hostname()}`.replace(/[^ -~]/g, "?");
}

/** The grant by which another host may write to a disk. */
export async function findWriter(
  session: BoxSession,
  disk: string,
  signal: AbortSignal,
  own: string = hostnqn,
): Promise<GrantView | undefined> {
  const { grants } = await session.call("disks", {}, { signal });
  return grants.find(
    (grant) => grant.mode === "rw" && grant.disks.includes(disk) && grant.hostnqn !== own,
  );
}

/** Whether it was this process that asked for it. */
export function isOwnGrant({ hostnqn: host }: GrantView): boolean {
  return host === hostnqn;
}

/** Who has a disk. */
export function wordsOf({ purpose, hostnqn: host, expiresAt }: GrantView): string {
  const until = expiresAt === null ? "" : `, until ${expiresAt} unless it goes on`;
  return `${purpose || host} may write to it${until}`;
}

/** What becomes of a disk when its grant does not go on as it was. */
class GrantFollower {
  readonly #name: string;
  #target: OpenTarget | undefined;
  #end = "";
  #told = "";

  /** @param name of the disk */
  constructor(name: string) {
    this.#name = name;
  }

  /** From now on the disk is known. */
  follow(target: OpenTarget): void {
    this.#target = target;
    if (this.#end !== "") target.giveUp?.(this.#end);
  }

  take(event: GrantEvent): void {
    if (event.event === "replaced") {
      this.#end = event.isRebooted
        ? "the box was booted again meanwhile, and has other keys now."
        : "the box was out of reach for so long that it has taken back what it had granted.";
      this.#target?.giveUp?.(this.#end);
    } else if (event.event === "not-renewed") {
      const why = messageOf(event.error);
      if (why !== this.#told) {
        tell(`${this.#name}: the grant could not be renewed, trying again: ${why}`);
      }
      this.#told = why;
    } else this.#told = "";
  }
}
