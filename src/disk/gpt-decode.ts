/** One copy of a GUID partition table, out of foreign bytes: a value, or what is wrong with it. */

import { crc32 } from "node:zlib";
import type { LayoutValue } from "../bytes/index.ts";
import { entrySectors, type Gpt, type GptPartition, type SectorSize } from "./gpt.ts";
import { gptEntry, gptHeader, gptRevision, gptSignature } from "./gpt-layout.ts";
import { zeroGuid } from "./guid.ts";

/** What can be wrong with a table. The second group leaves the copy usable. */
export type GptDamageReason =
  | "unreadable"
  | "header-size"
  | "header-crc"
  | "my-lba"
  | "entry-size"
  | "entries-place"
  | "entries-crc"
  | "out-of-range"
  // From here on the copy can be used, with care.
  | "revision"
  | "usable-range"
  | "partition-range"
  | "partition-overlap"
  | "duplicate-guid"
  | "backup-not-at-end"
  | "copies-differ"
  | "copy-missing"
  | "mbr-not-protective"
  | "mbr-size"
  | "sector-size";

/** One thing that is wrong; `found` and `wanted` are what the reason speaks of. */
export interface GptDamage {
  readonly reason: GptDamageReason;
  readonly part: "mbr" | "primary" | "backup";
  readonly found?: number | string;
  readonly wanted?: number | string;
  /** Number of the partition that it is about. */
  readonly partition?: number;
}

/** A table and how it lies on the disk. */
export interface GptTable {
  readonly gpt: Gpt;
  /** All entries as they lie there, with bits that `gpt` has no names for. */
  readonly entries: Uint8Array;
  /** Checksum of the header: another one means another table. */
  readonly headerCrc32: number;
}

/** What stands where a copy should be. */
export type GptCopy =
  /** No signature there. */
  | { readonly state: "absent" }
  | { readonly state: "damaged"; readonly damage: readonly GptDamage[] }
  /** Checksums agree; `damage` has what is wrong all the same. */
  | ({ readonly state: "valid"; readonly damage: readonly GptDamage[] } & GptTable);

/** Where a header was read. */
export interface GptPlace {
  readonly part: "primary" | "backup";
  readonly lba: number;
  readonly sectorSizeBytes: SectorSize;
  readonly diskSectors: number;
}

/** A header whose checksum agrees, and where its entries lie. */
export interface GptHeader {
  readonly value: LayoutValue<typeof gptHeader>;
  readonly entriesLba: number;
  readonly entriesBytes: number;
  readonly alternateLba: number | undefined;
  readonly damage: readonly GptDamage[];
}

/** Entries are read up to this size; the usual table has 16 KiB. */
const entriesBytesMax = 1024 * 1024;

/** Reads a header out of its sector; gives the copy instead when there is none to trust. */
export function decodeGptHeader(
  sector: Uint8Array,
  place: GptPlace,
): { header: GptHeader } | { copy: GptCopy } {
  const { part, lba, sectorSizeBytes, diskSectors } = place;
  const broken = (damage: Omit<GptDamage, "part">): { copy: GptCopy } => ({
    copy: { state: "damaged", damage: [{ part, ...damage }] },
  });
  if (sector.byteLength < gptHeader.size) return { copy: { state: "absent" } };
  const value = gptHeader.decode(sector);
  if (value.signature !== gptSignature) return { copy: { state: "absent" } };
  const size = value.headerSizeBytes;
  if (size < gptHeader.size || size > Math.min(sectorSizeBytes, sector.byteLength)) {
    return broken({ reason: "header-size", found: size, wanted: gptHeader.size });
  }
  const summed = sector.slice(0, size);
  summed.fill(0, crcOffset, crcOffset + 4);
  const crc = crc32(summed);
  if (crc !== value.headerCrc32) {
    return broken({ reason: "header-crc", found: value.headerCrc32, wanted: crc });
  }
  if (value.myLba !== BigInt(lba)) {
    return broken({ reason: "my-lba", found: `${value.myLba}`, wanted: lba });
  }
  const { entrySizeBytes, entryCount } = value;
  const entriesBytes = entrySizeBytes * entryCount;
  if (
    entrySizeBytes < gptEntry.size ||
    !Number.isInteger(Math.log2(entrySizeBytes)) ||
    entryCount === 0 ||
    entriesBytes > entriesBytesMax
  ) {
    return broken({
      reason: "entry-size",
      found: `${entryCount} × ${entrySizeBytes}`,
      wanted: `1 to ${entriesBytesMax / gptEntry.size} × 128, or a power of two above it`,
    });
  }
  const entriesEnd = value.entriesLba + BigInt(entrySectors(entriesBytes, 1, sectorSizeBytes));
  if (value.entriesLba < 2n || entriesEnd > BigInt(diskSectors)) {
    return broken({ reason: "entries-place", found: `${value.entriesLba}`, wanted: diskSectors });
  }
  for (const bound of [value.firstUsableLba, value.lastUsableLba]) {
    if (!isExact(bound)) return broken({ reason: "out-of-range", found: `${bound}` });
  }
  const entriesLba = Number(value.entriesLba);
  const alternateLba = isExact(value.alternateLba) ? Number(value.alternateLba) : undefined;
  const damage = judgeHeader(value, place);
  return { header: { value, entriesLba, entriesBytes, alternateLba, damage } };
}

/** Reads the entries that `header` speaks of; `entries` has at least `header.entriesBytes`. */
export function decodeGptEntries(header: GptHeader, entries: Uint8Array, place: GptPlace): GptCopy {
  const { part, lba, sectorSizeBytes } = place;
  const { value, entriesBytes } = header;
  const crc = crc32(entries.subarray(0, entriesBytes));
  if (crc !== value.entriesCrc32) {
    const damage = { part, reason: "entries-crc", found: value.entriesCrc32, wanted: crc } as const;
    return { state: "damaged", damage: [damage] };
  }
  const partitions: GptPartition[] = [];
  for (let number = 1; number <= value.entryCount; number++) {
    const entry = gptEntry.decode(entries, (number - 1) * value.entrySizeBytes);
    if (entry.typeGuid === zeroGuid) continue;
    const { firstLba, lastLba } = entry;
    if (!isExact(firstLba) || !isExact(lastLba)) {
      const found = `${firstLba} to ${lastLba}`;
      const damage = { part, reason: "out-of-range", partition: number, found } as const;
      return { state: "damaged", damage: [damage] };
    }
    partitions.push({
      ...entry,
      number,
      firstLba: Number(firstLba),
      lastLba: Number(lastLba),
    });
  }
  const gpt: Gpt = {
    sectorSizeBytes,
    diskGuid: value.diskGuid,
    backupLba: part === "backup" ? lba : (header.alternateLba ?? place.diskSectors - 1),
    firstUsableLba: Number(value.firstUsableLba),
    lastUsableLba: Number(value.lastUsableLba),
    entriesLba: part === "primary" ? header.entriesLba : 2,
    entryCount: value.entryCount,
    entrySizeBytes: value.entrySizeBytes,
    partitions,
  };
  return {
    state: "valid",
    gpt,
    entries: entries.slice(0, entriesBytes),
    headerCrc32: value.headerCrc32,
    damage: [...header.damage, ...judgePartitions(gpt, part)],
  };
}

const crcOffset = gptHeader.offsets.headerCrc32!;

function isExact(lba: bigint): boolean {
  return lba <= BigInt(Number.MAX_SAFE_INTEGER);
}

function judgeHeader(value: GptHeader["value"], place: GptPlace): GptDamage[] {
  const { part, diskSectors } = place;
  const damage: GptDamage[] = [];
  if (value.revision !== gptRevision) {
    damage.push({ part, reason: "revision", found: value.revision, wanted: gptRevision });
  }
  if (value.lastUsableLba >= BigInt(diskSectors) || value.firstUsableLba > value.lastUsableLba) {
    const found = `${value.firstUsableLba} to ${value.lastUsableLba}`;
    damage.push({ part, reason: "usable-range", found, wanted: `below ${diskSectors}` });
  }
  return damage;
}

function judgePartitions(gpt: Gpt, part: "primary" | "backup"): GptDamage[] {
  const damage: GptDamage[] = [];
  const guids = new Map<string, number>();
  const byPlace = gpt.partitions.toSorted((a, b) => a.firstLba - b.firstLba);
  let highest: GptPartition | undefined;
  for (const partition of byPlace) {
    const { number, firstLba, lastLba, guid } = partition;
    const found = `${firstLba} to ${lastLba}`;
    if (firstLba > lastLba || firstLba < gpt.firstUsableLba || lastLba > gpt.lastUsableLba) {
      const wanted = `${gpt.firstUsableLba} to ${gpt.lastUsableLba}`;
      damage.push({ part, reason: "partition-range", partition: number, found, wanted });
    }
    if (highest && firstLba <= highest.lastLba) {
      const wanted = `after ${highest.lastLba}, the end of partition ${highest.number}`;
      damage.push({ part, reason: "partition-overlap", partition: number, found, wanted });
    }
    if (!highest || lastLba > highest.lastLba) highest = partition;
    if (guids.has(guid)) {
      damage.push({ part, reason: "duplicate-guid", partition: number, found: guid });
    }
    guids.set(guid, number);
  }
  return damage;
}
