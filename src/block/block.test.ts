import assert from "node:assert/strict";
import { mkdtemp, rm, stat, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import {
  type BlockDevice,
  BlockError,
  type BlockErrorCode,
  blockDeviceContract,
  FileDisk,
  faultyDisk,
  type MakeDisk,
  MemoryDisk,
  OverlayDisk,
} from "./index.ts";

const folder = await mkdtemp(join(tmpdir(), "diskomator-block-"));
after(() => rm(folder, { recursive: true }));
let files = 0;
const newPath = () => join(folder, `disk-${files++}`);
const code = (wanted: BlockErrorCode) => (error: unknown) =>
  error instanceof BlockError && error.code === wanted;

const makers: Record<string, MakeDisk> = {
  MemoryDisk: async (wanted) => new MemoryDisk(wanted),
  FileDisk: async ({ contents, readOnly, blockSizeBytes }) => {
    const path = newPath();
    await writeFile(path, contents);
    return FileDisk.open(path, { readOnly, blockSizeBytes });
  },
  OverlayDisk: async ({ contents, readOnly, ...shape }) =>
    readOnly
      ? new MemoryDisk({ ...shape, contents, readOnly })
      : new OverlayDisk({ below: new MemoryDisk({ ...shape, contents, readOnly: true }) }),
  "faultyDisk without faults": async (wanted) => faultyDisk(new MemoryDisk(wanted)),
  "faultyDisk that is slow": async (wanted) =>
    faultyDisk(new MemoryDisk(wanted), { kind: "slow", until: () => Promise.resolve() }),
};

for (const [name, make] of Object.entries(makers)) {
  for (const { title, run } of blockDeviceContract) test(`${name} ${title}`, () => run(make));
}

test("MemoryDisk holds both ends of a disk of 8 TiB", async () => {
  const sizeBytes = 8 * 2 ** 40;
  await using disk = new MemoryDisk({ sizeBytes, blockSizeBytes: 4096 });
  const data = new Uint8Array(4096).fill(7);
  await disk.write(sizeBytes - 4096, data);
  const found = new Uint8Array(8192).fill(1);
  await disk.read(sizeBytes - 8192, found);
  assert.deepEqual(found.subarray(4096), data);
  assert.ok(found.subarray(0, 4096).every((byte) => byte === 0));
});

test("MemoryDisk refuses sizes that are not in whole blocks, and contents that do not fit", () => {
  assert.throws(() => new MemoryDisk({ sizeBytes: 513 }), RangeError);
  assert.throws(() => new MemoryDisk({ sizeBytes: 512, blockSizeBytes: 256 }), RangeError);
  assert.throws(() => new MemoryDisk({ sizeBytes: 1536, blockSizeBytes: 768 }), RangeError);
  assert.throws(
    () => new MemoryDisk({ sizeBytes: 512, contents: new Uint8Array(513) }),
    RangeError,
  );
});

test("FileDisk.open makes a sparse file, and zeros do not fill it", async () => {
  const path = newPath();
  await using disk = await FileDisk.open(path, { createBytes: 2 ** 30 });
  await disk.write(2 ** 29, new Uint8Array(4096).fill(1));
  await disk.writeZeroes(2 ** 29 - 2 ** 22, 2 ** 23);
  const found = new Uint8Array(4096).fill(2);
  await disk.read(2 ** 29, found);
  assert.ok(found.every((byte) => byte === 0));
  const { size, blocks } = await stat(path);
  assert.equal(size, 2 ** 30);
  assert.ok(blocks * 512 < 2 ** 22, `${blocks} blocks of 512 bytes are allocated`);
});

test("FileDisk.open names what is wrong with the path", async () => {
  await assert.rejects(FileDisk.open(newPath()), code("gone"));
  await assert.rejects(FileDisk.open(folder, { readOnly: true }), code("medium"));
  const odd = newPath();
  await writeFile(odd, new Uint8Array(1000));
  await assert.rejects(FileDisk.open(odd), code("range"));
  await truncate(odd, 1024);
  await assert.rejects(FileDisk.open(odd, { createBytes: 512 }), code("medium"));
  await assert.rejects(FileDisk.open(odd, { blockSizeBytes: 4096 }), code("range"));
});

test("FileDisk.read reports a file that became shorter", async () => {
  const path = newPath();
  await writeFile(path, new Uint8Array(4096));
  await using disk = await FileDisk.open(path);
  await truncate(path, 1024);
  await assert.rejects(disk.read(512, new Uint8Array(1024)), code("medium"));
});

const block = (value: number) => new Uint8Array(512).fill(value);
const newDisk = () => new MemoryDisk({ sizeBytes: 8 * 512 });

async function blocksOf(disk: BlockDevice): Promise<number[]> {
  const all = new Uint8Array(disk.sizeBytes);
  await disk.read(0, all);
  return Array.from({ length: disk.sizeBytes / 512 }, (_, lba) => all[lba * 512]!);
}

test("faultyDisk fails only the calls that touch the faulty blocks, as often as told", async () => {
  const disk = faultyDisk(newDisk(), {
    kind: "fail",
    code: "medium",
    on: ["write"],
    firstLba: 2,
    lastLba: 3,
    times: 2,
  });
  await disk.write(0, new Uint8Array(1024));
  await disk.write(2048, new Uint8Array(1024));
  await disk.read(1024, new Uint8Array(1024));
  await assert.rejects(disk.write(512, new Uint8Array(1024)), code("medium"));
  await assert.rejects(disk.write(1536, block(1)), code("medium"));
  await disk.write(1536, block(1));
  assert.deepEqual(await blocksOf(disk), [0, 0, 0, 1, 0, 0, 0, 0]);
});

test("faultyDisk moves what comes before the faulty block when it is short", async () => {
  const inner = newDisk();
  const disk = faultyDisk(inner, { kind: "short", firstLba: 3, lastLba: 3 });
  await assert.rejects(disk.write(512, new Uint8Array(2048).fill(9)), code("medium"));
  assert.deepEqual(await blocksOf(inner), [0, 9, 9, 0, 0, 0, 0, 0]);
  await assert.rejects(disk.writeZeroes(1024, 1024), code("medium"));
  assert.deepEqual(await blocksOf(inner), [0, 9, 0, 0, 0, 0, 0, 0]);
});

test("faultyDisk stays gone until it heals", async () => {
  const disk = faultyDisk(newDisk());
  await disk.flush();
  disk.inject({ kind: "gone", on: ["flush"] });
  await disk.write(0, block(1));
  await assert.rejects(disk.flush(), code("gone"));
  await assert.rejects(disk.read(0, block(0)), code("gone"));
  disk.heal();
  assert.deepEqual(await blocksOf(disk), [1, 0, 0, 0, 0, 0, 0, 0]);
});

test("faultyDisk goes on when the slow call may", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const disk = faultyDisk(newDisk(), { kind: "slow", until: () => promise, times: 1 });
  const order: string[] = [];
  const slow = disk.write(0, block(1)).then(() => order.push("slow"));
  await disk.write(512, block(2)).then(() => order.push("quick"));
  resolve();
  await slow;
  assert.deepEqual(order, ["quick", "slow"]);
});

test("OverlayDisk leaves the disk below as it was, whatever is written", async () => {
  const contents = new Uint8Array(2 ** 20).map((_, index) => index % 251);
  const below = new MemoryDisk({ sizeBytes: contents.length, contents });
  const overlay = new OverlayDisk({ below });
  await Promise.all([
    overlay.write(65536 - 512, new Uint8Array(1024).fill(1)),
    overlay.write(65536 - 1024, new Uint8Array(512).fill(2)),
    overlay.writeZeroes(131072, 131072),
  ]);
  const wanted = contents.slice();
  wanted.fill(1, 65536 - 512, 65536 + 512);
  wanted.fill(2, 65536 - 1024, 65536 - 512);
  wanted.fill(0, 131072, 262144);
  const found = new Uint8Array(contents.length);
  await overlay.read(0, found);
  assert.deepEqual(found, wanted);
  await below.read(0, found);
  assert.deepEqual(found, contents);
});

test("OverlayDisk takes no more memory than it was given", async () => {
  const below = new MemoryDisk({ sizeBytes: 2 ** 20, readOnly: true });
  const overlay = new OverlayDisk({ below, bytesMax: 2 * 65536 });
  await overlay.write(0, new Uint8Array(2 * 65536));
  await assert.rejects(overlay.write(2 * 65536, block(1)), code("no-space"));
  await overlay.write(512, block(1));
  assert.equal(overlay.heldBytes, 2 * 65536);
});

const pieceBytes = 65536;
const filled = (value: number, pieces = 4) => new Uint8Array(pieces * pieceBytes).fill(value);
const firstBytes = async (disk: BlockDevice) => {
  const all = new Uint8Array(disk.sizeBytes);
  await disk.read(0, all);
  return Array.from({ length: disk.sizeBytes / pieceBytes }, (_, n) => all[n * pieceBytes]!);
};

test("OverlayDisk refuses a write for which there is no room before any of it is done", async () => {
  const below = new MemoryDisk({ sizeBytes: 4 * pieceBytes, contents: filled(7) });
  await using overlay = new OverlayDisk({ below, bytesMax: 2 * pieceBytes });
  await assert.rejects(overlay.write(0, filled(1, 3)), code("no-space"));
  await assert.rejects(overlay.writeZeroes(0, 3 * pieceBytes), code("no-space"));
  assert.deepEqual(await firstBytes(overlay), [7, 7, 7, 7]);
  assert.equal(overlay.heldBytes, 0);
  await overlay.write(pieceBytes, filled(2, 2));
  assert.deepEqual(await firstBytes(overlay), [7, 2, 2, 7]);
});

test("OverlayDisk counts the room in whole pieces, those of calls under way included", async () => {
  const below = new MemoryDisk({ sizeBytes: 4 * pieceBytes, contents: filled(7) });
  await using overlay = new OverlayDisk({ below, bytesMax: 1.5 * pieceBytes });
  const together = [overlay.write(0, block(1)), overlay.write(512, block(2))];
  await assert.rejects(overlay.write(pieceBytes, block(3)), code("no-space"));
  await Promise.all(together);
  assert.equal(overlay.heldBytes, pieceBytes);
  await assert.rejects(overlay.write(pieceBytes, block(3)), code("no-space"));
});

test("OverlayDisk keeps what was there when what lies below cannot be read", async () => {
  const inner = new MemoryDisk({ sizeBytes: 4 * pieceBytes, contents: filled(7) });
  const below = faultyDisk(inner);
  await using overlay = new OverlayDisk({ below });
  below.inject({ kind: "fail", code: "medium", firstLba: (3 * pieceBytes) / 512 });
  await assert.rejects(overlay.write(0, filled(1).subarray(512)), code("medium"));
  below.heal();
  assert.deepEqual(await firstBytes(overlay), [7, 7, 7, 7]);
  assert.equal(overlay.heldBytes, 0);
});

test("OverlayDisk reads what was there while a write waits for what lies below", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const reached = Promise.withResolvers<void>();
  const inner = new MemoryDisk({ sizeBytes: 4 * pieceBytes, contents: filled(7) });
  const below = faultyDisk(inner, {
    kind: "slow",
    until: () => {
      reached.resolve();
      return promise;
    },
    firstLba: (4 * pieceBytes) / 512 - 1,
    times: 1,
  });
  await using overlay = new OverlayDisk({ below });
  const writing = overlay.write(512, filled(1).subarray(1024));
  await reached.promise;
  const found = await firstBytes(overlay);
  resolve();
  await writing;
  assert.deepEqual(found, [7, 7, 7, 7]);
  assert.deepEqual(await firstBytes(overlay), [7, 1, 1, 1]);
});

test("OverlayDisk loses no whole write to one of a part that began before", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const inner = new MemoryDisk({ sizeBytes: 4 * pieceBytes, contents: filled(7) });
  const below = faultyDisk(inner, { kind: "slow", until: () => promise, times: 1 });
  await using overlay = new OverlayDisk({ below });
  const part = overlay.write(512, block(1));
  const whole = overlay.write(0, filled(2, 1));
  resolve();
  await Promise.all([part, whole]);
  assert.equal((await firstBytes(overlay))[0], 2);
});

test("OverlayDisk lets a write go on when the one that it waited for is aborted", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  const inner = new MemoryDisk({ sizeBytes: 4 * pieceBytes, contents: filled(7) });
  const below = faultyDisk(inner, { kind: "slow", until: () => promise, times: 1 });
  await using overlay = new OverlayDisk({ below });
  const abort = new AbortController();
  const first = overlay.write(0, block(1), abort);
  const second = overlay.write(512, block(2));
  abort.abort(new Error("enough"));
  resolve();
  await assert.rejects(first, /enough/);
  await second;
  const found = new Uint8Array(1536);
  await overlay.read(0, found);
  assert.deepEqual([found[0], found[512], found[1024]], [7, 2, 7]);
});

test("FileDisk.deallocate frees what a range takes, and leaves its neighbours", async (t) => {
  if (process.platform !== "linux") return t.skip("only Linux has fallocate");
  const path = newPath();
  const contents = new Uint8Array(4 * 2 ** 20).fill(5);
  await writeFile(path, contents);
  await using disk = await FileDisk.open(path);
  const before = (await stat(path)).blocks;
  await disk.deallocate(2 ** 20, 2 * 2 ** 20);
  const found = new Uint8Array(contents.length);
  await disk.read(0, found);
  contents.fill(0, 2 ** 20, 3 * 2 ** 20);
  assert.deepEqual(found, contents);
  const after = await stat(path);
  assert.equal(after.size, contents.length);
  assert.ok(after.blocks <= before - (2 * 2 ** 20) / 512, `${after.blocks} of ${before} blocks`);
  await assert.rejects(disk.deallocate(0, 8 * 2 ** 20), code("range"));
});

test("FileDisk.writeZeroes makes holes of long ranges, and leaves their neighbours", async (t) => {
  if (process.platform !== "linux") return t.skip("only Linux has fallocate");
  const path = newPath();
  const contents = new Uint8Array(20 * 2 ** 20).fill(5);
  await writeFile(path, contents);
  await using disk = await FileDisk.open(path);
  const before = (await stat(path)).blocks;
  await disk.writeZeroes(2 ** 20 + 512, 16 * 2 ** 20);
  const found = new Uint8Array(contents.length);
  await disk.read(0, found);
  contents.fill(0, 2 ** 20 + 512, 17 * 2 ** 20 + 512);
  assert.ok(Buffer.from(found).equals(contents));
  const after = await stat(path);
  assert.equal(after.size, contents.length);
  assert.ok(after.blocks <= before - (15 * 2 ** 20) / 512, `${after.blocks} of ${before} blocks`);
});
