/**
 * Flashing while things go wrong, as its users meet it: whatever is cut, the exit code says so, the
 * message is true, the disk does not boot half an image, and the same command again completes.
 */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { type Fault, faultyDisk, MemoryDisk } from "../src/block/index.ts";
import { FlashError, flashImage, openHasher, openImage, type Target } from "../src/flash/index.ts";
import { connectController } from "../src/initiator/index.ts";
import { RunningCommand, runCommand, ServedDisk, Workshop } from "./driver-flash.ts";

const mebibyte = 1024 * 1024;
const diskBytes = 48 * mebibyte;
const clock = () => performance.now();

/** An image that firmware would boot by its first sector, as far as firmware knows. */
function bootableImage(sizeBytes = 32 * mebibyte): Buffer {
  const image = randomBytes(sizeBytes);
  image.set([0x55, 0xaa], 510);
  return image;
}

const image = bootableImage();

/** Somebody's disk, which boots. */
async function usedDisk(): Promise<MemoryDisk> {
  const disk = new MemoryDisk({ sizeBytes: diskBytes });
  await disk.write(0, bootableImage(4 * mebibyte));
  return disk;
}

async function startOf(disk: MemoryDisk, lengthBytes: number): Promise<Buffer> {
  const found = Buffer.alloc(lengthBytes);
  await disk.read(0, found);
  return found;
}

async function assertNotBootable(disk: MemoryDisk): Promise<void> {
  const head = await startOf(disk, mebibyte);
  assert.match(head.toString("latin1", 0, 64), /^DISKOMATOR UNFINISHED/);
  assert.deepEqual([...head.subarray(510, 520)], new Array(10).fill(0));
}

const confirm = ["--confirm", ServedDisk.identity.serial];

/** The same command again, with what is whole. */
async function assertCompletes(location: string, served: ServedDisk, disk: MemoryDisk) {
  const again = await runCommand(["flash", location, served.url, "--yes"]);
  assert.equal(again.exitCode, 0, again.stderr);
  assert.match(again.stdout, /ok, verified/);
  assert.ok((await startOf(disk, image.length)).equals(image));
}

test("flash of an image that is cut off, broken or wrong fails, and then completes", async () => {
  await using shop = await Workshop.open();
  const gzip = gzipSync(image, { level: 1 });
  const zstd = zstdCompressSync(image);
  const broken = Buffer.from(zstd);
  broken.fill(0xff, zstd.length / 2, zstd.length / 2 + 64);
  await shop.file("sum.raw.sha256", `${"0".repeat(64)}  sum.raw\n`);
  const whole = await shop.file("whole.raw", image);
  const table: readonly (readonly [name: string, content: Buffer, says: RegExp])[] = [
    ["cut.gz", gzip.subarray(0, gzip.length - 1000), /cut\.gz: its gzip data ends before its end/],
    ["cut.zst", zstd.subarray(0, zstd.length / 2), /cut\.zst: its zstd data ends before its end/],
    ["broken.zst", broken, /broken\.zst: its zstd data is broken/],
    ["longer.gz", Buffer.concat([gzip, image.subarray(0, 99)]), /something follows the end/],
    ["sum.raw", image, /its SHA-256 is \w+, and sum\.raw\.sha256 says 0{64}/],
  ];
  for (const [name, content, says] of table) {
    const disk = await usedDisk();
    await using served = await ServedDisk.of(disk);
    const location = await shop.file(name, content);
    const ended = await runCommand(["flash", location, served.url, ...confirm]);
    assert.equal(ended.exitCode, 1, `${name}: ${ended.stderr}`);
    assert.match(ended.stderr, says);
    assert.match(ended.stderr, /does not boot now; the same command again/, name);
    await assertNotBootable(disk);
    await assertCompletes(whole, served, disk);
  }
});

test("flash from a server that goes away in the middle fails, and then completes", async () => {
  await using shop = await Workshop.open();
  const whole = await shop.file("whole.raw", image);
  const disk = await usedDisk();
  await using served = await ServedDisk.of(disk);
  // It does not vouch for the file, so that nothing can be continued.
  const server = createServer(({ url }, response) => {
    const isImage = url === "/os.raw";
    response.writeHead(isImage ? 200 : 404, { "content-length": isImage ? image.length : 0 });
    if (isImage) response.write(image.subarray(0, image.length / 2), () => response.destroy());
    else response.end();
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as AddressInfo;
  const location = `http://127.0.0.1:${port}/os.raw`;
  const ended = await runCommand(["flash", location, served.url, ...confirm]);
  server.close();
  assert.equal(ended.exitCode, 1, ended.stderr);
  assert.match(ended.stderr, /at byte 16777216: the connection was cut, and the server does not/);
  await assertNotBootable(disk);
  await assertCompletes(whole, served, disk);
});

test("flash to a disk that fails says so by its exit code, and completes when it does not", async () => {
  await using shop = await Workshop.open();
  const whole = await shop.file("whole.raw", image);
  const lba = (20 * mebibyte) / 512;
  const table: readonly (readonly [what: string, exitCode: number, fault: Fault])[] = [
    ["a bad block", 1, { kind: "fail", code: "medium", firstLba: lba, lastLba: lba }],
    ["no space", 1, { kind: "fail", code: "no-space", firstLba: lba, on: ["write"] }],
    ["a failing flush", 1, { kind: "fail", code: "medium", on: ["flush"] }],
  ];
  for (const [what, exitCode, fault] of table) {
    const inner = await usedDisk();
    const disk = faultyDisk(inner, fault);
    await using served = await ServedDisk.of(disk);
    const ended = await runCommand(["flash", whole, served.url, ...confirm]);
    assert.equal(ended.exitCode, exitCode, `${what}: ${ended.stderr}`);
    assert.match(ended.stderr, /The disk may be failing/, what);
    assert.match(ended.stderr, /does not boot now; the same command again/, what);
    await assertNotBootable(inner);
    disk.heal();
    await assertCompletes(whole, served, inner);
  }
});

test("flash to a disk that gives back other bytes ends with 3 and names the blocks", async () => {
  await using shop = await Workshop.open();
  const whole = await shop.file("whole.raw", image);
  const inner = await usedDisk();
  const at = 20 * mebibyte + 5;
  const lying = new Proxy(inner, {
    get: (_, name) => {
      if (name === "readNow") return undefined;
      if (name === "read") {
        return async (offsetBytes: number, target: Uint8Array) => {
          await inner.read(offsetBytes, target);
          const place = at - offsetBytes;
          if (place >= 0 && place < target.length) target[place] = (target[place] ?? 0) ^ 1;
        };
      }
      const value: unknown = Reflect.get(inner, name, inner);
      return typeof value === "function" ? value.bind(inner) : value;
    },
  });
  await using served = await ServedDisk.of(lying);
  const ended = await runCommand(["flash", whole, served.url, ...confirm]);
  assert.equal(ended.exitCode, 3, ended.stderr);
  assert.match(ended.stderr, /other bytes than were written, in 64\.0 KiB at LBA 40960–41087/);
  await assertNotBootable(inner);
});

test("flash goes on by itself when the cable was out, and when the box was switched off and on", async () => {
  await using shop = await Workshop.open();
  const whole = await shop.file("whole.raw", image);
  for (const isRestarted of [false, true]) {
    const disk = await usedDisk();
    await using served = await ServedDisk.of(disk);
    let cuts = 0;
    served.relay.cutAfter(12 * mebibyte, async () => {
      cuts++;
      if (!isRestarted) return;
      await served.stop();
      await served.start(disk);
    });
    const ended = await runCommand(["flash", whole, served.url, ...confirm]);
    assert.equal(cuts, 1);
    assert.equal(ended.exitCode, 0, ended.stderr);
    assert.match(ended.stderr, /the connection is lost, and is waited for/);
    assert.match(ended.stderr, /connected again/);
    assert.ok((await startOf(disk, image.length)).equals(image));
  }
});

test("clone goes on by itself when either disk's cable was out, and says so", async () => {
  for (const lost of ["source", "target"] as const) {
    const [from, to] = [new MemoryDisk({ sizeBytes: diskBytes }), await usedDisk()];
    await from.write(0, image);
    await using source = await ServedDisk.of(from, { ...ServedDisk.identity, serial: "SOURCE1" });
    await using target = await ServedDisk.of(to);
    const { relay, url } = { source, target }[lost];
    relay.cutAfter(16 * mebibyte, () => {});
    const ended = await runCommand(["clone", source.url, target.url, ...confirm]);
    assert.equal(ended.exitCode, 0, ended.stderr);
    assert.ok(ended.stderr.includes(`${url}: the connection is lost, and is waited for`), lost);
    assert.ok(ended.stderr.includes(`${url}: connected again`), ended.stderr);
    assert.ok((await startOf(to, image.length)).equals(image));
  }
});

test("flash to a box that is gone for good ends by Ctrl-C, and continues where it was", async () => {
  await using shop = await Workshop.open();
  const whole = await shop.file("whole.raw", image);
  const disk = await usedDisk();
  await using served = await ServedDisk.of(disk);
  served.relay.cutAfter(24 * mebibyte, () => served.stop());
  const flashing = new RunningCommand(["flash", whole, served.url, ...confirm]);
  await flashing.says(/the connection is lost/);
  flashing.interrupt();
  const ended = await flashing.ended;
  assert.equal(ended.exitCode, 130, ended.stderr);
  assert.match(ended.stderr, /The disk does not boot now; the same command again goes on/);
  await assertNotBootable(disk);
  await served.start(disk);
  const again = await runCommand(["flash", whole, served.url, "--yes", "--json"]);
  assert.equal(again.exitCode, 0, again.stderr);
  const result = JSON.parse(again.stdout.trim().split("\n").at(-1) ?? "");
  assert.ok(result.results[0].counts.skipped > 8 * mebibyte, again.stdout);
  assert.ok((await startOf(disk, image.length)).equals(image));
});

/** Who else may stand in the place of the disk that was chosen. */
const impostors = [
  { serial: "SERIAL0002", uuid: "22345678-1234-4234-8234-123456789abc" },
  // The same model and serial number: clones of one cheap product.
  { serial: ServedDisk.identity.serial, uuid: "22345678-1234-4234-8234-123456789abc" },
];

test("flash never writes to another disk that came in its place during a reconnect", async () => {
  await using shop = await Workshop.open();
  const whole = await shop.file("whole.raw", image);
  for (const identity of impostors) {
    for (const [cutAfterBytes, hasBegun] of [
      [64 * 1024, false],
      [12 * mebibyte, true],
    ] as const) {
      const disk = await usedDisk();
      const other = await usedDisk();
      const before = [await startOf(disk, diskBytes), await startOf(other, diskBytes)] as const;
      await using served = await ServedDisk.of(disk);
      served.relay.cutAfter(cutAfterBytes, async () => {
        await served.stop();
        await served.start(other, identity);
      });
      const ended = await runCommand(["flash", whole, served.url, ...confirm]);
      assert.equal(ended.exitCode, 4, ended.stderr);
      assert.ok((await startOf(other, diskBytes)).equals(before[1]), identity.serial);
      if (hasBegun) await assertNotBootable(disk);
      else assert.ok((await startOf(disk, diskBytes)).equals(before[0]), identity.serial);
    }
  }
});

test("flashImage never writes to another disk that took the name between plan and write", async () => {
  await using shop = await Workshop.open();
  const whole = await shop.file("whole.raw", image);
  for (const identity of impostors) {
    const disk = await usedDisk();
    const other = await usedDisk();
    const before = [await startOf(disk, diskBytes), await startOf(other, diskBytes)];
    await using served = await ServedDisk.of(disk);
    await using controller = await connectController({
      host: "127.0.0.1",
      port: served.relay.port,
      subsystemNqn: served.nqn,
      reconnect: {},
    });
    const opened = await controller.openNamespace(1);
    const identify = async () => {
      const { sn, mn } = controller.identify;
      const { uuid = "", sizeBytes, blockSizeBytes } = await controller.namespace(1);
      return { serial: sn.trim(), model: mn.trim(), uuid, sizeBytes, blockSizeBytes };
    };
    const chosen = await identify();
    const target: Target = {
      name: "box",
      disk: opened,
      identity: chosen,
      isRemote: true,
      identify,
    };
    await served.stop();
    await served.start(other, identity);
    await using hasher = openHasher();
    await using source = await openImage(whole, { hasher, clock });
    const targets = [{ target, isComparing: false }];
    const request = { image: source, targets, hasher, clock, isVerified: true, isGrown: false };
    const { results } = await flashImage(request);
    const error = results[0]?.error;
    assert.equal(error instanceof FlashError && error.code, "identity-changed");
    const after = [await startOf(disk, diskBytes), await startOf(other, diskBytes)];
    assert.deepEqual(after, before);
  }
});
