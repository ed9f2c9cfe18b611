/**
 * The GUID partition table as a value, how a new one is laid out, and the bytes that hold it.
 *
 * UEFI 2.10 section 5.3. Reading one from a disk, damage included, is in `gpt-inspect.ts`.
 */

import { crc32 } from "node:zlib";
import { roundUp, viewOf } from "../bytes/index.ts";
import { DiskError } from "./error.ts";
import type { Extent } from "./extent.ts";
import { gptEntry, gptHeader, gptRevision, gptSignature } from "./gpt-layout.ts";
import { zeroGuid } from "./guid.ts";
import { encodeProtectiveMbr } from "./mbr.ts";

/** A sector size that disks have. */
export type SectorSize = 512 | 4096;

/** One partition. */
export interface GptPartition {
  /** From 1: its place in the table, and the number that operating systems give it. */
  readonly number: number;
  readonly typeGuid: string;
  readonly guid: string;
  readonly firstLba: number;
  /** Inclusive. */
  readonly lastLba: number;
  /** Up to 36 UTF-16 code units. */
  readonly name: string;
  readonly attributes: GptAttributes;
}

/** UEFI 2.10 table 5.8. */
export interface GptAttributes {
  readonly required: boolean;
  readonly noBlockIo: boolean;
  readonly legacyBiosBootable: boolean;
  /** Bits 48 to 63, whose meaning depends on the type. */
  readonly typeSpecific: number;
}

/** A partition table, without regard to which of its two copies it came from. */
export interface Gpt {
  readonly sectorSizeBytes: SectorSize;
  readonly diskGuid: string;
  /** Where the backup header lies: the disk's last sector when the disk was partitioned. */
  readonly backupLba: number;
  readonly firstUsableLba: number;
  /** Inclusive. */
  readonly lastUsableLba: number;
  /** Where the primary copy's entries lie; 2 but for boards whose firmware lies there. */
  readonly entriesLba: number;
  readonly entryCount: number;
  /** 128 × 2ⁿ. */
  readonly entrySizeBytes: number;
  /** By number. */
  readonly partitions: readonly GptPartition[];
}

/** Types that this project makes or looks for. */
export const partitionTypes = {
  efiSystem: "c12a7328-f81f-11d2-ba4b-00a0c93ec93b",
  linuxData: "0fc63daf-8483-4772-8e79-3d69d8477de4",
} as const;

/** Attributes of an ordinary partition. */
export const noAttributes: GptAttributes = {
  required: false,
  noBlockIo: false,
  legacyBiosBootable: false,
  typeSpecific: 0,
};

/** Partitions begin at multiples of this. */
export const alignmentBytes = 1024 * 1024;

const entryCountUsual = 128;

/** A partition that is to be laid out. */
export interface WantedPartition {
  readonly typeGuid: string;
  readonly guid: string;
  readonly name: string;
  /** Rounded up to whole sectors; `rest` takes what is left, for the last one only. */
  readonly sizeBytes: number | "rest";
  readonly attributes?: GptAttributes;
}

/** The table that is to be laid out. */
export interface WantedGpt {
  /** The disk's size, in whole sectors. */
  readonly sizeBytes: number;
  readonly sectorSizeBytes: SectorSize;
  readonly diskGuid: string;
  readonly partitions: readonly WantedPartition[];
}

/**
 * Lays partitions out one after the other, each aligned to 1 MiB.
 * @throws DiskError `does-not-fit` with `wantedBytes` and `sizeBytes`.
 */
export function planGpt({ sizeBytes, sectorSizeBytes, diskGuid, partitions }: WantedGpt): Gpt {
  if (sizeBytes % sectorSizeBytes !== 0) {
    throw new RangeError(`${sizeBytes} bytes are not whole sectors of ${sectorSizeBytes}.`);
  }
  const empty: Gpt = {
    sectorSizeBytes,
    diskGuid,
    backupLba: sizeBytes / sectorSizeBytes - 1,
    firstUsableLba: 2 + entrySectors(entryCountUsual, 128, sectorSizeBytes),
    lastUsableLba:
      sizeBytes / sectorSizeBytes - 2 - entrySectors(entryCountUsual, 128, sectorSizeBytes),
    entriesLba: 2,
    entryCount: entryCountUsual,
    entrySizeBytes: gptEntry.size,
    partitions: [],
  };
  const step = alignmentBytes / sectorSizeBytes;
  let next = roundUp(empty.firstUsableLba, step);
  const laid = partitions.map((wanted, index): GptPartition => {
    const firstLba = next;
    const lastLba =
      wanted.sizeBytes === "rest"
        ? empty.lastUsableLba
        : firstLba + Math.ceil(wanted.sizeBytes / sectorSizeBytes) - 1;
    if (lastLba > empty.lastUsableLba || lastLba < firstLba) {
      throw new DiskError(
        "does-not-fit",
        `Cannot lay out partition ${index + 1} "${wanted.name}": it would end at sector ` +
          `${lastLba}, and the last usable one is ${empty.lastUsableLba}. Use a larger disk.`,
        { sizeBytes, wantedBytes: sizeBytes + (lastLba - empty.lastUsableLba) * sectorSizeBytes },
      );
    }
    next = roundUp(lastLba + 1, step);
    const { typeGuid, guid, name, attributes = noAttributes } = wanted;
    return { number: index + 1, typeGuid, guid, name, firstLba, lastLba, attributes };
  });
  return { ...empty, partitions: laid };
}

/** Least size of a disk whose partitions take `partitionsBytes`, each a multiple of 1 MiB. */
export function gptDiskSize(partitionsBytes: number, sectorSizeBytes: SectorSize): number {
  const tail =
    (1 + entrySectors(entryCountUsual, gptEntry.size, sectorSizeBytes)) * sectorSizeBytes;
  return roundUp(alignmentBytes + partitionsBytes + tail, alignmentBytes);
}

/** The parts of a table on disk; a repair writes only some. */
export interface GptExtents {
  /** 512 bytes at the start, protective. */
  readonly mbr: Extent;
  /** Header and entries of each copy. */
  readonly primary: readonly Extent[];
  readonly backup: readonly Extent[];
}

/**
 * The bytes of both copies of `gpt` and of its protective MBR.
 * @param entries the entries as they are to lie on the disk, when they came from one: what `gpt`
 *   has no names for stays in them. Made from `gpt` unless told.
 * @throws RangeError when a value does not fit its field, or two partitions share a number.
 */
export function encodeGpt(gpt: Gpt, entries: Uint8Array = encodeEntries(gpt)): GptExtents {
  const { sectorSizeBytes, backupLba } = gpt;
  const backupEntriesLba = backupEntriesLbaOf(gpt);
  const place = (lba: number, bytes: Uint8Array): Extent => ({
    offsetBytes: lba * sectorSizeBytes,
    bytes,
  });
  return {
    mbr: { offsetBytes: 0, bytes: encodeProtectiveMbr(backupLba + 1) },
    primary: [
      place(1, encodeHeader(gpt, entries, 1, backupLba, gpt.entriesLba)),
      place(gpt.entriesLba, entries),
    ],
    backup: [
      place(backupEntriesLba, entries),
      place(backupLba, encodeHeader(gpt, entries, backupLba, 1, backupEntriesLba)),
    ],
  };
}

/** Where the backup copy's entries begin: right before its header. */
export function backupEntriesLbaOf(gpt: Gpt): number {
  return gpt.backupLba - entrySectors(gpt.entryCount, gpt.entrySizeBytes, gpt.sectorSizeBytes);
}

/** How many sectors the entries of one copy take. */
export function entrySectors(count: number, sizeBytes: number, sectorSizeBytes: number): number {
  return Math.ceil((count * sizeBytes) / sectorSizeBytes);
}

function encodeEntries(gpt: Gpt): Uint8Array {
  const entries = new Uint8Array(gpt.entryCount * gpt.entrySizeBytes);
  const used = new Set<number>();
  for (const { number, attributes, firstLba, lastLba, ...partition } of gpt.partitions) {
    if (number < 1 || number > gpt.entryCount || used.has(number)) {
      throw new RangeError(`No place ${number} is free among ${gpt.entryCount} partitions.`);
    }
    if (partition.typeGuid === zeroGuid) {
      throw new RangeError(`Partition ${number} has the type of an unused entry.`);
    }
    used.add(number);
    gptEntry.encodeInto(
      {
        ...partition,
        firstLba: BigInt(firstLba),
        lastLba: BigInt(lastLba),
        attributes: { ...attributes },
      },
      entries,
      (number - 1) * gpt.entrySizeBytes,
    );
  }
  return entries;
}

/** One sector. */
function encodeHeader(
  gpt: Gpt,
  entries: Uint8Array,
  myLba: number,
  alternateLba: number,
  entriesLba: number,
): Uint8Array {
  const sector = new Uint8Array(gpt.sectorSizeBytes);
  gptHeader.encodeInto(
    {
      signature: gptSignature,
      revision: gptRevision,
      headerSizeBytes: gptHeader.size,
      headerCrc32: 0,
      myLba: BigInt(myLba),
      alternateLba: BigInt(alternateLba),
      firstUsableLba: BigInt(gpt.firstUsableLba),
      lastUsableLba: BigInt(gpt.lastUsableLba),
      diskGuid: gpt.diskGuid,
      entriesLba: BigInt(entriesLba),
      entryCount: gpt.entryCount,
      entrySizeBytes: gpt.entrySizeBytes,
      entriesCrc32: crc32(entries),
    },
    sector,
  );
  const crc = crc32(sector.subarray(0, gptHeader.size));
  viewOf(sector).setUint32(gptHeader.offsets.headerCrc32!, crc, true);
  return sector;
}
