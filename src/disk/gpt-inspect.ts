/** The GUID partition table of a disk: both copies, the MBR before them, and what is wrong. */

import { isDeepStrictEqual } from "node:util";
import type { BlockDevice, CallOptions } from "../block/index.ts";
import type { Gpt, SectorSize } from "./gpt.ts";
import {
  decodeGptEntries,
  decodeGptHeader,
  type GptCopy,
  type GptDamage,
  type GptPlace,
} from "./gpt-decode.ts";
import { decodeMbr, type Mbr } from "./mbr.ts";
import { readBytes } from "./read.ts";

/** Everything that the first and last sectors say about partitions. */
export interface GptReport {
  /** That of the table; of the device when there is none. */
  readonly sectorSizeBytes: SectorSize;
  readonly mbr: Mbr;
  readonly primary: GptCopy;
  readonly backup: GptCopy;
  /** The table to go by: of the primary copy, else of the backup; none when both are bad. */
  readonly gpt: Gpt | undefined;
  /** All damage, that of the copies included; empty for a healthy table, and for no table. */
  readonly damage: readonly GptDamage[];
}

/**
 * Looks at a disk's partition table without changing anything.
 *
 * A table that was written for the other sector size is read too and said to be so. Sectors that
 * the medium cannot read count as damage.
 * @throws BlockError other than `medium`, as the device does.
 */
export async function inspectGpt(device: BlockDevice, options?: CallOptions): Promise<GptReport> {
  const own: SectorSize = device.blockSizeBytes === 512 ? 512 : 4096;
  const other: SectorSize = own === 512 ? 4096 : 512;
  const mbr = decodeMbr((await readBytes(device, 0, 512, options)) ?? new Uint8Array());
  const found = await inspectAs(device, own, mbr, options);
  if (found.primary.state !== "absent" || found.backup.state !== "absent") return found;
  const foreign = await inspectAs(device, other, mbr, options);
  if (foreign.primary.state === "absent") return found;
  const damage: GptDamage = { reason: "sector-size", part: "primary", found: other, wanted: own };
  return { ...foreign, damage: [damage, ...foreign.damage] };
}

async function inspectAs(
  device: BlockDevice,
  sectorSizeBytes: SectorSize,
  mbr: Mbr,
  options?: CallOptions,
): Promise<GptReport> {
  const diskSectors = Math.floor(device.sizeBytes / sectorSizeBytes);
  const look = (part: GptPlace["part"], lba: number) =>
    inspectCopy(device, { part, lba, sectorSizeBytes, diskSectors }, options);
  const primary = await look("primary", 1);
  let backup = await look("backup", diskSectors - 1);
  const damage: GptDamage[] = [];
  if (primary.state === "valid" && primary.gpt.backupLba !== diskSectors - 1) {
    const { backupLba } = primary.gpt;
    damage.push({
      reason: "backup-not-at-end",
      part: "backup",
      found: backupLba,
      wanted: diskSectors - 1,
    });
    if (backup.state === "absent" && backupLba > 1 && backupLba < diskSectors) {
      backup = await look("backup", backupLba);
    }
  }
  const gpt =
    primary.state === "valid" ? primary.gpt : backup.state === "valid" ? backup.gpt : undefined;
  if (primary.state === "absent" && backup.state === "absent") {
    return { sectorSizeBytes, mbr, primary, backup, gpt, damage };
  }
  damage.push(...compareCopies(primary, backup), ...judgeMbr(mbr, diskSectors));
  return { sectorSizeBytes, mbr, primary, backup, gpt, damage };
}

async function inspectCopy(
  device: BlockDevice,
  place: GptPlace,
  options?: CallOptions,
): Promise<GptCopy> {
  const { part, lba, sectorSizeBytes, diskSectors } = place;
  if (lba < 1 || lba >= diskSectors) return { state: "absent" };
  const unreadable = (at: number): GptCopy => ({
    state: "damaged",
    damage: [{ reason: "unreadable", part, found: at }],
  });
  const sector = await readBytes(device, lba * sectorSizeBytes, sectorSizeBytes, options);
  if (!sector) return unreadable(lba);
  const decoded = decodeGptHeader(sector, place);
  if ("copy" in decoded) return decoded.copy;
  const { entriesLba, entriesBytes } = decoded.header;
  const entries = await readBytes(device, entriesLba * sectorSizeBytes, entriesBytes, options);
  return entries ? decodeGptEntries(decoded.header, entries, place) : unreadable(entriesLba);
}

function compareCopies(primary: GptCopy, backup: GptCopy): GptDamage[] {
  const damage: GptDamage[] = [];
  for (const [part, copy] of [
    ["primary", primary],
    ["backup", backup],
  ] as const) {
    if (copy.state === "absent") damage.push({ reason: "copy-missing", part });
    else damage.push(...copy.damage);
  }
  if (primary.state === "valid" && backup.state === "valid") {
    const { entriesLba, backupLba } = primary.gpt;
    if (!isDeepStrictEqual(primary.gpt, { ...backup.gpt, entriesLba, backupLba })) {
      damage.push({ reason: "copies-differ", part: "backup" });
    }
  }
  return damage;
}

function judgeMbr(mbr: Mbr, diskSectors: number): GptDamage[] {
  if (mbr.kind !== "protective") {
    return [{ reason: "mbr-not-protective", part: "mbr", found: mbr.kind, wanted: "protective" }];
  }
  const found = mbr.partitions[0]?.sectors ?? 0;
  const wanted = Math.min(diskSectors - 1, 0xffff_ffff);
  // FFFFFFFFh on a small disk is common and every system takes it.
  if (found === wanted || found === 0xffff_ffff) return [];
  return [{ reason: "mbr-size", part: "mbr", found, wanted }];
}
