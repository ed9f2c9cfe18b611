/** A disk that is to be written, compared or saved, and who it is. */

import { type BlockDevice, BlockError, type CallOptions } from "../block/index.ts";
import { FlashError, type FlashErrorCode, reasonOf } from "./error.ts";

/** What a disk is remembered by: never by a name that the kernel gave it. */
export interface DiskIdentity {
  readonly serial: string;
  readonly model: string;
  readonly uuid?: string;
  readonly nguid?: string;
  readonly eui64?: string;
  /** Of a file or device of this machine, by which it is the same whatever its name: `filePlaceOf`. */
  readonly place?: string;
  readonly sizeBytes: number;
  readonly blockSizeBytes: number;
}

/** A disk that is hashed where it is: nothing but digests goes over the network. */
export interface DiskHashing {
  /**
   * Hashes ranges as the medium holds them, in units from the beginning of each range on.
   * @param ranges in whole blocks; any number
   * @param onDigests gets the digests in order, as `digestUnits` gives them
   * @throws whatever the way there throws; it can be done without then.
   */
  digest(
    ranges: readonly DiskRange[],
    unitBytes: number,
    onDigests: (offsetBytes: number, digests: Uint8Array) => void,
    options?: CallOptions,
  ): Promise<void>;
}

/** A disk as whoever found it hands it over. */
export interface Target {
  /** How messages name it. */
  readonly name: string;
  readonly disk: BlockDevice;
  /** Who it was when it was chosen. */
  readonly identity: DiskIdentity;
  /** It is behind a network. */
  readonly isRemote: boolean;
  /** Who uses it already, in words: `mounted at /home`. */
  readonly inUseBy?: string;
  /** Where its box can hash it. */
  readonly hashing?: DiskHashing;
  /**
   * Where somebody keeps other hosts from writing to it: asks whether that has been so since it was
   * opened, and says in words what speaks against that.
   */
  findRival?(options?: CallOptions): Promise<string | undefined>;
  /** Asks anew who it is, over the connection as it is now. */
  identify(options?: CallOptions): Promise<DiskIdentity>;
}

/** How two identities differ, in words; undefined when they are the same disk. */
export function identityChange(wanted: DiskIdentity, found: DiskIdentity): string | undefined {
  for (const kind of ["serial", "uuid", "nguid", "eui64", "model", "place"] as const) {
    if (wanted[kind] !== found[kind]) {
      return `its ${kind} is ${found[kind] ?? "not told"}, it was ${wanted[kind] ?? "not told"}`;
    }
  }
  for (const kind of ["sizeBytes", "blockSizeBytes"] as const) {
    if (wanted[kind] !== found[kind]) {
      const what = kind === "sizeBytes" ? "size" : "block size";
      return `its ${what} is ${found[kind]} bytes, it was ${wanted[kind]}`;
    }
  }
  return undefined;
}

/** Whether two are one disk: of this machine by where they are, since files share names and sizes. */
export function isSameDisk(one: DiskIdentity, other: DiskIdentity): boolean {
  if (one.place !== undefined && other.place !== undefined) return one.place === other.place;
  return identityChange(one, other) === undefined;
}

/**
 * Looks again whether a target is the disk that it was.
 * @throws FlashError `identity-changed`, or as `targetError`.
 */
export async function confirmIdentity(target: Target, options?: CallOptions): Promise<void> {
  let found: DiskIdentity;
  try {
    found = await target.identify(options);
  } catch (error) {
    options?.signal?.throwIfAborted();
    throw targetError(error, target, "ask who it is");
  }
  const change = identityChange(target.identity, found);
  if (change === undefined) return;
  throw new FlashError(
    "identity-changed",
    `Cannot go on with ${target.name}: another disk is there now, ${change}. ` +
      "Nothing more is written. List the disks again, and name it by its serial number.",
    { target: target.name, wanted: target.identity, found },
  );
}

/**
 * Makes sure that nobody else can have written to a target, where that can be known.
 * @throws FlashError `not-alone`, or as `targetError`.
 */
export async function confirmAlone(target: Target, options?: CallOptions): Promise<void> {
  let rival: string | undefined;
  try {
    rival = await target.findRival?.(options);
  } catch (error) {
    options?.signal?.throwIfAborted();
    throw targetError(error, target, "ask whether another host may have written to it");
  }
  if (rival === undefined) return;
  throw new FlashError(
    "not-alone",
    `Cannot vouch for ${target.name}: ${rival}. What was compared or written may be something else ` +
      "by now. See to it that no other host writes to it, and run the same command again.",
    { target: target.name, rival },
  );
}

const codes: Readonly<Record<BlockError["code"], FlashErrorCode>> = {
  range: "disk-failed",
  "read-only": "disk-failed",
  medium: "disk-failed",
  "no-space": "disk-failed",
  gone: "disk-gone",
  closed: "disk-gone",
};

const advice: Readonly<Partial<Record<FlashErrorCode, string>>> = {
  "disk-gone": "Check the box and its network, and run the same command again.",
  "disk-failed": "The disk may be failing; look at its health, or take another one.",
};

/** Whatever a disk's call rejected with, as an error of this part that names the disk. */
export function targetError(error: unknown, target: Target, doing: string): unknown {
  if (error instanceof FlashError || !(error instanceof Error)) return error;
  const isReplaced = causeCodes(error).includes("namespace-replaced");
  const code = error instanceof BlockError ? codes[error.code] : "disk-gone";
  const chosen: FlashErrorCode = isReplaced ? "identity-changed" : code;
  return new FlashError(
    chosen,
    `Cannot ${doing} (${target.name}): ${reasonOf(error)} ${advice[chosen] ?? "Nothing more is written."}`,
    { target: target.name, blockCode: error instanceof BlockError ? error.code : undefined },
    { cause: error },
  );
}

/** A range of a disk. */
export interface DiskRange {
  readonly fromBytes: number;
  readonly toBytes: number;
}

/**
 * The ranges that a flush could not vouch for after a reconnect; undefined for any other error.
 * The error comes from below the BlockDevice, and is known by its code.
 */
export function lostRanges(error: unknown): DiskRange[] | undefined {
  for (let at = error; at instanceof Error; at = at.cause) {
    const { code, facts } = at as { code?: unknown; facts?: { ranges?: unknown } };
    if (code !== "volatile-writes-lost-possible" || !Array.isArray(facts?.ranges)) continue;
    return facts.ranges.map((range: { offsetBytes: number; lengthBytes: number }) => ({
      fromBytes: range.offsetBytes,
      toBytes: range.offsetBytes + range.lengthBytes,
    }));
  }
  return undefined;
}

/** For a disk whose connection is lost each time that something is to be made safe. */
export function lossesError({ name }: Target, tries: number): FlashError {
  return new FlashError(
    "disk-gone",
    `Cannot vouch for ${name}: its connection was lost ${tries} times, each time before what was ` +
      "written was safe. Check its network, and run the same command again.",
    { target: name, tries },
  );
}

function causeCodes(error: Error): string[] {
  const found: string[] = [];
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    if ("code" in at) found.push(String(at.code));
  }
  return found;
}
