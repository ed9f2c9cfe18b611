/**
 * Partition tables that are changed by plans, judged by sgdisk and fdisk.
 *
 * Needs sgdisk (package gdisk), fdisk (fdisk), mkfs.ext4 (e2fsprogs), mkfs.fat (dosfstools) and
 * xorriso. One that is missing fails under CI and skips its tests elsewhere.
 */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { copyFile, mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { promisify } from "node:util";
import fc from "fast-check";
import { FileDisk } from "../src/block/index.ts";
import {
  describeDisk,
  encodeGpt,
  type Gpt,
  inspectGpt,
  markReserveBytes,
  partitionTypes,
  planGpt,
  planGptGrowth,
  planGptRelocation,
  planMark,
  readMark,
  type SectorSize,
  writeExtents,
} from "../src/disk/index.ts";
import { applyGptEdit } from "../src/disk/testing/apply-edit.ts";
import { has, toolEnv } from "./driver-tools.ts";

const run = promisify(execFile);
const megabyte = 1024 * 1024;
const folder = await mkdtemp(join(tmpdir(), "diskomator-gpt-"));
after(() => rm(folder, { recursive: true }));
const file = join(folder, "disk.img");
const other = join(folder, "other.img");
const env = toolEnv;
/** Few runs, since sgdisk waits a second after each table that it writes. */
const property = { seed: 20261123, numRuns: 6, endOnFailure: true };

async function newFile(sizeBytes: number): Promise<void> {
  await rm(file, { force: true });
  await using made = await FileDisk.open(file, { createBytes: sizeBytes });
  assert.equal(made.sizeBytes, sizeBytes);
}

async function resize(sizeBytes: number): Promise<void> {
  await using opened = await open(file, "r+");
  await opened.truncate(sizeBytes);
}

async function onDisk<T>(body: (disk: FileDisk) => Promise<T>, blockSizeBytes: SectorSize = 512) {
  await using disk = await FileDisk.open(file, { blockSizeBytes });
  return await body(disk);
}

async function part(path: string, from: number, to: number): Promise<Buffer> {
  await using opened = await open(path, "r");
  return (await opened.read(Buffer.alloc(to - from), 0, to - from, from)).buffer;
}

/** What sgdisk says of partitions that end within a MiB, which is their maker's choice. */
const alignment = /Caution: Partition \d+ doesn't end on a \d+-sector boundary\. This may\n.*\n/g;
/** What sgdisk writes when something is wrong; a healthy table draws none of it. */
const complaint = /caution|warning|error|problem:|corrupt|damaged|invalid/i;

async function verify(): Promise<void> {
  const { stdout, stderr } = await run("sgdisk", ["-v", file], { env });
  assert.doesNotMatch(`${stdout}${stderr}`.replaceAll(alignment, ""), complaint);
  assert.match(stdout, /No problems found/);
}

const hexText = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const anyGuid = fc
  .uint8Array({ minLength: 16, maxLength: 16 })
  .map((bytes) => hexText(bytes).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5"));
const anyPartition = fc.record({
  typeGuid: fc.constantFrom(partitionTypes.efiSystem, partitionTypes.linuxData),
  guid: anyGuid,
  name: fc.stringMatching(/^[A-Za-z0-9äöü_]{0,36}$/),
  sizeBytes: fc.integer({ min: 512, max: 3 * megabyte }),
});
const anyGpt = fc
  .record({
    diskGuid: anyGuid,
    partitions: fc.uniqueArray(anyPartition, {
      minLength: 1,
      maxLength: 6,
      selector: ({ guid }) => guid,
    }),
  })
  .map((wanted) => planGpt({ ...wanted, sizeBytes: 32 * megabyte, sectorSizeBytes: 512 }));

async function writeGpt(gpt: Gpt): Promise<void> {
  const { mbr, primary, backup } = encodeGpt(gpt);
  await onDisk((disk) => writeExtents(disk, [mbr, ...primary, ...backup]), gpt.sectorSizeBytes);
}

test("encodeGpt's tables are read by sgdisk, and sgdisk's by inspectGpt", async (t) => {
  if (!(await has(t, "sgdisk"))) return;
  await fc.assert(
    fc.asyncProperty(anyGpt, async (gpt) => {
      await newFile(32 * megabyte);
      await writeGpt(gpt);
      await verify();
      const [one, ...others] = gpt.partitions;
      // sgdisk writes all of it anew when a partition gets another number.
      await run("sgdisk", ["-r", "1:100", file], { env });
      const report = await onDisk((disk) => inspectGpt(disk));
      assert.deepEqual(report.damage, []);
      assert.deepEqual(report.gpt, { ...gpt, partitions: [...others, { ...one!, number: 100 }] });
    }),
    property,
  );
});

test("planGptRelocation writes what sgdisk -e writes", async (t) => {
  if (!(await has(t, "sgdisk"))) return;
  const anySize = fc.integer({ min: 33 * megabyte, max: 80 * megabyte });
  await fc.assert(
    fc.asyncProperty(anyGpt, anySize, async (gpt, size) => {
      const sizeBytes = size - (size % 512);
      await newFile(32 * megabyte);
      await writeGpt(gpt);
      await resize(sizeBytes);
      await copyFile(file, other);
      await run("sgdisk", ["-e", other], { env });
      await onDisk(async (disk) =>
        applyGptEdit(disk, planGptRelocation(await inspectGpt(disk), disk)),
      );
      await verify();
      // All but what the MBR says about the disk's geometry.
      for (const [from, to] of [
        [446 + 8, 34 * 512],
        [sizeBytes - 33 * 512, sizeBytes],
      ] as const) {
        assert.ok((await part(file, from, to)).equals(await part(other, from, to)));
      }
    }),
    property,
  );
});

test("planGptGrowth and a mark leave tables that sgdisk is content with", async (t) => {
  if (!(await has(t, "sgdisk"))) return;
  const image = { name: "os.raw", sha256: new Uint8Array(32), sizeBytes: 32 * megabyte };
  await fc.assert(
    fc.asyncProperty(anyGpt, async (gpt) => {
      await newFile(32 * megabyte);
      await writeGpt(gpt);
      await resize(64 * megabyte);
      await onDisk(async (disk) => {
        const reserve = { reserveBytes: markReserveBytes };
        const moved = planGptRelocation(await inspectGpt(disk), disk, reserve);
        const grown = planGptGrowth(moved);
        await applyGptEdit(disk, moved);
        await applyGptEdit(disk, grown);
        await writeExtents(disk, [planMark(grown, image)!]);
      });
      await verify();
      const mark = await onDisk(async (disk) => readMark(disk, await inspectGpt(disk)));
      assert.equal(mark.state, "valid");
    }),
    property,
  );
});

test("planGptRelocation and planGptGrowth suit fdisk with sectors of 4096 bytes", async (t) => {
  if (!(await has(t, "fdisk"))) return;
  const gpt = planGpt({
    sizeBytes: 32 * megabyte,
    sectorSizeBytes: 4096,
    diskGuid: "01234567-89ab-cdef-0123-456789abcdef",
    partitions: [
      {
        typeGuid: partitionTypes.linuxData,
        guid: "11234567-89ab-cdef-0123-456789abcdef",
        name: "data",
        sizeBytes: 5 * megabyte,
      },
    ],
  });
  await newFile(32 * megabyte);
  await writeGpt(gpt);
  await resize(64 * megabyte);
  await onDisk(async (disk) => {
    const moved = planGptRelocation(await inspectGpt(disk), disk);
    await applyGptEdit(disk, moved);
    await applyGptEdit(disk, planGptGrowth(moved));
  }, 4096);
  const judged = await run("sh", ["-c", `printf 'v\\nq\\n' | fdisk -b 4096 ${file}`], { env });
  assert.match(judged.stdout, /No errors detected\./);
  assert.doesNotMatch(judged.stderr, complaint);
  const columns = ["-l", "-o", "Start,End"];
  const { stdout } = await run("fdisk", ["-b", "4096", ...columns, file], { env });
  assert.match(stdout, new RegExp(`^ *256 +${63 * 256 - 1}$`, "m"));
});

test("describeDisk names what sgdisk, mkfs and xorriso made", async (t) => {
  if (!(await has(t, "sgdisk", "mkfs.ext4", "mkfs.fat", "xorriso"))) return;
  await newFile(96 * megabyte);
  const partitions = ["-n", "1:1M:+40M", "-t", "1:ef00", "-n", "2:0:0", "-c", "2:system"];
  await run("sgdisk", [...partitions, file], { env });
  const contents = () => onDisk(async (disk) => (await describeDisk(disk)).contents);
  assert.equal(await contents(), "GPT: ESP, Linux data");
  await run("mkfs.fat", ["-F", "32", "--offset", "2048", "-n", "ESP", file, "40960"], { env });
  await run("mkfs.ext4", ["-q", "-E", `offset=${41 * megabyte}`, file, "50M"], { env });
  assert.equal(await contents(), 'GPT: ESP, ext4 "system"');
  await run("tune2fs", ["-L", "root", `${file}?offset=${41 * megabyte}`], { env });
  assert.equal(await contents(), 'GPT: ESP, ext4 "root"');
  await run("sgdisk", ["-h", "2", file], { env });
  assert.equal(await contents(), 'GPT (hybrid MBR): ESP, ext4 "root"');
  await resize(128 * megabyte);
  assert.match(await contents(), /^GPT \(backup not at the end, hybrid MBR\): ESP/);
  await run("sgdisk", ["-m", "1:2", file], { env });
  assert.equal(await contents(), 'MBR: ESP, ext4 "root"');
  // A CD image that boots from a stick too: its table lies over its ISO 9660.
  const [tree, esp] = [join(folder, "tree"), join(folder, "esp.img")];
  await run("mkdir", [tree]);
  await run("mkfs.fat", ["-C", esp, "2048"], { env });
  const isGpt = ["-appended_part_as_gpt", "-append_partition", "2", "0xef", esp];
  for (const table of [
    ["-partition_offset", "16"],
    ["-partition_offset", "16", ...isGpt],
  ]) {
    await rm(file);
    await run("xorriso", ["-as", "mkisofs", "-V", "LIVE", ...table, "-o", file, tree], { env });
    await resize(8 * megabyte);
    assert.equal(await contents(), 'ISO 9660 "LIVE"');
  }
  await run("sgdisk", ["-o", "-n", "1:1M:0", "-c", "1:new", file], { env });
  assert.equal(await contents(), "GPT: Linux data");
});
