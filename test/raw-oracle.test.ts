/**
 * Disk images and FAT volumes, judged by other programs.
 *
 * Needs sgdisk (package gdisk), fsck.vfat (dosfstools), mtools, and unshare with mount
 * (util-linux) as root for the test of a full disk. One that is missing fails under CI and skips
 * its tests elsewhere.
 */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { promisify } from "node:util";
import { FileDisk, MemoryDisk } from "../src/block/index.ts";
import {
  alignmentBytes,
  assembleExtents,
  encodeGpt,
  type FatNode,
  inspectGpt,
  noAttributes,
  openFat,
  partitionTypes,
  planFat,
  planGpt,
  writeExtents,
} from "../src/disk/index.ts";
import { ImageError } from "../src/image/index.ts";
import { planRaw, writePlanned } from "../src/image/raw/index.ts";
import { has, toolEnv } from "./driver-tools.ts";

const run = promisify(execFile);
const megabyte = 1024 * 1024;
const folder = await mkdtemp(join(tmpdir(), "diskomator-raw-"));
after(() => rm(folder, { recursive: true }));
const epochSeconds = Date.UTC(2026, 10, 23, 12, 34, 56) / 1000;
const env = { ...toolEnv, TZ: "UTC", MTOOLS_SKIP_CHECK: "1" };

const efi = [randomBytes(3 * megabyte), randomBytes(300_001)];
const extraFiles: FatNode[] = [
  { type: "file", name: "Read me first.txt", chunks: [Buffer.from("hello\n")] },
  {
    type: "directory",
    name: "loader",
    children: Array.from({ length: 200 }, (_, i) => ({
      type: "file",
      name: `a credential of no use ${i}.cred`,
      chunks: [Buffer.from(`${i}`)],
    })),
  },
];
const wanted = { efi: { chunks: efi }, extraFiles, epochSeconds, seed: "a hash" };

test("planRaw makes an image that sgdisk, fsck.vfat and mtools agree with", async (t) => {
  if (!(await has(t, "sgdisk", "fsck.vfat", "mdir"))) return;
  for (const efiBytes of [0, 40 * megabyte]) {
    const chunks = [...efi, new Uint8Array(efiBytes)];
    const path = join(folder, `${efiBytes}.raw`);
    const plan = planRaw({ ...wanted, efi: { chunks } });
    await writePlanned(path, plan);
    assert.doesNotMatch(await judgeBySgdisk(path), complaint);
    const info = (await run("sgdisk", ["-i", "1", path], { env })).stdout.toLowerCase();
    assert.ok(info.includes(plan.guids.partition) && info.includes(partitionTypes.efiSystem));
    const volume = join(folder, `${efiBytes}.fat`);
    await writeFile(volume, (await readFile(path)).subarray(alignmentBytes, -alignmentBytes));
    await checkFat(volume);
    const at = `${path}@@${alignmentBytes}`;
    const copy = join(folder, `${efiBytes}.efi`);
    await run("mcopy", ["-i", at, "::EFI/BOOT/BOOTX64.EFI", copy], { env });
    assert.ok((await readFile(copy)).equals(Buffer.concat(chunks)));
    const listed = await run("mdir", ["-b", "-i", at, "::loader"], { env });
    assert.equal(listed.stdout.match(/a credential of no use \d+\.cred/g)?.length, 200);
    const root = await run("mdir", ["-i", at, "::"], { env });
    assert.match(root.stdout, /Volume in drive : is DISKOMATOR/);
    assert.match(root.stdout, /README~1 TXT +6 2026-11-23 +12:34 +Read me first\.txt/);
  }
});

/** What sgdisk writes when something is wrong; a healthy table draws none of it. */
const complaint = /caution|warning|error|problem:|corrupt|damaged|invalid/i;

async function judgeBySgdisk(path: string): Promise<string> {
  const judged = await run("sgdisk", ["-v", path], { env }).catch((error: unknown) => {
    if (error instanceof Error && "stdout" in error && "stderr" in error) return error;
    throw error;
  });
  return `${judged.stdout}${judged.stderr}`;
}

async function checkFat(path: string): Promise<void> {
  const { stdout, stderr } = await run("fsck.vfat", ["-n", path], { env });
  assert.match(stdout, /^fsck.fat [^\n]*\n[^\n]*: \d+ files, \d+\/\d+ clusters\n$/);
  assert.equal(stderr, "");
}

test("planFat makes volumes that fsck.vfat has no fault with, in both sector sizes", async (t) => {
  if (!(await has(t, "fsck.vfat"))) return;
  const root: FatNode[] = [
    { type: "directory", name: "EFI", children: extraFiles },
    { type: "file", name: "vmlinuz", chunks: efi },
    { type: "file", name: "empty", chunks: [] },
  ];
  for (const sectorSizeBytes of [512, 4096] as const) {
    for (const megabytes of [18, 34, 35, 40, 66, 130, 140, 270, 600]) {
      const path = join(folder, "volume.fat");
      const { extents } = planFat({
        sizeBytes: megabytes * megabyte,
        sectorSizeBytes,
        hiddenSectors: 2048,
        volumeId: 0xcafe0001,
        label: "A LABEL",
        epochSeconds,
        root,
      });
      await writePlanned(path, { extents, sizeBytes: megabytes * megabyte });
      await checkFat(path);
    }
  }
});

test("openFat reads what mkfs.vfat and mcopy made, in fragments too", async (t) => {
  if (!(await has(t, "mkfs.vfat", "mcopy", "mdel"))) return;
  for (const bits of ["16", "32"]) {
    const path = join(folder, `foreign${bits}.fat`);
    await (await FileDisk.open(path, { createBytes: 64 * megabyte }))[Symbol.asyncDispose]();
    await run(
      "mkfs.vfat",
      ["-F", bits, "-s", "1", "-n", "FOREIGN", path].filter((argument) =>
        bits === "16" ? argument !== "-s" && argument !== "1" : true,
      ),
      { env },
    );
    const put = async (name: string, bytes: Uint8Array) => {
      await writeFile(join(folder, "source"), bytes);
      await run("mcopy", ["-o", "-i", path, join(folder, "source"), `::${name}`], { env });
    };
    for (let i = 0; i < 30; i++) await put(`file number ${i}.bin`, randomBytes(10_000));
    for (let i = 0; i < 30; i += 2)
      await run("mdel", ["-i", path, `::file number ${i}.bin`], { env });
    const large = randomBytes(400_000);
    await put("Größe.bin", large);
    await using disk = await FileDisk.open(path, { readOnly: true });
    const opened = await openFat(disk);
    assert.ok(opened.ok);
    const volume = opened.value;
    assert.equal(volume.boot.kind, `fat${bits}`);
    assert.equal(volume.boot.label, "FOREIGN");
    const listed = await volume.list("");
    assert.ok(listed.ok);
    const odd = Array.from({ length: 15 }, (_, i) => `file number ${2 * i + 1}.bin`);
    assert.deepEqual(listed.value.map(({ name }) => name).sort(), [...odd, "Größe.bin"].sort());
    const read = await volume.read("größe.bin");
    assert.ok(read.ok && large.equals(read.value));
    const { stdout } = await run("mdir", ["-i", path, "::"], { env });
    const free = Number(/([\d ]+) bytes free/.exec(stdout)?.[1]?.replaceAll(" ", ""));
    assert.deepEqual(await volume.freeBytes(), { ok: true, value: free });
  }
});

test("encodeGpt writes what sgdisk writes, byte for byte, and inspectGpt reads both", async (t) => {
  if (!(await has(t, "sgdisk"))) return;
  const sizeBytes = 64 * megabyte;
  const guids = ["11111111-2222-4333-8444-555555555555", "66666666-7777-4888-8999-aaaaaaaaaaaa"];
  const gpt = planGpt({
    sizeBytes,
    sectorSizeBytes: 512,
    diskGuid: "bbbbbbbb-cccc-4ddd-8eee-ffffffffffff",
    partitions: guids.map((guid, i) => ({
      guid,
      typeGuid: partitionTypes.linuxData,
      name: `partition ${i + 1}`,
      sizeBytes: 20 * megabyte,
      attributes: { ...noAttributes, legacyBiosBootable: i === 1 },
    })),
  });
  const path = join(folder, "sgdisk.raw");
  await (await FileDisk.open(path, { createBytes: sizeBytes }))[Symbol.asyncDispose]();
  const each = gpt.partitions.flatMap(({ number, firstLba, lastLba, guid, name }) => [
    ["-n", `${number}:${firstLba}:${lastLba}`, "-t", `${number}:8300`],
    ["-u", `${number}:${guid}`, "-c", `${number}:${name}`],
  ]);
  await run("sgdisk", ["-U", gpt.diskGuid, ...each.flat(), "-A", "2:set:2", path], { env });
  const theirs = await readFile(path);
  const { primary, backup } = encodeGpt(gpt);
  for (const { offsetBytes, bytes } of [...primary, ...backup]) {
    assert.ok(theirs.subarray(offsetBytes, offsetBytes + bytes.byteLength).equals(bytes));
  }
  const report = await inspectGpt(new MemoryDisk({ sizeBytes, contents: theirs }));
  assert.deepEqual(report.damage, []);
  assert.deepEqual(report.gpt, gpt);
});

test("inspectGpt and sgdisk agree on which damaged tables have problems", async (t) => {
  if (!(await has(t, "sgdisk"))) return;
  const plan = planRaw(wanted);
  const last = plan.sizeBytes - 512;
  const damages = [
    [512 + 40, 1],
    [1024 + 56, 200],
    [last + 24, 9],
    [last, 0],
    [446 + 4, 0x83],
  ];
  for (const [at, byte] of damages as [number, number][]) {
    const disk = new MemoryDisk({ sizeBytes: plan.sizeBytes });
    await writeExtents(disk, plan.extents);
    await writeExtents(disk, [{ offsetBytes: at, bytes: Uint8Array.of(byte) }]);
    const path = join(folder, "damaged.raw");
    const whole = assembleExtents(plan.extents, plan.sizeBytes);
    whole[at] = byte;
    await writeFile(path, whole);
    assert.match(await judgeBySgdisk(path), complaint);
    assert.notDeepEqual((await inspectGpt(disk)).damage, []);
  }
});

test("writePlanned leaves holes, and nothing behind when the disk is full", async (t) => {
  const path = join(folder, "sparse.raw");
  const plan = planRaw(wanted);
  const sha256 = await writePlanned(path, plan);
  const { size, blocks } = await stat(path);
  assert.equal(size, plan.sizeBytes);
  assert.ok(blocks * 512 < 5 * megabyte, `${blocks} blocks are allocated`);
  const written = await readFile(path);
  assert.ok(written.equals(assembleExtents(plan.extents, plan.sizeBytes)));
  assert.equal(createHash("sha256").update(written).digest("hex"), sha256);
  const before = await readdir(folder);
  await assert.rejects(
    writePlanned(join(folder, "missing", "x.raw"), plan),
    (error: unknown) => error instanceof ImageError && error.code === "io",
  );
  const reason = new Error("enough");
  await assert.rejects(
    writePlanned(path, plan, { signal: AbortSignal.abort(reason) }),
    (error: unknown) => error === reason,
  );
  assert.deepEqual(await readdir(folder), before);
  if (process.getuid?.() !== 0) return t.diagnostic("only root can make a full disk here");
  const door = import.meta.resolve("../src/image/raw/index.ts");
  const program = `
    import { readdir, writeFile } from "node:fs/promises";
    import { writePlanned } from "${door}";
    await writeFile("full/old.raw", "old");
    const extents = [{ offsetBytes: 0, bytes: new Uint8Array(2 ** 21).fill(1) }];
    const code = await writePlanned("full/old.raw", { extents, sizeBytes: 2 ** 22 })
      .then(() => "written", (error) => error.code);
    console.log(code, ...(await readdir("full")));`;
  const script = 'mkdir -p full && mount -t tmpfs -o size=1m none full && exec "$0" "$@"';
  const { stdout } = await run(
    "unshare",
    ["-m", "sh", "-c", script, process.execPath, "--input-type=module", "-e", program],
    { cwd: folder, env },
  );
  assert.equal(stdout, "disk-full old.raw\n");
});
