/**
 * Disks with something on them that an operating system would like to mount, assemble, resume from
 * or repair. Made by the tools that make them in the field (e2fsprogs, btrfs-progs, util-linux,
 * cryptsetup-bin, gdisk) or by hand, and each checked by a tool that is not its maker.
 */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { open, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { lvmMember, raidMember } from "./volume-superblocks.ts";

const run = promisify(execFile);
const mebibyte = 1024 * 1024;

/** A disk with something on it. */
export interface DiskImage {
  readonly name: string;
  readonly path: string;
}

interface Recipe {
  readonly sizeBytes: number;
  /** Puts the content onto a file of zeros. */
  make(path: string, sizeBytes: number): Promise<void>;
  /** What a judge says of it: words of `blkid -p`, of `sgdisk -v`, of `dumpe2fs -h`. */
  readonly judge: readonly [command: string, ...parameters: string[]];
  readonly says: RegExp;
}

const blkid = ["blkid", "-p", "-o", "export"] as const;

const recipes: Readonly<Record<string, Recipe>> = {
  lvm: {
    sizeBytes: 32 * mebibyte,
    make: (path, sizeBytes) => writeAt(path, 0, lvmMember(sizeBytes)),
    judge: blkid,
    says: /^TYPE=LVM2_member$/m,
  },
  raid: {
    sizeBytes: 32 * mebibyte,
    make: (path, sizeBytes) => writeAt(path, 0, raidMember(sizeBytes)),
    judge: blkid,
    says: /^TYPE=linux_raid_member$/m,
  },
  luks: {
    sizeBytes: 32 * mebibyte,
    make: async (path) => {
      const keyPath = `${path}.key`;
      await writeFile(keyPath, "scratch");
      const cheap = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"];
      await run("cryptsetup", ["luksFormat", "-q", "--type", "luks2", ...cheap, path, keyPath]);
    },
    judge: blkid,
    says: /^TYPE=crypto_LUKS$/m,
  },
  btrfs: {
    sizeBytes: 128 * mebibyte,
    make: (path) => runQuietly("mkfs.btrfs", "-q", path),
    judge: blkid,
    says: /^TYPE=btrfs$/m,
  },
  "ext4-dirty": {
    sizeBytes: 64 * mebibyte,
    make: makeDirtyExt4,
    judge: ["dumpe2fs", "-h"],
    says: /features:.* needs_recovery /,
  },
  hibernated: {
    sizeBytes: 32 * mebibyte,
    make: makeHibernated,
    judge: blkid,
    says: /^TYPE=swsuspend$/m,
  },
  "gpt-auto": {
    sizeBytes: 64 * mebibyte,
    make: makeDiscoverable,
    judge: ["sgdisk", "-p"],
    says: /\b8304\b.*\b8200\b/s,
  },
  "gpt-main-bad": {
    sizeBytes: 64 * mebibyte,
    make: (path) => makeDamaged(path, sectorBytes),
    judge: ["sgdisk", "-v"],
    says: /Main header: ERROR\nBackup header: OK/,
  },
  "gpt-backup-bad": {
    sizeBytes: 64 * mebibyte,
    make: (path, sizeBytes) => makeDamaged(path, sizeBytes - sectorBytes),
    judge: ["sgdisk", "-v"],
    says: /Main header: OK\nBackup header: ERROR/,
  },
};

/** Makes one of each in `folder`, and lets its judge look at it. */
export async function makeDiskImages(folder: string): Promise<DiskImage[]> {
  return await Promise.all(
    Object.entries(recipes).map(async ([name, { sizeBytes, make, judge, says }]) => {
      const path = join(folder, `${name}.raw`);
      await writeFile(path, "");
      await truncate(path, sizeBytes);
      await make(path, sizeBytes);
      const [command, ...parameters] = judge;
      const { stdout, stderr } = await run(command, [...parameters, path]);
      assert.match(stdout + stderr, says, `${command} looks at ${name}`);
      return { name, path };
    }),
  );
}

/** SHA-256 of a file, in hex. */
export async function hashFile(path: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const piece of createReadStream(path)) hash.update(piece);
  return hash.digest("hex");
}

const sectorBytes = 512;

async function runQuietly(command: string, ...parameters: string[]): Promise<void> {
  await run(command, parameters);
}

async function writeAt(path: string, offsetBytes: number, data: Uint8Array): Promise<void> {
  await using file = await open(path, "r+");
  await file.write(data, 0, data.length, offsetBytes);
}

/** A file system that was not unmounted: its journal holds a block that waits to be replayed. */
async function makeDirtyExt4(path: string): Promise<void> {
  await runQuietly("mkfs.ext4", "-q", "-F", path);
  const [block, script] = [`${path}.block`, `${path}.debugfs`];
  await writeFile(block, "This block waits in the journal.");
  await writeFile(script, `journal_open\njournal_write -b 4000 ${block}\njournal_close\n`);
  await runQuietly("debugfs", "-w", "-f", script, path);
}

/** Where the signature of swap space ends: the first page does. */
const pageBytes = 4096;
const resumeSignature = "S1SUSPEND\0";

/** Swap space that holds a hibernated system: whoever resumes from it changes the signature. */
async function makeHibernated(path: string): Promise<void> {
  await runQuietly("mkswap", "-q", "-L", "hibernated", path);
  await writeAt(path, pageBytes - resumeSignature.length, Buffer.from(resumeSignature));
}

/** An ESP, a root and swap by the types that systemd's GPT generator goes by. */
async function makeDiscoverable(path: string): Promise<void> {
  await partition(path);
  // mke2fs writes its own offset into a file: a file system of 16 MiB in the second partition.
  const offset = `offset=${9 * mebibyte}`;
  await runQuietly("mkfs.ext4", "-q", "-F", "-E", offset, path, "16M");
}

async function partition(path: string): Promise<void> {
  const [esp, root] = ["1:2048:+8M", "2:0:+16M"];
  const types = ["-t", "1:ef00", "-t", "2:8304", "-t", "3:8200"];
  await runQuietly("sgdisk", "-o", "-n", esp, "-n", root, "-n", "3:0:+8M", ...types, path);
}

/** A table with one header whose checksum is wrong. */
async function makeDamaged(path: string, headerOffsetBytes: number): Promise<void> {
  await partition(path);
  const checksumOffset = 16;
  await writeAt(path, headerOffsetBytes + checksumOffset, Buffer.from("oops"));
}
