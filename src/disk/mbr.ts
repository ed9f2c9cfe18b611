/** The master boot record: the protective one of GPT, and whatever lies on foreign disks. */

import { bytes, type LayoutValue, layout, repeat, u8, u16le, u32le } from "../bytes/index.ts";
import type { Extent } from "./extent.ts";

/** One of the four records. UEFI 2.10 table 5.2. */
const record = layout("MBR partition record", 16, {
  status: u8,
  startChs: bytes(3),
  type: u8,
  endChs: bytes(3),
  firstLba: u32le,
  sectors: u32le,
});

/** The first 512 bytes of the disk, whatever its sector size. UEFI 2.10 table 5.1. */
const masterBootRecord = layout("MBR", 512, {
  bootCode: bytes(440),
  diskSignature: u32le,
  unknown: u16le,
  records: repeat(record, 4),
  signature: u16le,
});

const mbrSignature = 0xaa55;
const protectiveType = 0xee;
const sectorsMax = 0xffff_ffff;

/** A record in use. */
export interface MbrPartition {
  /** 1 to 4. */
  readonly number: number;
  readonly type: number;
  readonly active: boolean;
  /** 00h or 80h; other values tell a table from other bytes. */
  readonly status: number;
  readonly firstLba: number;
  readonly sectors: number;
}

/** What the first 512 bytes of a disk say. */
export type Mbr =
  /** No signature 55 AA, or fewer than 512 bytes. */
  | { readonly kind: "none" }
  | {
      /**
       * `protective`: one record of type EEh and nothing else; `hybrid`: EEh among others;
       * `mbr`: a partition table of its own, or the boot sector of a file system without one.
       */
      readonly kind: "protective" | "hybrid" | "mbr";
      readonly diskSignature: number;
      readonly partitions: readonly MbrPartition[];
    };

/** Reads the first sector of a disk; any bytes will do. */
export function decodeMbr(sector: Uint8Array): Mbr {
  if (sector.byteLength < masterBootRecord.size) return { kind: "none" };
  const { signature, records, diskSignature } = masterBootRecord.decode(sector);
  if (signature !== mbrSignature) return { kind: "none" };
  const partitions = records
    .map(({ status, type, firstLba, sectors }, index) => ({
      number: index + 1,
      type,
      active: status === 0x80,
      status,
      firstLba,
      sectors,
    }))
    .filter(({ type }) => type !== 0);
  const protectiveCount = partitions.filter(({ type }) => type === protectiveType).length;
  const kind = protectiveCount === 0 ? "mbr" : partitions.length === 1 ? "protective" : "hybrid";
  return { kind, diskSignature, partitions };
}

/**
 * The protective MBR of a disk of `sectors` sectors: 512 bytes. UEFI 2.10 section 5.2.3.
 * The end in CHS is FFFFFFh, as libfdisk and firmware write it: no geometry is known.
 */
export function encodeProtectiveMbr(sectors: number): Uint8Array {
  const unused: LayoutValue<typeof record> = {
    status: 0,
    startChs: new Uint8Array(3),
    type: 0,
    endChs: new Uint8Array(3),
    firstLba: 0,
    sectors: 0,
  };
  const protective = {
    ...unused,
    type: protectiveType,
    startChs: Uint8Array.of(0, 2, 0),
    endChs: Uint8Array.of(0xff, 0xff, 0xff),
    firstLba: 1,
    sectors: Math.min(sectors - 1, sectorsMax),
  };
  return masterBootRecord.encode({
    bootCode: new Uint8Array(440),
    diskSignature: 0,
    unknown: 0,
    records: [protective, unused, unused, unused],
    signature: mbrSignature,
  });
}

/**
 * What must be written so that the first sector protects a table on a disk of `sectors` sectors:
 * nothing where it does, or where others' partitions stand in it. Boot code and disk signature
 * stay.
 */
export function planProtectiveMbr(mbr: Mbr, sectors: number): Extent[] {
  const whole = encodeProtectiveMbr(sectors);
  const recordsAt = masterBootRecord.offsets.records!;
  if (mbr.kind === "none" || mbr.partitions.length === 0) {
    return [{ offsetBytes: recordsAt, bytes: whole.subarray(recordsAt) }];
  }
  const [protective] = mbr.partitions;
  if (mbr.kind !== "protective" || !protective) return [];
  const wanted = Math.min(sectors - 1, sectorsMax);
  if (protective.sectors === wanted || protective.sectors === sectorsMax) return [];
  const sizeAt = recordsAt + record.offsets.sectors!;
  return [
    {
      offsetBytes: sizeAt + (protective.number - 1) * record.size,
      bytes: whole.subarray(sizeAt, sizeAt + u32le.size),
    },
  ];
}
