/** One namespace: a BlockDevice with an identity, as all controllers of its subsystem see it. */

import { type BlockDevice, BlockError } from "../block/index.ts";
import { type StatusName, uuidBytes, writeProtectState } from "../nvme/index.ts";
import { Pace } from "./pace.ts";
import { Reservations } from "./reservations.ts";
import { Statistics } from "./statistics.ts";
import { Turns } from "./turns.ts";
import { WriteGate } from "./write-gate.ts";

/** Write Zeroes, Verify and Compare that run at a time: each takes up to 1 MiB. */
const turnsMax = 4;

/** What a namespace is made from. */
export interface NamespaceOptions {
  /** 1 or more; the lowest free one unless told. */
  readonly nsid?: number;
  /** Stays the caller's: the target uses it and does not dispose of it. */
  readonly device: BlockDevice;
  /** In text form; hosts make stable device names of it. Must differ from every other disk's. */
  readonly uuid: string;
  /**
   * 32 hex digits. The bytes of the UUID unless told, or given an EUI-64: VMware ESXi names disks by
   * one of them, and shows none that has neither.
   */
  readonly nguid?: string;
  /** 16 hex digits; not reported unless told. */
  readonly eui64?: string;
  /** Refuse writes of every host, though the device would take them. */
  readonly readOnly?: boolean;
  /** Writes are best in multiples of this; the block size unless told. */
  readonly physicalBlockSizeBytes?: number;
  /** Reads and writes are best in multiples of this; not reported unless told. */
  readonly optimalIoBytes?: number;
}

/** A namespace as it is served. */
export class Namespace {
  readonly nsid: number;
  /** 32 hex digits, if it has one. */
  readonly nguid: string | undefined;
  readonly device: BlockDevice;
  readonly options: NamespaceOptions;
  readonly blockSizeBytes: number;
  /** 2 to the power of this is the block size. */
  readonly blockShift: number;
  readonly readPace = new Pace();
  readonly writePace = new Pace();
  readonly gate = new WriteGate();
  /** For commands that take memory which no budget counts. */
  readonly turns = new Turns(turnsMax);
  readonly reservations = new Reservations();
  readonly statistics = new Statistics();
  /** Of `writeProtectState`; hosts may set and clear it. */
  writeProtect: number = writeProtectState.none;
  /** Reads and writes that the medium failed. */
  mediaErrors = 0;

  /** @throws RangeError when the UUID is none. */
  constructor(nsid: number, options: NamespaceOptions) {
    this.nsid = nsid;
    this.options = options;
    this.device = options.device;
    this.blockSizeBytes = options.device.blockSizeBytes;
    this.blockShift = Math.log2(this.blockSizeBytes);
    const ofUuid = Buffer.from(uuidBytes(options.uuid)).toString("hex");
    this.nguid = options.nguid ?? (options.eui64 === undefined ? ofUuid : undefined);
  }

  /** Size in blocks, as the device has it now. */
  get blocks(): number {
    return Math.floor(this.device.sizeBytes / this.blockSizeBytes);
  }

  /** Whether no host can write, whatever it sets. */
  get isReadOnly(): boolean {
    return this.options.readOnly === true || this.device.readOnly;
  }

  /** Whether writes are refused now. */
  get isWriteProtected(): boolean {
    return this.isReadOnly || this.writeProtect !== writeProtectState.none;
  }

  /** The status for what a call on the device rejected with. */
  statusOf(error: unknown, kind: "read" | "write"): StatusName {
    if (!(error instanceof BlockError)) {
      return isAbort(error) ? "abortRequested" : "internalError";
    }
    if (error.code === "medium") this.mediaErrors++;
    return blockStatus[error.code][kind];
  }
}

const blockStatus: Readonly<Record<BlockError["code"], Record<"read" | "write", StatusName>>> = {
  range: both("lbaOutOfRange"),
  "read-only": both("namespaceWriteProtected"),
  medium: { read: "unrecoveredRead", write: "writeFault" },
  "no-space": both("capacityExceeded"),
  gone: both("namespaceNotReady"),
  closed: both("namespaceNotReady"),
};

function both(name: StatusName): Record<"read" | "write", StatusName> {
  return { read: name, write: name };
}

function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === "AbortError";
}
