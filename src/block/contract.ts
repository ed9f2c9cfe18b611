/** What every BlockDevice promises, as test cases that each implementation runs. */

import assert from "node:assert/strict";
import { type BlockDevice, BlockError, type BlockErrorCode } from "./device.ts";

/** What a case asks of the device that it is given. */
export interface ContractDisk {
  /** 64 blocks. */
  readonly sizeBytes: number;
  readonly blockSizeBytes: number;
  readonly readOnly: boolean;
  /** What the device holds when the case begins; `sizeBytes` long. */
  readonly contents: Uint8Array;
}

/** Makes a device as a case asks for; the case disposes it. */
export type MakeDisk = (wanted: ContractDisk) => Promise<BlockDevice>;

/** One promise of the contract; `run` rejects when the device breaks it. */
export interface ContractCase {
  readonly title: string;
  run(make: MakeDisk): Promise<void>;
}

/**
 * All promises of a BlockDevice. Register each as a test of the implementation:
 * `for (const { title, run } of blockDeviceContract) test("MemoryDisk " + title, () => run(make))`.
 */
export const blockDeviceContract: readonly ContractCase[] = [
  ...[512, 4096].map((blockSizeBytes) => ({
    title: `reads what was there and what was written, in blocks of ${blockSizeBytes}`,
    run: (make: MakeDisk) => readsAndWrites(make, blockSizeBytes),
  })),
  { title: "says its size, block size and whether it can be written", run: saysItsShape },
  { title: "makes exactly the range zero", run: zeroes },
  { title: "deallocates, if it can, to zeros or to what was there", run: deallocates },
  { title: "reads and writes at once, if it can, what it does later", run: actsAtOnce },
  { title: "takes empty ranges", run: takesEmptyRanges },
  { title: "keeps calls in other ranges apart when they overlap in time", run: overlapsInTime },
  { title: "writes from and reads into a view of a larger buffer", run: usesViews },
  { title: "refuses ranges that are unaligned or outside", run: refusesRanges },
  { title: "refuses to write when it is read-only", run: refusesWrites },
  { title: "rejects with the signal's reason when aborted before", run: honoursSignals },
  { title: "leaves each block old or new when a write is rejected", run: keepsBlocksWhole },
  { title: "waits for calls under way when it is disposed, twice too", run: closes },
];

const shape = { sizeBytes: 64 * 512, blockSizeBytes: 512, readOnly: false };

async function readsAndWrites(make: MakeDisk, blockSizeBytes: number): Promise<void> {
  const sizeBytes = 64 * blockSizeBytes;
  const contents = pattern(sizeBytes, 1);
  await using disk = await make({ sizeBytes, blockSizeBytes, readOnly: false, contents });
  assert.deepEqual(await readAll(disk), contents);
  const data = pattern(3 * blockSizeBytes, 2);
  await disk.write(5 * blockSizeBytes, data);
  contents.set(data, 5 * blockSizeBytes);
  await disk.write(sizeBytes - blockSizeBytes, data.subarray(0, blockSizeBytes));
  contents.set(data.subarray(0, blockSizeBytes), sizeBytes - blockSizeBytes);
  await disk.flush();
  assert.deepEqual(await readAll(disk), contents);
}

async function saysItsShape(make: MakeDisk): Promise<void> {
  for (const readOnly of [false, true]) {
    await using disk = await make({ ...shape, readOnly, contents: pattern(shape.sizeBytes, 3) });
    const { sizeBytes, blockSizeBytes } = disk;
    assert.deepEqual(
      { sizeBytes, blockSizeBytes, readOnly: disk.readOnly },
      { ...shape, readOnly },
    );
  }
}

async function zeroes(make: MakeDisk): Promise<void> {
  const contents = pattern(shape.sizeBytes, 4);
  await using disk = await make({ ...shape, contents });
  await disk.writeZeroes(512, 10 * 512);
  contents.fill(0, 512, 11 * 512);
  assert.deepEqual(await readAll(disk), contents);
}

async function deallocates(make: MakeDisk): Promise<void> {
  // Long enough for media that free nothing smaller.
  const blockSizeBytes = 4096;
  const sizeBytes = 64 * blockSizeBytes;
  const contents = pattern(sizeBytes, 14);
  await using disk = await make({ sizeBytes, blockSizeBytes, readOnly: false, contents });
  const [from, to] = [8 * blockSizeBytes, 40 * blockSizeBytes];
  await disk.deallocate?.(from, to - from);
  const found = await readAll(disk);
  assert.deepEqual(found.subarray(0, from), contents.subarray(0, from));
  assert.deepEqual(found.subarray(to), contents.subarray(to));
  for (let at = from; at < to; at += blockSizeBytes) {
    const block = found.subarray(at, at + blockSizeBytes);
    const isZero = block.every((byte) => byte === 0);
    if (!isZero) assert.deepEqual(block, contents.subarray(at, at + blockSizeBytes));
  }
  const data = pattern(blockSizeBytes, 15);
  await disk.write(from, data);
  assert.deepEqual(await readSome(disk, from, blockSizeBytes), data);
  if (disk.deallocate) {
    await rejectsWith("range", "deallocate past the end", disk.deallocate(sizeBytes, 4096));
    await rejectsWith("range", "deallocate a part of a block", disk.deallocate(1, 4096));
  }
}

async function actsAtOnce(make: MakeDisk): Promise<void> {
  const contents = pattern(shape.sizeBytes, 16);
  await using disk = await make({ ...shape, contents });
  const buffer = pattern(1500, 17);
  if (disk.writeNow) {
    disk.writeNow(1024, buffer, 100, 1024);
    contents.set(buffer.subarray(100, 1124), 1024);
  }
  assert.deepEqual(await readAll(disk), contents);
  if (disk.readNow) {
    const wanted = buffer.slice();
    wanted.set(contents.subarray(512, 1536), 200);
    disk.readNow(512, buffer, 200, 1024);
    assert.deepEqual(buffer, wanted);
  }
  for (const [offset, length] of [
    [1, 512],
    [0, 511],
    [shape.sizeBytes, 512],
    [-512, 512],
  ] as const) {
    throwsWith("range", () => disk.readNow?.(offset, buffer, 0, length), disk.readNow);
    throwsWith("range", () => disk.writeNow?.(offset, buffer, 0, length), disk.writeNow);
  }
  assert.deepEqual(await readAll(disk), contents);
  await disk[Symbol.asyncDispose]();
  throwsWith("closed", () => disk.readNow?.(0, buffer, 0, 512), disk.readNow);
  throwsWith("closed", () => disk.writeNow?.(0, buffer, 0, 512), disk.writeNow);
  await using readOnly = await make({ ...shape, readOnly: true, contents });
  throwsWith("read-only", () => readOnly.writeNow?.(0, buffer, 0, 512), readOnly.writeNow);
}

async function takesEmptyRanges(make: MakeDisk): Promise<void> {
  const contents = pattern(shape.sizeBytes, 5);
  await using disk = await make({ ...shape, contents });
  await disk.read(512, new Uint8Array());
  await disk.write(shape.sizeBytes, new Uint8Array());
  await disk.writeZeroes(0, 0);
  assert.deepEqual(await readAll(disk), contents);
}

async function overlapsInTime(make: MakeDisk): Promise<void> {
  const contents = pattern(shape.sizeBytes, 6);
  await using disk = await make({ ...shape, contents });
  const written = pattern(shape.sizeBytes, 7);
  const reads: Promise<Uint8Array>[] = [];
  const writes: Promise<void>[] = [];
  for (let at = 0; at < shape.sizeBytes; at += 1024) {
    reads.push(readSome(disk, at, 512));
    writes.push(disk.write(at + 512, written.subarray(at + 512, at + 1024)));
    contents.set(written.subarray(at + 512, at + 1024), at + 512);
  }
  for (const [index, found] of (await Promise.all(reads)).entries()) {
    assert.deepEqual(found, contents.slice(index * 1024, index * 1024 + 512));
  }
  await Promise.all(writes);
  assert.deepEqual(await readAll(disk), contents);
}

async function usesViews(make: MakeDisk): Promise<void> {
  const contents = pattern(shape.sizeBytes, 8);
  await using disk = await make({ ...shape, contents });
  const buffer = pattern(2048, 9);
  await disk.write(1024, buffer.subarray(3, 3 + 512));
  contents.set(buffer.subarray(3, 3 + 512), 1024);
  const wanted = buffer.slice();
  wanted.set(contents.subarray(512, 1536), 5);
  await disk.read(512, buffer.subarray(5, 5 + 1024));
  assert.deepEqual(buffer, wanted);
}

async function refusesRanges(make: MakeDisk): Promise<void> {
  const contents = pattern(shape.sizeBytes, 10);
  await using disk = await make({ ...shape, contents });
  const ranges = [
    [1, 512],
    [0, 511],
    [-512, 512],
    [shape.sizeBytes, 512],
    [shape.sizeBytes - 512, 1024],
    [0.5, 512],
  ] as const;
  for (const [offset, length] of ranges) {
    const range = `${length} bytes at ${offset}`;
    await rejectsWith("range", `read ${range}`, disk.read(offset, new Uint8Array(length)));
    await rejectsWith("range", `write ${range}`, disk.write(offset, new Uint8Array(length)));
    await rejectsWith("range", `zero ${range}`, disk.writeZeroes(offset, length));
  }
  assert.deepEqual(await readAll(disk), contents);
}

async function refusesWrites(make: MakeDisk): Promise<void> {
  const contents = pattern(shape.sizeBytes, 11);
  await using disk = await make({ ...shape, readOnly: true, contents });
  await rejectsWith("read-only", "write", disk.write(0, new Uint8Array(512)));
  await rejectsWith("read-only", "zero", disk.writeZeroes(0, 512));
  assert.deepEqual(await readAll(disk), contents);
}

async function honoursSignals(make: MakeDisk): Promise<void> {
  const contents = pattern(shape.sizeBytes, 12);
  await using disk = await make({ ...shape, contents });
  const reason = new Error("enough");
  const options = { signal: AbortSignal.abort(reason) };
  const isReason = (error: unknown) => error === reason;
  await assert.rejects(disk.read(0, new Uint8Array(512), options), isReason);
  await assert.rejects(disk.write(0, new Uint8Array(512), options), isReason);
  await assert.rejects(disk.writeZeroes(0, 512, options), isReason);
  await assert.rejects(disk.flush(options), isReason);
  assert.deepEqual(await readAll(disk), contents);
}

async function keepsBlocksWhole(make: MakeDisk): Promise<void> {
  // Large enough for devices that keep track of pieces of many blocks, both ends within one.
  const blockSizeBytes = 4096;
  const sizeBytes = 64 * blockSizeBytes;
  const before = pattern(sizeBytes, 18);
  const reason = new Error("enough");
  for (const kind of ["write", "writeZeroes"] as const) {
    await using disk = await make({
      sizeBytes,
      blockSizeBytes,
      readOnly: false,
      contents: before,
    });
    const after = kind === "write" ? pattern(sizeBytes, 19) : new Uint8Array(sizeBytes);
    const [from, to] = [15 * blockSizeBytes, 63 * blockSizeBytes];
    const abort = new AbortController();
    const writing =
      kind === "write"
        ? disk.write(from, after.subarray(from, to), abort)
        : disk.writeZeroes(from, to - from, abort);
    abort.abort(reason);
    const isRejected = await writing.then(
      () => false,
      (error: unknown) => {
        assert.equal(error, reason);
        return true;
      },
    );
    const found = await readAll(disk);
    for (let at = 0; at < sizeBytes; at += blockSizeBytes) {
      const block = found.subarray(at, at + blockSizeBytes);
      const isInside = at >= from && at < to;
      const isOld = Buffer.from(block).equals(before.subarray(at, at + blockSizeBytes));
      const isNew = Buffer.from(block).equals(after.subarray(at, at + blockSizeBytes));
      const canBeOld = isRejected || !isInside;
      assert.ok((isInside && isNew) || (canBeOld && isOld), `${kind}: the block at ${at} is torn`);
    }
  }
}

async function closes(make: MakeDisk): Promise<void> {
  const contents = pattern(shape.sizeBytes, 13);
  const disk = await make({ ...shape, contents });
  const target = new Uint8Array(shape.sizeBytes);
  let settled = false;
  const reading = disk.read(0, target).then(() => {
    settled = true;
  });
  await disk[Symbol.asyncDispose]();
  assert.ok(settled, "a read was under way when the disposal resolved");
  await reading;
  assert.deepEqual(target, contents);
  await disk[Symbol.asyncDispose]();
  await rejectsWith("closed", "read after disposal", disk.read(0, target));
  await rejectsWith("closed", "write after disposal", disk.write(0, target));
  await rejectsWith("closed", "flush after disposal", disk.flush());
}

async function rejectsWith(
  code: BlockErrorCode,
  what: string,
  call: Promise<unknown>,
): Promise<void> {
  await assert.rejects(
    call,
    (error: unknown) => error instanceof BlockError && error.code === code,
    `${what} must reject with a BlockError of code ${code}`,
  );
}

/** `isThere` is what `call` calls: a device that has it not has nothing to refuse. */
function throwsWith(code: BlockErrorCode, call: () => void, isThere: unknown): void {
  if (!isThere) return;
  assert.throws(call, (error: unknown) => error instanceof BlockError && error.code === code);
}

async function readSome(disk: BlockDevice, offset: number, length: number): Promise<Uint8Array> {
  const target = new Uint8Array(length).fill(0xee);
  await disk.read(offset, target);
  return target;
}

function readAll(disk: BlockDevice): Promise<Uint8Array> {
  return readSome(disk, 0, disk.sizeBytes);
}

/** Bytes that differ between any two blocks and any two seeds. */
function pattern(lengthBytes: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(lengthBytes);
  let state = seed * 2654435761;
  for (let i = 0; i < lengthBytes; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) % 2 ** 32;
    bytes[i] = Math.abs(Math.floor(state / 2 ** 16)) % 256;
  }
  return bytes;
}
