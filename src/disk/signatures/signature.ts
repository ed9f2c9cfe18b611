/** What a probe finds, and how a probe is declared: one layout, its places, its reading. */

import type { Layout } from "../../bytes/index.ts";
import type { Region } from "./region.ts";

/** What was recognised, by the name that lsblk has for it. */
export type SignatureKind =
  | "apfs"
  | "bcache"
  | "bcachefs"
  | "BitLocker"
  | "btrfs"
  | "crypto_LUKS"
  | "DM_integrity"
  | "DM_verity_hash"
  | "erofs"
  | "exfat"
  | "ext2"
  | "ext3"
  | "ext4"
  | "f2fs"
  | "iso9660"
  | "jbd"
  | "linux_raid_member"
  | "LVM2_member"
  | "ntfs"
  | "squashfs"
  | "swap"
  | "swsuspend"
  | "vfat"
  | "xfs"
  | "zfs_member";

/** A superblock that was recognised. */
export interface Signature {
  readonly kind: SignatureKind;
  /** Of the superblock, from the start of the partition or disk. */
  readonly offsetBytes: number;
  /** As lsblk shows it: `FAT32`, `1.2`, `2`. */
  readonly version?: string;
  readonly label?: string;
  /** As lsblk shows it; of the whole set where several disks carry one. */
  readonly uuid?: string;
  /** Of this member of a set. */
  readonly memberUuid?: string;
  /** The volume group, pool or array that it belongs to. */
  readonly group?: string;
  /** `raid1`, `linear`. */
  readonly level?: string;
  /** What the file system or the member's data takes, where the superblock says so. */
  readonly sizeBytes?: number;
  /** Only a second copy was found: remains of something, as a rule. */
  readonly isCopy?: true;
}

/** What a superblock says; empty texts and UUIDs of zeros are left out of the signature. */
export interface Findings {
  readonly kind: SignatureKind;
  readonly version?: string | undefined;
  readonly label?: string | undefined;
  readonly uuid?: string | undefined;
  readonly memberUuid?: string | undefined;
  readonly group?: string | undefined;
  readonly level?: string | undefined;
  readonly sizeBytes?: bigint | number | undefined;
  readonly isCopy?: boolean;
}

/** Looks for one kind of superblock. */
export type Probe = (region: Region) => Promise<Signature | undefined>;

/** One kind of superblock. */
export interface Superblock<V> {
  readonly layout: Layout<V>;
  /** Where it can lie in a region of this size; the first that `read` accepts counts. */
  readonly places: (sizeBytes: number) => readonly number[];
  /** What it says; `undefined` when it is none. `region` is for names that lie elsewhere. */
  readonly read: (
    value: V,
    region: Region,
    offsetBytes: number,
  ) => Findings | undefined | Promise<Findings | undefined>;
}

/** The probe for a declared superblock. */
export function superblock<V>({ layout, places, read }: Superblock<V>): Probe {
  return async (region) => {
    for (const offsetBytes of places(region.sizeBytes)) {
      const bytes = await region.read(offsetBytes, layout.size);
      if (!bytes) continue;
      const found = await read(layout.decode(bytes), region, offsetBytes);
      if (found) return signatureOf(found, offsetBytes);
    }
    return undefined;
  };
}

function signatureOf({ kind, sizeBytes, isCopy, ...texts }: Findings, offsetBytes: number) {
  const size = Number(sizeBytes ?? 0);
  const named: { -readonly [K in keyof typeof texts]?: string } = {};
  for (const key of ["version", "label", "uuid", "memberUuid", "group", "level"] as const) {
    const value = texts[key];
    if (value && !/^[0-]+$/.test(value)) named[key] = value;
  }
  return {
    kind,
    offsetBytes,
    ...named,
    ...(size > 0 && Number.isSafeInteger(size) ? { sizeBytes: size } : {}),
    ...(isCopy ? { isCopy } : {}),
  } satisfies Signature;
}
