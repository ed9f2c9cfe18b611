/** The commands about disks, as their users run them: exit codes, output, and over the network. */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { readFile, truncate } from "node:fs/promises";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { MemoryDisk } from "../src/block/index.ts";
import { connectController } from "../src/initiator/index.ts";
import {
  acquireAction,
  command,
  registerAction,
  reservationAcquireData,
  reservationRegisterData,
  reservationType,
} from "../src/nvme/index.ts";
import { RunningCommand, runCommand as run, ServedDisk, Workshop } from "./driver-flash.ts";
import { has, toolEnv } from "./driver-tools.ts";

const mebibyte = 1024 * 1024;
const content = randomBytes(6 * mebibyte);

test("flash ends with the exit code that the documents give", async () => {
  await using shop = await Workshop.open();
  const image = await shop.file("os.raw", content);
  const blank = await shop.disk("blank");
  const used = await shop.disk("used", 8 * mebibyte, "somebody's data");
  const small = await shop.disk("small", 4 * mebibyte);
  await shop.file("os.wrong", content);
  await shop.file("os.wrong.sha256", `${"0".repeat(64)}  os.wrong\n`);
  const table: readonly (readonly [number, string, readonly string[], RegExp])[] = [
    [2, "no disk", ["flash", image], /Name a disk/],
    [2, "an unknown option", ["flash", image, blank, "--what"], /--what/],
    [2, "not the name of a disk", ["flash", image, "nvme-tcp://host"], /not the name of a disk/],
    [1, "no image", ["flash", shop.at("none"), blank], /Cannot read/],
    [1, "an address of another kind", ["flash", "ftp://host/os.raw", blank], /only http:/],
    [1, "an image that is a folder", ["flash", shop.at("."), blank], /it is not a file/],
    [5, "no such disk", ["flash", image, shop.at("none")], /There is no disk/],
    [1, "a folder", ["flash", image, shop.at(".")], /it is a folder, not a file/],
    [4, "serving nothing", ["serve", await shop.disk("void", 0)], /is empty/],
    [4, "serving one file twice", ["serve", blank, shop.at("./blank")], /it is the same file/],
    [5, "serving no file", ["serve", shop.at("none")], /There is no disk/],
    [6, "nobody there", ["flash", image, "127.0.0.1:1:X"], /nothing listens/],
    [4, "too small", ["flash", image, small], /Choose a larger disk/],
    [4, "foreign contents", ["flash", image, used], /--confirm=used/],
    [4, "--yes for foreign contents", ["flash", image, used, "--yes"], /only for disks/],
    [4, "one disk twice", ["flash", image, blank, blank], /named twice/],
    [0, "--dry-run", ["flash", image, blank, "--dry-run"], /Would write/],
    [1, "a wrong checksum", ["flash", shop.at("os.wrong"), blank], /SHA-256 is/],
    [0, "an unfinished disk", ["flash", image, blank, "--yes"], /ok, verified/],
    [0, "confirmed contents", ["flash", image, used, "--confirm", "used"], /ok, verified/],
    [0, "verify", ["verify", image, used], /holds os.raw/],
    [3, "verify of another disk", ["verify", image, await shop.disk("other")], /LBA 0–/],
    [4, "a copy onto itself", ["clone", used, used], /disk to copy from/],
    [0, "backup", ["backup", used, shop.at("saved.zst")], /saved/],
    [1, "backup over a file", ["backup", used, shop.at("saved.zst")], /exists already.*name\.\n$/],
    [2, "backup to standard output", ["backup", used, "-"], /give it a name/],
    [2, "backup as gzip", ["backup", used, shop.at("saved.raw.gz")], /not \.gz: .* \.raw or \.zst/],
    [0, "a restore", ["flash", shop.at("saved.zst"), await shop.disk("new")], /ok, verified/],
  ];
  for (const [exitCode, what, args, says] of table) {
    const ended = await run(args);
    assert.equal(ended.exitCode, exitCode, `${what}: ${ended.stderr}`);
    assert.match(ended.stdout + ended.stderr, says, what);
  }
  assert.ok((await shop.startOf("new", content.length)).equals(content));
  const sum = createHash("sha256")
    .update(await readFile(shop.at("saved.zst")))
    .digest("hex");
  assert.match(await readFile(shop.at("saved.zst.sha256"), "utf8"), new RegExp(`^${sum}  saved`));
});

test("flash --json ends with one result line, for failures and refusals too", async () => {
  await using shop = await Workshop.open();
  const image = await shop.file("os.raw", content);
  const used = await shop.disk("used", 8 * mebibyte, "somebody's data");
  const blank = await shop.disk("blank");
  for (const [disk, outcome, exitCode] of [
    [used, "failed", 4],
    [blank, "ok", 0],
  ] as const) {
    const ended = await run(["flash", image, disk, "--json"]);
    const lines = ended.stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    const last = lines.at(-1);
    assert.deepEqual([last.event, last.outcome, last.exitCode], ["result", outcome, exitCode]);
    assert.ok(lines.slice(0, -1).every(({ event }) => event === "progress"));
    assert.equal(ended.exitCode, exitCode);
  }
});

test("flash says 7 when some of several disks failed, and 130 when it is interrupted", async () => {
  await using shop = await Workshop.open();
  const packed = await shop.file("os.raw.gz", gzipSync(content));
  const disks = [await shop.disk("large"), await shop.disk("small", 4 * mebibyte)];
  const partly = await run(["flash", packed, ...disks]);
  assert.equal(partly.exitCode, 7, partly.stderr);
  assert.match(partly.stderr, /small does not boot/);
  const big = await shop.file("big.raw", "");
  await truncate(big, 4 * 1024 * mebibyte);
  const target = await shop.disk("target", 5 * 1024 * mebibyte);
  const stopping = new RunningCommand(["flash", big, target, "--json"]);
  await stopping.says(/"phase":"write"/);
  stopping.interrupt();
  const stopped = await stopping.ended;
  assert.equal(stopped.exitCode, 130, stopped.stderr);
  assert.match(stopped.stderr, /does not boot now; the same command again/);
});

test("flash, verify, backup and clone work on a namespace, by NQN and by serial number", async () => {
  await using shop = await Workshop.open();
  const image = await shop.file("os.raw", content);
  const disk = new MemoryDisk({ sizeBytes: 16 * mebibyte });
  await using served = await ServedDisk.of(disk);
  const { url, named } = served;
  const flashed = await run(["flash", image, url]);
  assert.equal(flashed.exitCode, 0, flashed.stderr);
  const found = Buffer.alloc(content.length);
  await disk.read(0, found);
  assert.ok(found.equals(content));
  const verified = await run(["verify", image, named]);
  assert.equal(verified.exitCode, 0, verified.stderr);
  const saved = await run(["backup", named, shop.at("saved")]);
  assert.equal(saved.exitCode, 0, saved.stderr);
  const copy = await shop.disk("copy", 16 * mebibyte);
  const cloned = await run(["clone", url, copy]);
  assert.equal(cloned.exitCode, 0, cloned.stderr);
  assert.ok((await shop.startOf("copy", content.length)).equals(content));
  const absent = await run(["flash", image, `127.0.0.1:${served.relay.port}:NONE`]);
  assert.equal(absent.exitCode, 5, absent.stderr);
  assert.match(absent.stderr, /there are: SERIAL0001/);
});

test("flash leaves a partition table that sgdisk is content with, on a larger disk", async (t) => {
  if (!(await has(t, "sgdisk"))) return;
  await using shop = await Workshop.open();
  const image = await shop.disk("gpt.raw", 16 * mebibyte);
  const layout = ["-n", "1:2048:+8M", "-t", "1:ef00", "-n", "2:0:+4M", "-c", "2:root"];
  assert.equal(spawnSync("sgdisk", [...layout, image]).status, 0);
  for (const options of [[], ["--grow"]]) {
    const disk = await shop.disk(`disk${options.length}`, 64 * mebibyte);
    const ended = await run(["flash", image, disk, ...options]);
    assert.equal(ended.exitCode, 0, ended.stderr);
    const judged = String(spawnSync("sgdisk", ["-v", disk]).stdout);
    assert.match(judged, /No problems found/);
    assert.doesNotMatch(judged, /Warning|Caution|Problem:/);
    const last = String(spawnSync("sgdisk", ["-i", "2", disk]).stdout);
    const size = Number(/Partition size: (\d+) sectors/.exec(last)?.[1]);
    assert.equal(size > (4 * mebibyte) / 512, options.length > 0, last);
  }
});

test("flash refuses for each reason that there is, before the first byte", async (t) => {
  if (!(await has(t, "sgdisk"))) return;
  await using shop = await Workshop.open();
  const image = await shop.file("os.raw", content);
  const grown = await shop.file("saved.raw", content);
  const shape = { version: 1, sizeBytes: content.length, blockSizeBytes: 4096 };
  const note = { ...shape, serial: "A", model: "B", sha256: "0".repeat(64) };
  await shop.file("saved.raw.disk.json", JSON.stringify(note));
  const sectors = await shop.disk("gpt.raw", 8 * mebibyte);
  assert.equal(spawnSync("sgdisk", ["-n", "1:2048:+2M", sectors], { env: toolEnv }).status, 0);
  const used = await shop.disk("used", 8 * mebibyte, "somebody's data");
  const before = await shop.startOf("used", 8 * mebibyte);
  const large = new MemoryDisk({ sizeBytes: 64 * mebibyte, blockSizeBytes: 4096 });
  await using fourK = await ServedDisk.of(large);
  const locked = new MemoryDisk({ sizeBytes: 16 * mebibyte });
  await using readOnly = await ServedDisk.of(locked, { ...ServedDisk.identity, readOnly: true });
  await using taken = await ServedDisk.of(new MemoryDisk({ sizeBytes: 16 * mebibyte }));
  await using holder = await reserve(taken);
  const table: readonly (readonly [string, readonly string[], RegExp])[] = [
    ["another sector size", [sectors, fourK.url], /sectors of 512 bytes, and the disk has 4096/],
    ["another block size", [grown, used], /saved from a disk with blocks of 4096 bytes/],
    ["a protected disk", [image, readOnly.url], /it is write protected/],
    ["a reserved disk", [image, taken.url], new RegExp(`reserved by host ${holder.hostId}`)],
    ["no checksum", [image, used, "--require-checksum"], /nothing beside os\.raw vouches for it/],
    ["nothing to grow", [image, used, "--grow"], /no GPT whose last partition could grow/],
    ["a wrong serial number", [image, used, "--confirm", "nope"], /is used, not nope/],
    ["several reasons", [sectors, used, "--require-checksum"], /vouches[\s\S]*--confirm=used/],
  ];
  for (const [what, args, says] of table) {
    const ended = await run(["flash", ...args]);
    assert.equal(ended.exitCode, 4, `${what}: ${ended.stderr}`);
    assert.match(ended.stderr, says, what);
  }
  assert.ok((await shop.startOf("used", 8 * mebibyte)).equals(before));
  // Whoever reads takes nothing from the other host, and has to know of it.
  const copy = await shop.disk("copy", 16 * mebibyte);
  for (const args of [
    ["backup", taken.url, shop.at("taken.raw")],
    ["clone", taken.url, copy],
  ]) {
    const ended = await run(args);
    assert.equal(ended.exitCode, 0, ended.stderr);
    assert.match(ended.stderr, /Warning: .* is in use: reserved by host/, args[0]);
  }
});

/** Another host that reserves a disk for itself, as a cluster does. */
async function reserve(served: ServedDisk) {
  const hostId = "99999999-1234-4234-8234-123456789abc";
  const controller = await connectController({
    host: "127.0.0.1",
    port: served.relay.port,
    subsystemNqn: served.nqn,
    hostId,
  });
  const register = command("reservationRegister", {
    nsid: 1,
    action: { rrega: registerAction.register, iekey: false, cptpl: 0 },
  });
  const nrkey = reservationRegisterData.encode({ crkey: 0n, nrkey: 1n });
  await controller.executeIo(register, { transfer: { kind: "out", data: nrkey } });
  const acquire = command("reservationAcquire", {
    nsid: 1,
    action: { racqa: acquireAction.acquire, iekey: false },
    rtype: reservationType.writeExclusive,
  });
  const crkey = reservationAcquireData.encode({ crkey: 1n, prkey: 0n });
  await controller.executeIo(acquire, { transfer: { kind: "out", data: crkey } });
  return { hostId, [Symbol.asyncDispose]: () => controller.close() };
}

test("flash warns of identifiers that two of its disks share then", async (t) => {
  if (!(await has(t, "sgdisk"))) return;
  await using shop = await Workshop.open();
  const image = await shop.disk("gpt.raw", 8 * mebibyte);
  assert.equal(spawnSync("sgdisk", ["-n", "1:2048:+2M", image], { env: toolEnv }).status, 0);
  const disks = [await shop.disk("one", 16 * mebibyte), await shop.disk("two", 16 * mebibyte)];
  const both = await run(["flash", image, ...disks]);
  assert.equal(both.exitCode, 0, both.stderr);
  assert.match(both.stderr, /Warning: the disk id [\w-]+ is on .*one and .*two, and 1 more/);
  const single = await run(["flash", image, disks[0] ?? "", "--yes"]);
  assert.doesNotMatch(single.stderr, /Warning/);
});
