import assert from "node:assert/strict";
import { test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { xz } from "@napi-rs/lzma";
import { FlashError } from "../../error.ts";
import { noise } from "../../testing/fixtures.ts";
import { type ByteSource, ChunkSource } from "../byte-source.ts";
import { decodeInThread } from "./driver-decode-thread.ts";

const content = Buffer.concat([noise(300_000), Buffer.alloc(3_000_000), noise(200_000, 7)]);
const packers = {
  gzip: (data: Uint8Array) => gzipSync(data, { level: 1 }),
  zstd: (data: Uint8Array) => zstdCompressSync(data),
  xz: (data: Uint8Array) => xz.compressSync(data),
} as const;
const formats = ["gzip", "zstd", "xz"] as const;

/** Brings `data`, and then throws `error` if there is one. */
function sourceOf(data: Uint8Array, error?: Error) {
  async function* chunks() {
    yield data;
    if (error) throw error;
  }
  let isClosed = false;
  const source = new ChunkSource(chunks(), undefined, async () => {
    isClosed = true;
  });
  return { source, isClosed: () => isClosed };
}

/** Reads to the end with as many reads at a time as the source takes, into shared buffers. */
async function readAll(source: ByteSource, pieceBytes: number): Promise<Buffer> {
  const found: Uint8Array[] = [];
  for (;;) {
    const reads = Array.from({ length: source.readsMax ?? 1 }, async () => {
      const target = new Uint8Array(new SharedArrayBuffer(pieceBytes));
      return target.subarray(0, await source.read(target));
    });
    const pieces = await Promise.all(reads);
    found.push(...pieces.map((piece) => piece.slice()));
    if (pieces.some((piece) => piece.length < pieceBytes)) return Buffer.concat(found);
  }
}

for (const format of formats) {
  test(`decodeInThread gives the content of ${format} in order, whatever is read into`, async () => {
    for (const pieceBytes of [1024 * 1024, 77_777]) {
      await using source = decodeInThread(sourceOf(packers[format](content)).source, format, {
        name: "image",
      });
      const first = Buffer.alloc(100);
      assert.equal(await source.read(first), first.length);
      const rest = await readAll(source, pieceBytes);
      assert.ok(Buffer.concat([first, rest]).equals(content), `${pieceBytes}`);
    }
  });

  test(`decodeInThread refuses ${format} that is cut off as decodeSource does`, async () => {
    const packed = packers[format](content);
    const { source: cut } = sourceOf(packed.subarray(0, packed.length - 100));
    await using source = decodeInThread(cut, format, { name: "image" });
    await assert.rejects(
      readAll(source, 1024 * 1024),
      (error) =>
        error instanceof FlashError &&
        error.code === "truncated" &&
        error.message.startsWith(`Cannot use image: its ${format} data ends before its end.`) &&
        error.facts.format === format,
    );
    await assert.rejects(source.read(Buffer.alloc(1)), FlashError, "and stays so");
  });
}

test("decodeInThread passes on what its source throws, and not what the decoder makes of it", async () => {
  const packed = zstdCompressSync(content);
  const failure = new Error("the cable is out");
  const { source: failing } = sourceOf(packed.subarray(0, 100_000), failure);
  await using source = decodeInThread(failing, "zstd", { name: "image" });
  await assert.rejects(readAll(source, 1024 * 1024), (error) => error === failure);
});

test("decodeInThread can be let go before its end, while its source stalls, and closes it", async () => {
  const stall = new Promise<never>(() => undefined);
  let isClosed = false;
  const stalling: ByteSource = {
    sizeBytes: undefined,
    read: () => stall,
    [Symbol.asyncDispose]: async () => {
      isClosed = true;
    },
  };
  const source = decodeInThread(stalling, "zstd", { name: "image" });
  const reading = source.read(Buffer.alloc(10));
  const rejected = assert.rejects(reading, /ended/);
  await source[Symbol.asyncDispose]();
  await source[Symbol.asyncDispose]();
  await rejected;
  assert.ok(isClosed);
});
