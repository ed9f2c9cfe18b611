/**
 * Changes of a table that lies on a disk: moving the backup to the end, growing the last partition.
 * Each is planned here as bytes to write, in steps after which one copy is whole.
 */

import { viewOf } from "../bytes/index.ts";
import { DiskError } from "./error.ts";
import type { Extent } from "./extent.ts";
import { alignmentBytes, encodeGpt, entrySectors, type Gpt } from "./gpt.ts";
import type { GptTable } from "./gpt-decode.ts";
import type { GptReport } from "./gpt-inspect.ts";
import { gptEntry, gptHeader } from "./gpt-layout.ts";
import { planProtectiveMbr } from "./mbr.ts";

/** The shape of the disk that a table lies on; a BlockDevice has it. */
export interface DiskShape {
  readonly sizeBytes: number;
  readonly blockSizeBytes: number;
}

/** A changed table and how it gets onto the disk. */
export interface GptEdit extends GptTable {
  /**
   * In order; each must be on the medium before the next is begun, so that a cut leaves one copy.
   * None when nothing is to be changed.
   */
  readonly steps: readonly (readonly Extent[])[];
}

/** How the backup is moved. */
export interface GptRelocationOptions {
  /**
   * Space that no partition may take, between the last usable sector and the backup copy, for a
   * mark. It is left out when partitions lie there already. 0 unless told.
   */
  readonly reserveBytes?: number;
}

/**
 * Moves the backup copy to the end of the disk, as after an image was written to a larger one, and
 * makes the space before it usable. No partition moves or grows.
 * @throws DiskError `no-table` when neither copy can be used, `sector-size` when the table was made
 *   for other sectors, `does-not-fit` when a copy would lie on a partition.
 */
export function planGptRelocation(
  report: GptReport,
  disk: DiskShape,
  { reserveBytes = 0 }: GptRelocationOptions = {},
): GptEdit {
  const { gpt: found, entries } = tableOf(report, disk);
  const sectors = sectorsOf(disk);
  const { sectorSizeBytes } = found;
  const last = sectors - 2 - entrySectors(found.entryCount, found.entrySizeBytes, sectorSizeBytes);
  const reserved = last - Math.ceil(reserveBytes / sectorSizeBytes);
  const taken = Math.max(found.firstUsableLba, ...found.partitions.map(({ lastLba }) => lastLba));
  const lastUsableLba = taken <= reserved ? reserved : last;
  const gpt: Gpt = { ...found, backupLba: sectors - 1, lastUsableLba };
  checkPlaces(gpt);
  const made = encode(gpt, entries);
  const steps = [made.backup, made.primary, planProtectiveMbr(report.mbr, sectors)];
  return { ...made.table, steps: steps.filter((step) => step.length > 0) };
}

/**
 * Lets the partition that lies last end at the last multiple of 1 MiB in the usable range. What it
 * holds must be grown by its own tools. For a disk whose backup lies at the end.
 * @throws DiskError `no-partition` when there is none.
 */
export function planGptGrowth({ gpt, entries, headerCrc32 }: GptTable): GptEdit {
  const last = gpt.partitions.toSorted((a, b) => a.lastLba - b.lastLba).at(-1);
  if (!last) {
    throw new DiskError("no-partition", "Cannot grow the last partition: the table has none.");
  }
  const step = alignmentBytes / gpt.sectorSizeBytes;
  const lastLba = Math.floor((gpt.lastUsableLba + 1) / step) * step - 1;
  if (lastLba <= last.lastLba) return { gpt, entries, headerCrc32, steps: [] };
  const grown = entries.slice();
  const at = (last.number - 1) * gpt.entrySizeBytes + gptEntry.offsets.lastLba!;
  viewOf(grown).setBigUint64(at, BigInt(lastLba), true);
  const partitions = gpt.partitions.map((one) => (one === last ? { ...one, lastLba } : one));
  const made = encode({ ...gpt, partitions }, grown);
  return { ...made.table, steps: [made.backup, made.primary] };
}

/** The copy to go by, when it can be used on this disk. */
function tableOf({ primary, backup, sectorSizeBytes }: GptReport, disk: DiskShape): GptTable {
  if (sectorSizeBytes !== disk.blockSizeBytes) {
    throw new DiskError(
      "sector-size",
      `Cannot move the backup of the partition table: it was made for sectors of ${sectorSizeBytes} bytes, ` +
        `and the disk has ${disk.blockSizeBytes}. Use an image for that sector size.`,
      { found: sectorSizeBytes, wanted: disk.blockSizeBytes },
    );
  }
  const copy = primary.state === "valid" ? primary : backup;
  if (copy.state !== "valid") {
    throw new DiskError(
      "no-table",
      `Cannot move the backup of the partition table: neither copy can be used (the primary is ` +
        `${primary.state}, the backup ${backup.state}). Write the disk's image again.`,
      { primary: primary.state, backup: backup.state },
    );
  }
  return copy;
}

/** Neither copy may lie on a partition. */
function checkPlaces(gpt: Gpt): void {
  const { entryCount, entrySizeBytes, sectorSizeBytes, entriesLba, backupLba } = gpt;
  const length = entrySectors(entryCount, entrySizeBytes, sectorSizeBytes);
  const refuse = (what: string, facts: Record<string, number>) => {
    throw new DiskError(
      "does-not-fit",
      `Cannot move the backup of the partition table: ${what}. Nothing was changed.`,
      facts,
    );
  };
  for (const { number, firstLba, lastLba } of gpt.partitions) {
    const onPrimary = firstLba <= 1 || (firstLba < entriesLba + length && lastLba >= entriesLba);
    if (onPrimary) {
      refuse(`partition ${number} begins at sector ${firstLba}, where the primary copy lies`, {
        number,
        firstLba,
      });
    }
    if (lastLba >= backupLba - length) {
      refuse(`partition ${number} ends at sector ${lastLba}, where the backup copy would lie`, {
        number,
        lastLba,
      });
    }
  }
}

function sectorsOf({ sizeBytes, blockSizeBytes }: DiskShape): number {
  return Math.floor(sizeBytes / blockSizeBytes);
}

/** Both copies, and the table as it will be read from the primary one. */
function encode(
  gpt: Gpt,
  entries: Uint8Array,
): { table: GptTable; primary: readonly Extent[]; backup: readonly Extent[] } {
  const { primary, backup } = encodeGpt(gpt, entries);
  const header = primary.find(({ offsetBytes }) => offsetBytes === gpt.sectorSizeBytes)!;
  const { headerCrc32 } = gptHeader.decode(header.bytes);
  return { table: { gpt, entries, headerCrc32 }, primary, backup };
}
