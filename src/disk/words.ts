/** What lies on a disk, in the words that people have for it. */

import type { GptDamage, GptDamageReason } from "./gpt-decode.ts";
import type { Signature, SignatureKind } from "./signatures/signature.ts";

const namesMax = 5;

const kindWords: Readonly<Record<SignatureKind, string>> = {
  apfs: "APFS",
  bcache: "bcache",
  bcachefs: "bcachefs",
  BitLocker: "BitLocker",
  btrfs: "btrfs",
  crypto_LUKS: "LUKS",
  DM_integrity: "dm-integrity",
  DM_verity_hash: "dm-verity hashes",
  erofs: "EROFS",
  exfat: "exFAT",
  ext2: "ext2",
  ext3: "ext3",
  ext4: "ext4",
  f2fs: "F2FS",
  iso9660: "ISO 9660",
  jbd: "ext journal",
  linux_raid_member: "RAID",
  LVM2_member: "LVM",
  ntfs: "NTFS",
  squashfs: "SquashFS",
  swap: "swap",
  swsuspend: "hibernation image",
  vfat: "FAT",
  xfs: "XFS",
  zfs_member: "ZFS",
};

/** A foreign text in quotes, without control characters, which a terminal would obey. */
function quoted(text: string): string {
  return `"${text.replaceAll(/[\p{C}\p{Zl}\p{Zp}"]/gu, "\ufffd")}"`;
}

/** `ext4 "root"`, `LVM: PV of "vg0"`; `name` stands in for a label. */
export function signatureWords(signature: Signature, name = ""): string {
  const { kind, version, group, level, label } = signature;
  const of = group ? ` of ${quoted(group)}` : "";
  if (kind === "LVM2_member") return `LVM: PV${of}`;
  if (kind === "zfs_member") return `ZFS: ${group ? `pool ${quoted(group)}` : "member"}`;
  if (kind === "linux_raid_member") return `${level?.toUpperCase() ?? "RAID"} member${of}`;
  const word =
    kind === "vfat"
      ? (version ?? kindWords.vfat)
      : kind === "crypto_LUKS"
        ? `LUKS${version ?? ""}`
        : kindWords[kind];
  const called = label || name;
  return called ? `${word} ${quoted(called)}` : word;
}

/** Up to five, then how many more. */
export function listWords(words: readonly string[]): string {
  const more = words.length - namesMax;
  const shown = words.slice(0, namesMax).join(", ");
  return more > 0 ? `${shown} and ${more} more` : shown;
}

const reasonWords: Readonly<Record<GptDamageReason, string>> = {
  unreadable: "cannot be read from the medium",
  "header-size": "has a header of impossible size",
  "header-crc": "has a header with a wrong checksum",
  "my-lba": "says that it belongs elsewhere",
  "entry-size": "has entries of impossible number or size",
  "entries-place": "has its entries outside the disk",
  "entries-crc": "has entries with a wrong checksum",
  "out-of-range": "has sector numbers that no disk has",
  revision: "is of an unknown revision",
  "usable-range": "allows partitions outside the disk",
  "partition-range": "has a partition outside the usable range",
  "partition-overlap": "has partitions that overlap",
  "duplicate-guid": "has two partitions with one GUID",
  "backup-not-at-end": "does not lie at the end of the disk",
  "copies-differ": "differs from the primary one",
  "copy-missing": "is missing",
  "mbr-not-protective": "does not protect the table from old programs",
  "mbr-size": "protects a disk of another size",
  "sector-size": "was made for another sector size",
};

const partWords = { mbr: "MBR", primary: "primary GPT", backup: "backup GPT" } as const;

/** A sentence for one damage of a table. */
export function damageWords({ reason, part, partition, found, wanted }: GptDamage): string {
  const where = partition === undefined ? "" : ` (partition ${partition})`;
  const facts = [
    ...(found === undefined ? [] : [`found ${found}`]),
    ...(wanted === undefined ? [] : [`wanted ${wanted}`]),
  ].join(", ");
  return `The ${partWords[part]} ${reasonWords[reason]}${where}${facts ? `: ${facts}` : ""}.`;
}
