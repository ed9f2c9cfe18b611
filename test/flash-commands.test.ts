/** The commands about disks, as their users run them: exit codes, output, and over the network. */

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { mkdtemp, open, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { MemoryDisk } from "../src/block/index.ts";
import { createTarget } from "../src/target/index.ts";
import { has } from "./driver-tools.ts";

const mebibyte = 1024 * 1024;
const main = join(import.meta.dirname, "../src/cli/main.ts");
const nqn = "nqn.2026-11.io.diskomator:test:SERIAL0001";
const content = randomBytes(6 * mebibyte);

interface Ended {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command; `during` is called with its process when it has begun to write. */
async function run(args: readonly string[], during?: (kill: () => void) => void): Promise<Ended> {
  const child = spawn(process.execPath, [main, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  let [stdout, stderr] = ["", ""];
  let hasBegun = false;
  child.stdout.on("data", (data) => {
    stdout += data;
    if (hasBegun || !stdout.includes('"phase":"write"')) return;
    hasBegun = true;
    during?.(() => child.kill("SIGINT"));
  });
  child.stderr.on("data", (data) => {
    stderr += data;
  });
  const exitCode = await new Promise<number | null>((done) => child.on("close", done));
  return { exitCode, stdout, stderr };
}

async function workshop() {
  const path = await mkdtemp(join(tmpdir(), "diskomator-commands-"));
  const image = join(path, "os.raw");
  await writeFile(image, content);
  return {
    image,
    /** A new disk in a file. */
    async disk(name: string, sizeBytes = 8 * mebibyte, first?: string): Promise<string> {
      const file = join(path, name);
      await writeFile(file, first ?? "");
      await truncate(file, sizeBytes);
      return file;
    },
    at: (name: string) => join(path, name),
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }),
  };
}

async function startOf(path: string, lengthBytes: number): Promise<Buffer> {
  await using file = await open(path);
  const { buffer } = await file.read(Buffer.alloc(lengthBytes), 0, lengthBytes, 0);
  return buffer;
}

/** A target with one namespace, and a way to it that can be cut. */
async function servedDisk(disk: MemoryDisk) {
  const target = createTarget({
    subsystems: [
      {
        nqn,
        serial: "SERIAL0001",
        hosts: "any",
        namespaces: [{ device: disk, uuid: "12345678-1234-4234-8234-123456789abc" }],
      },
    ],
  });
  const listener = await target.listen({ port: 0 });
  const sockets = new Set<Socket>();
  let passed = 0;
  let cuts = 0;
  const proxy = createServer((host) => {
    const box = connect(listener.port, "127.0.0.1");
    for (const [from, to] of [
      [host, box],
      [box, host],
    ] as const) {
      sockets.add(from);
      from.on("error", () => to.destroy());
      from.on("close", () => to.destroy());
      from.pipe(to);
    }
    host.on("data", (data) => {
      passed += data.length;
      if (cuts > 0 && passed > 2 * mebibyte) {
        cuts--;
        passed = 0;
        for (const socket of sockets) socket.destroy();
        sockets.clear();
      }
    });
  });
  await new Promise<void>((done) => proxy.listen(0, "127.0.0.1", done));
  const address = proxy.address();
  const port = typeof address === "object" && address ? address.port : 0;
  return {
    port,
    cut(times: number) {
      cuts = times;
    },
    cutsLeft: () => cuts,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((done) => proxy.close(done));
      await target[Symbol.asyncDispose]();
    },
  };
}

test("flash ends with the exit code that the documents give", async () => {
  await using shop = await workshop();
  const { image } = shop;
  const blank = await shop.disk("blank");
  const used = await shop.disk("used", 8 * mebibyte, "somebody's data");
  const small = await shop.disk("small", 4 * mebibyte);
  await writeFile(shop.at("os.wrong"), content);
  await writeFile(shop.at("os.wrong.sha256"), `${"0".repeat(64)}  os.wrong\n`);
  const table: readonly (readonly [number, string, readonly string[], RegExp])[] = [
    [2, "no disk", ["flash", image], /Name a disk/],
    [2, "an unknown option", ["flash", image, blank, "--what"], /--what/],
    [2, "no name of a disk", ["flash", image, "nvme-tcp://host"], /no name of a disk/],
    [1, "no image", ["flash", shop.at("none"), blank], /Cannot read/],
    [5, "no such disk", ["flash", image, shop.at("none")], /There is no disk/],
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
    [1, "backup over a file", ["backup", used, shop.at("saved.zst")], /exists already/],
    [0, "a restore", ["flash", shop.at("saved.zst"), await shop.disk("new")], /ok, verified/],
  ];
  for (const [exitCode, what, args, says] of table) {
    const ended = await run(args);
    assert.equal(ended.exitCode, exitCode, `${what}: ${ended.stderr}`);
    assert.match(ended.stdout + ended.stderr, says, what);
  }
  assert.ok((await startOf(shop.at("new"), content.length)).equals(content));
  const sum = createHash("sha256")
    .update(await readFile(shop.at("saved.zst")))
    .digest("hex");
  assert.match(await readFile(shop.at("saved.zst.sha256"), "utf8"), new RegExp(`^${sum}  saved`));
});

test("flash --json ends with one result line, for failures and refusals too", async () => {
  await using shop = await workshop();
  const used = await shop.disk("used", 8 * mebibyte, "somebody's data");
  const blank = await shop.disk("blank");
  for (const [disk, outcome, exitCode] of [
    [used, "failed", 4],
    [blank, "ok", 0],
  ] as const) {
    const ended = await run(["flash", shop.image, disk, "--json"]);
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
  await using shop = await workshop();
  const packed = shop.at("os.raw.gz");
  await writeFile(packed, gzipSync(content));
  const disks = [await shop.disk("large"), await shop.disk("small", 4 * mebibyte)];
  const partly = await run(["flash", packed, ...disks]);
  assert.equal(partly.exitCode, 7, partly.stderr);
  assert.match(partly.stderr, /small does not boot/);
  const big = shop.at("big.raw");
  await writeFile(big, "");
  await truncate(big, 4 * 1024 * mebibyte);
  const target = await shop.disk("target", 5 * 1024 * mebibyte);
  const stopped = await run(["flash", big, target, "--json"], (kill) => kill());
  assert.equal(stopped.exitCode, 130, stopped.stderr);
  assert.match(stopped.stderr, /does not boot now; the same command again/);
});

test("flash, verify, backup and clone work on a namespace, by NQN and by serial number", async () => {
  await using shop = await workshop();
  const disk = new MemoryDisk({ sizeBytes: 16 * mebibyte });
  await using served = await servedDisk(disk);
  const url = `nvme-tcp://127.0.0.1:${served.port}/${nqn}`;
  const named = `127.0.0.1:${served.port}:SERIAL0001`;
  const flashed = await run(["flash", shop.image, url]);
  assert.equal(flashed.exitCode, 0, flashed.stderr);
  const found = Buffer.alloc(content.length);
  await disk.read(0, found);
  assert.ok(found.equals(content));
  const verified = await run(["verify", shop.image, named]);
  assert.equal(verified.exitCode, 0, verified.stderr);
  const saved = await run(["backup", named, shop.at("saved")]);
  assert.equal(saved.exitCode, 0, saved.stderr);
  const copy = await shop.disk("copy", 16 * mebibyte);
  const cloned = await run(["clone", url, copy]);
  assert.equal(cloned.exitCode, 0, cloned.stderr);
  assert.ok((await startOf(copy, content.length)).equals(content));
  const absent = await run(["flash", shop.image, `127.0.0.1:${served.port}:NONE`]);
  assert.equal(absent.exitCode, 5, absent.stderr);
  assert.match(absent.stderr, /there are: SERIAL0001/);
});

test("flash leaves a partition table that sgdisk is content with, on a larger disk", async (t) => {
  if (!(await has(t, "sgdisk"))) return;
  await using shop = await workshop();
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

test("flash goes on after its connection was cut in the middle", async () => {
  await using shop = await workshop();
  const disk = new MemoryDisk({ sizeBytes: 16 * mebibyte });
  await using served = await servedDisk(disk);
  served.cut(2);
  const url = `nvme-tcp://127.0.0.1:${served.port}/${nqn}`;
  const ended = await run(["flash", shop.image, url]);
  assert.equal(served.cutsLeft(), 0);
  assert.equal(ended.exitCode, 0, ended.stderr);
  const found = Buffer.alloc(content.length);
  await disk.read(0, found);
  assert.ok(found.equals(content));
});
