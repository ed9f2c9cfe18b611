import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate } from "node:timers/promises";
import { openHasher } from "./integrity/driver-hasher.ts";
import { PiecePool, pieceBytes } from "./piece.ts";
import { ImageReader } from "./reader.ts";
import type { ByteSource } from "./source/byte-source.ts";
import { noise } from "./testing/fixtures.ts";

const content = noise(9 * pieceBytes + 5);

/** A source whose reads overlap and end in any order. */
function overlapping(readsMax: number, order: (n: number) => number) {
  let at = 0;
  let reads = 0;
  let underWay = 0;
  const most = { underWay: 0 };
  const source: ByteSource = {
    sizeBytes: undefined,
    readsMax,
    async read(target) {
      const from = at;
      const length = Math.min(target.length, content.length - from);
      at += length;
      most.underWay = Math.max(most.underWay, ++underWay);
      for (let turns = order(reads++); turns > 0; turns--) await setImmediate();
      target.set(content.subarray(from, from + length));
      underWay--;
      return length;
    },
    [Symbol.asyncDispose]: async () => {},
  };
  return { source, most };
}

async function readerOf(
  source: ByteSource,
  stack: AsyncDisposableStack,
  sizeBytes = content.length,
): Promise<ImageReader> {
  return new ImageReader({
    source,
    facts: {
      name: "image",
      packing: [],
      sizeBytes,
      sizeBytesMin: sizeBytes,
      expectedBytes: sizeBytes,
      dataBytes: undefined,
      sectorSizeBytes: undefined,
      diskGuid: undefined,
      contents: "",
      checkedBy: [],
      notes: [],
      savedBlockBytes: undefined,
    },
    checks: undefined,
    bmap: undefined,
    hasher: stack.use(openHasher()),
    times: { sourceMs: 0, readMs: 0, bufferMs: 0 },
    clock: () => 0,
  });
}

test("ImageReader.pieces keeps the order of overlapping reads, however scarce buffers are", async () => {
  await using stack = new AsyncDisposableStack();
  for (const [readsMax, buffers] of [
    [1, 2],
    [4, 1],
    [4, 3],
    [4, 32],
  ] as const) {
    const { source, most } = overlapping(readsMax, (n) => 1 + ((n * 7) % 11));
    const reader = await readerOf(source, stack);
    const found: Uint8Array[] = [];
    for await (const piece of reader.pieces(new PiecePool(buffers))) {
      found.push(piece.data?.slice() ?? new Uint8Array(piece.lengthBytes));
      // Buffers come back late, and some by chance.
      if (piece.offsetBytes % (3 * pieceBytes) === 0) await setImmediate();
      piece.release();
    }
    assert.ok(Buffer.concat(found).equals(content), `${readsMax} reads, ${buffers} buffers`);
    assert.ok(most.underWay <= readsMax, `${most.underWay} reads at a time`);
    if (readsMax < buffers) assert.equal(most.underWay, readsMax);
  }
});

test("ImageReader.pieces makes pieces of zeros of what its source skips, but for the head", async () => {
  await using stack = new AsyncDisposableStack();
  for (const readsMax of [1, 4]) {
    const { source } = overlapping(readsMax, (n) => (n * 7) % 5);
    let asked = 0;
    const holed: ByteSource = {
      ...source,
      skipZeros(lengthBytes) {
        assert.equal(lengthBytes, pieceBytes);
        // The second, third and last but one of its whole pieces.
        return [1, 2, 8].includes(++asked);
      },
    };
    const reader = await readerOf(holed, stack, content.length + 3 * pieceBytes);
    const found: Uint8Array[] = [];
    for await (const piece of reader.pieces(new PiecePool(3))) {
      found.push(piece.data?.slice() ?? new Uint8Array(piece.lengthBytes));
      piece.release();
    }
    const hole = new Uint8Array(pieceBytes);
    const [one, six] = [pieceBytes, 6 * pieceBytes];
    const parts = [content.subarray(0, one), hole, hole, content.subarray(one, six)];
    const wanted = Buffer.concat([...parts, hole, content.subarray(six)]);
    assert.ok(Buffer.concat(found).equals(wanted), `${readsMax} reads`);
  }
});

test("ImageReader.pieces can be left while its source stalls, and gives its buffers back", async () => {
  await using stack = new AsyncDisposableStack();
  const { promise: stall, resolve: goOn } = Promise.withResolvers<void>();
  const { source } = overlapping(1, () => 0);
  let reads = 0;
  const stalling: ByteSource = {
    ...source,
    async read(target) {
      if (++reads > 2) await stall;
      return await source.read(target);
    },
  };
  const reader = await readerOf(stalling, stack);
  const pool = new PiecePool(3);
  for await (const piece of reader.pieces(pool)) {
    piece.release();
    break;
  }
  goOn();
  const taken = await Promise.all([pool.take(), pool.take(), pool.take()]);
  assert.equal(new Set(taken).size, 3, "no buffer was given back twice");
});

test("ImageReader.pieces ends with the signal's reason while its source stalls", async () => {
  await using stack = new AsyncDisposableStack();
  const { source } = overlapping(1, () => 0);
  const stalling: ByteSource = { ...source, read: () => new Promise<never>(() => undefined) };
  const reader = await readerOf(stalling, stack);
  const aborting = new AbortController();
  const reading = reader.pieces(new PiecePool(3), { signal: aborting.signal }).next();
  aborting.abort(new Error("enough"));
  await assert.rejects(reading, /enough/);
});
