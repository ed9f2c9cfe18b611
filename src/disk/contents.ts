/** The one line for a disk's contents. */

import type { DiskDescription, PartitionDescription } from "./description.ts";
import type { Signature } from "./signatures/signature.ts";
import { listWords, signatureWords } from "./words.ts";

type Facts = Omit<DiskDescription, "contents">;

/** `GPT: ESP, ext4 "root"`, `Windows: NTFS "OS", 4 partitions`, `whole-disk ext4 "data"`, `blank`. */
export function contentsLine(facts: Facts, isReadable: boolean): string {
  const { table, partitions, signatures, isBlank, sizeBytes } = facts;
  if (sizeBytes === 0) return "no medium";
  if (!isReadable && table.kind === "none") return "unreadable";
  const over = overTable(signatures, partitions);
  if (over) return signatureWords(over);
  if (table.kind === "none") {
    const [first] = signatures;
    if (!first) return isBlank ? "blank" : "unknown data";
    if (first.isCopy) return `unknown data, remains of ${signatureWords(first)}`;
    return wholeDisk(first);
  }
  const flaws = flawWords(facts);
  const suffix = flaws.length > 0 ? ` (${flaws.join(", ")})` : "";
  const held = partitions.filter(({ typeName }) => typeName !== "extended");
  const windows = windowsPartition(held);
  if (windows) {
    const count = held.length === 1 ? "1 partition" : `${held.length} partitions`;
    return `Windows${suffix}: ${windows.contents}, ${count}`;
  }
  const name = table.kind === "gpt" ? "GPT" : "MBR";
  if (table.kind === "gpt" && table.diskId === "") return `${name}${suffix}`;
  if (held.length === 0) return `${name}${suffix}: no partitions`;
  const shown = held.filter(({ type }) => !small.includes(type));
  return `${name}${suffix}: ${listWords((shown.length > 0 ? shown : held).map((one) => one.contents))}`;
}

/** Partitions that nobody looks for in a list: BIOS boot, Microsoft reserved. */
const biosBoot = "21686148-6449-6e6f-744e-656564454649";
const microsoftReserved = "e3c9e316-0b5c-4db8-817d-f92df00215ae";
const small = [biosBoot, microsoftReserved];

/** A hybrid image's table covers the descriptors of its ISO 9660; a later table begins after. */
const isoDescriptorAt = 32768;

/**
 * What counts more than a table: a CD image, whose table is there for booting from a stick, and a
 * mirror of whole disks, whose members show the mirror's table.
 */
function overTable(
  signatures: readonly Signature[],
  partitions: readonly PartitionDescription[],
): Signature | undefined {
  const [first] = signatures;
  if (!first) return undefined;
  const within = partitions.flatMap((one) => one.signatures);
  const isWithin = within.some(({ kind, uuid }) => kind === first.kind && uuid === first.uuid);
  if (first.kind === "linux_raid_member") return isWithin ? undefined : first;
  const iso = signatures.find(({ kind, isCopy }) => kind === "iso9660" && !isCopy);
  const isHybrid = partitions.some(({ startBytes }) => startBytes <= isoDescriptorAt);
  return iso === first && isHybrid ? iso : undefined;
}

/** Containers say themselves what they are; file systems are usually in partitions. */
const containers = [
  "crypto_LUKS",
  "linux_raid_member",
  "LVM2_member",
  "zfs_member",
  "iso9660",
  "BitLocker",
  "bcache",
  "DM_integrity",
  "DM_verity_hash",
];

function wholeDisk(signature: Signature): string {
  const words = signatureWords(signature);
  return containers.includes(signature.kind) ? words : `whole-disk ${words}`;
}

/** The partition that Windows is on: the largest NTFS or BitLocker of a disk that Windows made. */
function windowsPartition(
  partitions: readonly PartitionDescription[],
): PartitionDescription | undefined {
  const isWindows = partitions.some(
    ({ type, typeName, signatures }) =>
      type === microsoftReserved ||
      typeName === "Windows recovery" ||
      signatures[0]?.label === "System Reserved",
  );
  if (!isWindows) return undefined;
  return partitions
    .filter(({ typeName, signatures }) => {
      const kind = signatures[0]?.kind;
      return typeName !== "Windows recovery" && (kind === "ntfs" || kind === "BitLocker");
    })
    .toSorted((a, b) => b.sizeBytes - a.sizeBytes)
    .at(0);
}

/** What is wrong with the table, in a few words. */
function flawWords({ table, gpt, blockSizeBytes }: Facts): string[] {
  if (table.kind === "none") return [];
  const flaws: string[] = [];
  if (table.sectorSizeBytes !== blockSizeBytes) {
    flaws.push(`made for ${table.sectorSizeBytes}-byte sectors`);
  }
  if (table.kind === "mbr") return flaws;
  const { primary, backup, damage } = gpt;
  const state = { absent: "lost", damaged: "damaged", valid: "" } as const;
  if (state[primary.state]) flaws.push(`${state[primary.state]} primary`);
  if (state[backup.state]) flaws.push(`${state[backup.state]} backup`);
  const has = (reason: string) => damage.some((one) => one.reason === reason);
  if (has("backup-not-at-end") && backup.state === "valid") flaws.push("backup not at the end");
  if (has("copies-differ")) flaws.push("copies differ");
  if (has("partition-overlap")) flaws.push("partitions overlap");
  if (table.isHybrid) flaws.push("hybrid MBR");
  return flaws;
}
