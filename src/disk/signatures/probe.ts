/** Which superblocks lie on a partition or disk, the one that counts first. */

import { apfs } from "./apfs.ts";
import { integrity, luks, luksCopy, verity } from "./crypt.ts";
import { vfat } from "./fat.ts";
import { iso9660 } from "./iso9660.ts";
import { bcache, bcachefs, btrfs, erofs, ext, f2fs, squashfs, xfs } from "./linux.ts";
import { lvm, raid0, raid1 } from "./members.ts";
import type { Region } from "./region.ts";
import type { Probe, Signature } from "./signature.ts";
import { swap } from "./swap.ts";
import { bitlocker, exfat, ntfs } from "./windows.ts";
import { zfs, zfsCopy } from "./zfs.ts";

/**
 * Where several match, the earlier counts.
 *
 * What holds other things comes before what may be seen through it: a mirror's member has the file
 * system at its front. A system whose superblock lies at the very start was written later than one
 * further in, which its maker would have wiped (mkfs.btrfs wipes 2 MiB, mkswap the first sectors),
 * so btrfs and swap come after those, and ISO 9660, which leaves the first 32 KiB free, last.
 */
const probes: readonly Probe[] = [
  raid1,
  raid0,
  bcache,
  lvm,
  luks,
  verity,
  integrity,
  bitlocker,
  zfs,
  ntfs,
  exfat,
  vfat,
  ext,
  xfs,
  f2fs,
  erofs,
  squashfs,
  apfs,
  bcachefs,
  swap,
  btrfs,
  iso9660,
  luksCopy,
  zfsCopy,
];

/**
 * Everything that is recognised in a region, what counts first; the rest are remains, or lie
 * inside it. Reads both ends and a few KiB between them.
 * @throws BlockError other than `medium`, as the device does.
 */
export async function probeRegion(region: Region): Promise<Signature[]> {
  const found: Signature[] = [];
  for (const probe of probes) {
    const signature = await probe(region);
    const isCopyOfFound = signature?.isCopy && found.some(({ kind }) => kind === signature.kind);
    if (signature && !isCopyOfFound) found.push(signature);
  }
  const remains = found.filter((one) => isRemains(one, found));
  return [...found.filter((one) => !remains.includes(one)), ...remains];
}

/**
 * A superblock at the end of a mirror's member outlives the member: a file system at the front
 * that is larger than the member's data was made after it.
 */
function isRemains(one: Signature, all: readonly Signature[]): boolean {
  const memberBytes = one.sizeBytes;
  const isAtEnd = one.kind === "linux_raid_member" && one.offsetBytes > 4096;
  if (!isAtEnd || one.level !== "raid1" || memberBytes === undefined) return false;
  return all.some(
    (other) => other.kind !== one.kind && !other.isCopy && (other.sizeBytes ?? 0) > memberBytes,
  );
}
