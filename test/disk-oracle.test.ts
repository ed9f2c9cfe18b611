/**
 * What `describeDisk` recognises, judged by blkid, on what the real tools make.
 *
 * Needs blkid and mkswap (package util-linux) and the makers that the table below names. One that
 * is missing fails under CI and skips its tests elsewhere.
 */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, open, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { promisify } from "node:util";
import { FileDisk } from "../src/block/index.ts";
import { describeDisk, type SignatureKind } from "../src/disk/index.ts";
import { diskSamples } from "../src/disk/testing/samples.ts";
import { has, toolEnv } from "./driver-tools.ts";

const run = promisify(execFile);
const megabyte = 1024 * 1024;
const folder = await mkdtemp(join(tmpdir(), "diskomator-disk-"));
after(() => rm(folder, { recursive: true }));
const env = {
  ...toolEnv,
  FILE: join(folder, "disk.img"),
  TREE: join(folder, "tree"),
};
await mkdir(env.TREE);
await writeFile(join(env.TREE, "file"), "hello\n".repeat(1000));

/** What blkid finds, by udev's names; texts are encoded there so that nothing is lost. */
async function askBlkid() {
  const { stdout } = await run("blkid", ["-p", "-o", "udev", env.FILE], { env });
  const said = (name: string) => {
    const text = new RegExp(`^ID_FS_${name}=(.*)$`, "m").exec(stdout)?.[1];
    return text?.replaceAll(/\\x([0-9a-f]{2})/g, (_, hex) =>
      String.fromCharCode(parseInt(hex, 16)),
    );
  };
  return {
    kind: said("TYPE"),
    label: said("LABEL_ENC"),
    uuid: said("UUID_ENC"),
    memberUuid: said("UUID_SUB_ENC"),
  };
}

async function describeFile() {
  await using disk = await FileDisk.open(env.FILE, { readOnly: true });
  return await describeDisk(disk);
}

async function compareWithBlkid(kind: SignatureKind, contents: string): Promise<void> {
  const found = await describeFile();
  const [first] = found.signatures;
  assert.deepEqual(
    { kind: first?.kind, label: first?.label, uuid: first?.uuid, memberUuid: first?.memberUuid },
    await askBlkid(),
  );
  assert.equal(first?.kind, kind);
  assert.equal(found.contents, contents);
}

const luks = "--pbkdf-force-iterations 1000 $FILE -";
/** How an image of so many MiB is made, and what it is. */
const made: readonly [SignatureKind, contents: string, mebibytes: number, command: string][] = [
  ["ext2", 'whole-disk ext2 "data"', 8, "mkfs.ext2 -q -L data $FILE"],
  ["ext3", 'whole-disk ext3 "data"', 16, "mkfs.ext3 -q -L data $FILE"],
  ["ext4", 'whole-disk ext4 "größe"', 16, "mkfs.ext4 -q -L größe $FILE"],
  ["ext4", "whole-disk ext4", 16, "mkfs.ext4 -q -O ^has_journal $FILE"],
  ["jbd", 'whole-disk ext journal "j"', 16, "mke2fs -q -O journal_dev -L j $FILE"],
  ["xfs", 'whole-disk XFS "data"', 512, "mkfs.xfs -q -L data $FILE"],
  ["btrfs", 'whole-disk btrfs "data"', 256, "mkfs.btrfs -q -L data $FILE"],
  ["f2fs", 'whole-disk F2FS "data"', 128, "mkfs.f2fs -q -l data $FILE"],
  ["ntfs", 'whole-disk NTFS "OS"', 16, "mkntfs -q -F -L OS $FILE"],
  ["ntfs", 'whole-disk NTFS "Ünï"', 64, "mkntfs -q -F -c 65536 -L Ünï $FILE"],
  ["exfat", 'whole-disk exFAT "camera"', 16, "mkfs.exfat -L camera $FILE"],
  ["exfat", "whole-disk exFAT", 16, "mkfs.exfat $FILE"],
  ["vfat", 'whole-disk FAT12 "FLOPPY"', 1, "mkfs.fat -F 12 -n FLOPPY $FILE"],
  ["vfat", 'whole-disk FAT16 "BOOT"', 16, "mkfs.fat -F 16 -n BOOT $FILE"],
  ["vfat", 'whole-disk FAT32 "BOOT"', 64, "mkfs.fat -F 32 -n BOOT $FILE"],
  ["vfat", "whole-disk FAT32", 512, "mkfs.fat -F 32 -S 4096 $FILE"],
  ["swap", 'whole-disk swap "sw"', 8, "mkswap -q -L sw $FILE"],
  ["swap", "whole-disk swap", 8, "mkswap -q -p 65536 $FILE"],
  ["crypto_LUKS", "LUKS1", 16, `printf x | cryptsetup -q luksFormat --type luks1 ${luks}`],
  [
    "crypto_LUKS",
    'LUKS2 "vault"',
    32,
    `printf x | cryptsetup -q luksFormat --type luks2 --label vault --pbkdf pbkdf2 ${luks}`,
  ],
  ["DM_verity_hash", "dm-verity hashes", 8, "veritysetup format $TREE/file $FILE"],
  ["squashfs", "whole-disk SquashFS", 1, "mksquashfs $TREE $FILE -quiet -noappend -no-progress"],
  ["erofs", "whole-disk EROFS", 1, "mkfs.erofs --quiet $FILE $TREE"],
  ["iso9660", 'ISO 9660 "DEBIAN 13"', 1, 'xorriso -as mkisofs -V "DEBIAN 13" -o $FILE $TREE'],
  [
    "iso9660",
    'ISO 9660 "Debian 13.1.0 amd64 n"',
    1,
    'xorriso -as mkisofs -J -V "Debian 13.1.0 amd64 n" -o $FILE $TREE',
  ],
];

for (const [index, [kind, contents, mebibytes, command]] of made.entries()) {
  test(`describeDisk sees what blkid sees: ${contents} (${index})`, async (t) => {
    const maker = command.replace("printf x | ", "").split(" ")[0]!;
    if (!(await has(t, "blkid", maker))) return;
    await writeSparse(mebibytes * megabyte, []);
    await run("sh", ["-ec", command], { env });
    // Images that are made to measure may end within a sector.
    await using file = await open(env.FILE, "r+");
    await file.truncate(Math.ceil((await file.stat()).size / 4096) * 4096);
    await compareWithBlkid(kind, contents);
  });
}

for (const { name, sizeBytes, extents, signature, contents, isKnownToBlkid } of diskSamples) {
  if (!isKnownToBlkid) continue;
  test(`diskSamples has a ${name} that blkid takes for one`, async (t) => {
    if (!(await has(t, "blkid"))) return;
    await writeSparse(sizeBytes, extents);
    await compareWithBlkid(signature.kind, contents);
  });
}

test("describeDisk sees the second header of LUKS2 when the first is gone", async (t) => {
  if (!(await has(t, "cryptsetup"))) return;
  await writeSparse(32 * megabyte, []);
  const format = `cryptsetup -q luksFormat --type luks2 --pbkdf pbkdf2 ${luks}`;
  await run(
    "sh",
    ["-ec", `printf x | ${format}; dd if=/dev/zero of=$FILE bs=4k count=1 conv=notrunc`],
    { env },
  );
  assert.equal((await describeFile()).contents, "unknown data, remains of LUKS2");
});

/** A new file at FILE. */
async function writeSparse(
  sizeBytes: number,
  extents: readonly { offsetBytes: number; bytes: Uint8Array }[],
): Promise<void> {
  await using file = await open(env.FILE, "w");
  await file.truncate(sizeBytes);
  for (const { offsetBytes, bytes } of extents) {
    await file.write(bytes, 0, bytes.byteLength, offsetBytes);
  }
}
