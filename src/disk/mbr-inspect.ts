/** The partitions of an MBR, with the logical ones that an extended partition chains. */

import type { BlockDevice, CallOptions } from "../block/index.ts";
import type { SectorSize } from "./gpt.ts";
import { decodeMbr, type Mbr } from "./mbr.ts";
import { readBytes } from "./read.ts";

/** A partition on the disk. */
export interface MbrPlace {
  /** 1 to 4, logical ones from 5. */
  readonly number: number;
  readonly type: number;
  readonly active: boolean;
  readonly startBytes: number;
  readonly sizeBytes: number;
}

const extendedTypes = [0x05, 0x0f, 0x85];
/** Linux has device nodes for so many. */
const logicalMax = 60;
const protectiveType = 0xee;

/** Whether a partition only holds others. */
export function isExtended(type: number): boolean {
  return extendedTypes.includes(type);
}

/**
 * Whether the records can be a table: any boot sector has bytes there. They must begin on the disk
 * and have a status of 00h or 80h.
 */
export function isPlausibleMbr(mbr: Mbr, diskBytes: number): boolean {
  if (mbr.kind === "none" || mbr.partitions.length === 0) return false;
  const sectors = diskBytes / 512;
  return mbr.partitions.every(
    ({ status, firstLba, sectors: length }) =>
      (status === 0 || status === 0x80) && length > 0 && firstLba < sectors,
  );
}

/**
 * Where the partitions lie for sectors of `sectorSizeBytes`. Chains that loop or leave the disk end
 * there.
 * @throws BlockError other than `medium`, as the device does.
 */
export async function inspectMbr(
  device: BlockDevice,
  mbr: Mbr,
  sectorSizeBytes: SectorSize,
  options?: CallOptions,
): Promise<MbrPlace[]> {
  if (mbr.kind === "none") return [];
  const places: MbrPlace[] = [];
  for (const { number, type, active, firstLba, sectors } of mbr.partitions) {
    if (type === protectiveType) continue;
    const startBytes = firstLba * sectorSizeBytes;
    places.push({ number, type, active, startBytes, sizeBytes: sectors * sectorSizeBytes });
  }
  const extended = places.find(({ type }) => isExtended(type));
  if (!extended) return places;
  let at = extended.startBytes;
  for (let number = 5; number < 5 + logicalMax; number++) {
    const link = decodeMbr((await readBytes(device, at, 512, options)) ?? new Uint8Array());
    if (link.kind === "none") break;
    const own = link.partitions.find(({ type }) => !isExtended(type));
    if (own) {
      const { type, active } = own;
      const startBytes = at + own.firstLba * sectorSizeBytes;
      const sizeBytes = own.sectors * sectorSizeBytes;
      places.push({ number, type, active, startBytes, sizeBytes });
    }
    const next = link.partitions.find(({ type }) => isExtended(type));
    const nextAt = extended.startBytes + (next?.firstLba ?? 0) * sectorSizeBytes;
    // Every tool writes the chain forwards; anything else could loop.
    if (!next || nextAt <= at) break;
    at = nextAt;
  }
  return places;
}
