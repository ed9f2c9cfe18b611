/** The methods of a box: what each takes, gives, and streams meanwhile. */

import * as v from "valibot";
import { bootOnceParams, bootOnceResult, bootState } from "./boot-values.ts";
import {
  grantDisksMax,
  grantSecondsMax,
  hashRangesMax,
  hashUnitBytesMax,
  hashUnitBytesMin,
} from "./limits.ts";
import {
  boxDescription,
  boxEvent,
  byteRange,
  count,
  diskName,
  diskView,
  grantedAccess,
  grantMode,
  grantView,
  hostnqn,
  peerView,
  streamId,
  unitDigests,
  words,
} from "./values.ts";

const nothing = v.strictObject({});
const done = v.object({});
const oneDisk = v.strictObject({ disk: diskName });
const grantId = v.pipe(words(64), v.minLength(1));
const secondsOf = (max: number) =>
  v.pipe(v.number(), v.safeInteger(), v.minValue(1), v.maxValue(max));

/**
 * Every method. Parameters take no field that is not named here; results may have more than a
 * client knows.
 */
export const methods = {
  /** Who the box is and how it is reached. The first call of a session, for `rpc`. */
  describe: { params: nothing, result: boxDescription },

  /**
   * All disks; `contents` reads a few blocks of each, `health` asks each for its SMART data. Both
   * take time, and a disk that does not answer in time has null there.
   */
  disks: {
    params: v.strictObject({
      contents: v.optional(v.boolean(), false),
      health: v.optional(v.boolean(), false),
    }),
    result: v.object({
      disks: v.array(diskView),
      grants: v.array(grantView),
      peers: v.array(peerView),
    }),
  },

  /**
   * Lets a host use disks. Each granted disk has a subsystem of its own for this host, whose NQN
   * follows from disk and host, so that it is the same at the next boot; secrets are made at every
   * boot. A second grant to a host that has one keeps its secrets; one over the same disks in the
   * same mode prolongs it and gives the same id; in another mode it is `refused`. So is every grant of
   * a disk that another host has as `rw`, and `rw` of one that another host has in any mode, unless all
   * of them are `shared`. A grant whose session has ended gives way at once.
   */
  grant: {
    params: v.strictObject({
      hostnqn,
      disks: v.pipe(v.array(diskName), v.minLength(1), v.maxLength(grantDisksMax)),
      mode: grantMode,
      /** With `rw`: others may write at the same time, who say so likewise; a cluster file system does. */
      shared: v.optional(v.boolean(), false),
      /** Null: until it is revoked or the box ends. */
      seconds: v.nullable(secondsOf(grantSecondsMax)),
      /**
       * It ends a quarter of a minute after this session, however that comes: another session that
       * asks for it until then takes it over.
       */
      untilSessionEnds: v.optional(v.boolean(), false),
      /** For the list of events: who, and what for. */
      purpose: v.optional(words(200), ""),
      /**
       * With `overlay`: how much may be written; a quarter of the box's memory unless told. A grant
       * that is prolonged keeps what it has.
       */
      overlayBytes: v.optional(v.pipe(count, v.minValue(1))),
    }),
    result: grantedAccess,
  },

  /** Takes a grant back: the host's controllers are gone when the answer comes. */
  revoke: { params: v.strictObject({ grant: grantId }), result: done },

  /** Offers a disk again that `unexport` withdrew, or that the configuration leaves out. */
  export: { params: oneDisk, result: done },

  /** Withdraws a disk until the box ends or `export`; its grants are revoked. */
  unexport: { params: oneDisk, result: done },

  /**
   * SHA-256 of the units of ranges of a disk, as the medium holds them: nothing is taken from a
   * cache. Items come in the order of the ranges.
   */
  hash: {
    params: v.strictObject({
      stream: streamId,
      disk: diskName,
      ranges: v.pipe(v.array(byteRange), v.minLength(1), v.maxLength(hashRangesMax)),
      /** Multiple of the disk's block size; the last unit of a range may be shorter. */
      unitBytes: v.pipe(
        v.number(),
        v.safeInteger(),
        v.minValue(hashUnitBytesMin),
        v.maxValue(hashUnitBytesMax),
      ),
    }),
    result: v.object({ units: count, bytes: count }),
    item: unitDigests,
  },

  /**
   * Events as they happen, until it is cancelled. The event `state` says that `describe` or `disks`
   * would now answer something else.
   */
  watch: {
    params: v.strictObject({ stream: streamId }),
    result: done,
    item: boxEvent,
  },

  /** Events that the box remembers, oldest first; only those after `after` if given. */
  log: {
    params: v.strictObject({ after: v.optional(count, 0) }),
    result: v.object({ events: v.array(boxEvent) }),
  },

  /** Ends a stream of this session; its call answers `cancelled`. */
  cancel: { params: v.strictObject({ stream: streamId }), result: done },

  /** Boots the box again; the answer comes before it goes. */
  reboot: { params: nothing, result: done },

  /** Switches the box off; the answer comes before it goes. */
  powerOff: { params: nothing, result: done },

  /**
   * Boots a disk once, by the firmware: an entry for its EFI loader, `BootNext`, and a reboot after
   * the answer; or by `kexec`, without the firmware. `refused` where the box would not come back, or
   * where there is nothing to boot.
   */
  bootOnce: { params: bootOnceParams, result: bootOnceResult },

  /** Whether the box would come back, and what became of the disk that was booted once last. */
  bootState: { params: nothing, result: bootState },

  /** Shows which machine, or which disk, is meant: its screen, the light of the disk. */
  blink: {
    params: v.strictObject({ disk: v.optional(diskName), seconds: secondsOf(600) }),
    result: done,
  },
} as const;

/** @see methods */
export type MethodName = keyof typeof methods;
/** Methods with items. */
export type StreamingMethod = "hash" | "watch";
/** What a caller passes. */
export type CallParams<M extends MethodName> = v.InferInput<(typeof methods)[M]["params"]>;
/** What the box gets: defaults are filled in. */
export type Params<M extends MethodName> = v.InferOutput<(typeof methods)[M]["params"]>;
/** What a call gives. */
export type Result<M extends MethodName> = v.InferOutput<(typeof methods)[M]["result"]>;
/** What a method streams. */
export type Item<M extends MethodName> = M extends StreamingMethod
  ? v.InferOutput<(typeof methods)[M]["item"]>
  : never;

/** The one notification, from box to client: an item of a stream. */
export const itemNotification = "item";
/** Its parameters; the item's own schema is that of the method. */
export const itemParams = v.object({ stream: streamId, item: v.unknown() });

/** The subsystem of SSH that leads to a box's control channel. */
export const sshSubsystem = "diskomator";
