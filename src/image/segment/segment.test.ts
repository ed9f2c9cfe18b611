import assert from "node:assert/strict";
import { test } from "node:test";
import { zstdDecompressSync } from "node:zlib";
import type { Entry } from "../entry.ts";
import { canonicalJson, segmentKey } from "./cache-key.ts";
import { readCpio, writeCpio } from "./cpio.ts";
import { type Codec, concatenateSegments, makeSegment } from "./segment.ts";

const owner = { uid: 0, gid: 0, mtimeSeconds: 1 };
const file = (path: string, data: Uint8Array): Entry => ({
  ...owner,
  type: "file",
  path,
  mode: 0o644,
  data,
});
const small = [file("a", new TextEncoder().encode("hello"))];
const fast: Codec = { kind: "zstd", level: 3 };
const store: Codec = { kind: "store" };

test("makeSegment stores the archive as it is, or as one zstd frame of it", () => {
  assert.deepEqual(makeSegment(small, store).bytes, writeCpio(small));
  const { bytes } = makeSegment(small, fast);
  assert.deepEqual(new Uint8Array(zstdDecompressSync(bytes)), writeCpio(small));
});

test("makeSegment gives the same bytes every time", () => {
  const data = Uint8Array.from({ length: 300_000 }, (_, i) => (i * i) % 251);
  const made = [1, 2].map(() => makeSegment([file("x", data)], fast).bytes);
  assert.deepEqual(made[0], made[1]);
});

/** RFC 8878 §3.1.1.1: descriptor bits, and the window as exponent and mantissa. */
function frameOf(bytes: Uint8Array): { checksum: boolean; windowBytes: number | "content" } {
  const descriptor = bytes[4]!.toString(2).padStart(8, "0");
  const isSingle = descriptor[2] === "1";
  const base = 2 ** (10 + Math.floor(bytes[5]! / 8));
  const windowBytes = isSingle ? "content" : base + (base / 8) * (bytes[5]! % 8);
  return { checksum: descriptor[5] === "1", windowBytes };
}

for (const level of [3, 19]) {
  test(`makeSegment at level ${level} needs a window of at most 8 MiB to unpack`, () => {
    const data = new Uint8Array(9 * 1024 * 1024);
    const { checksum, windowBytes } = frameOf(
      makeSegment([file("x", data)], { ...fast, level }).bytes,
    );
    assert.ok(typeof windowBytes === "number" && windowBytes <= 8 * 1024 * 1024);
    assert.equal(checksum, false);
  });
}

test("makeSegment refuses levels whose windows are larger, and those that are none", () => {
  for (const level of [0, 20, 3.5]) {
    assert.throws(() => makeSegment(small, { kind: "zstd", level }), /A zstd level is 1 to 19/);
  }
});

test("makeSegment lists what is in it, with the facts it was given", () => {
  const entries: Entry[] = [
    ...small,
    { ...owner, type: "directory", path: "d", mode: 0o755 },
    { ...owner, type: "hardlink", path: "h", mode: 0o644, target: "a" },
    { ...owner, type: "character", path: "n", mode: 0o666, major: 1, minor: 3 },
    { ...owner, type: "symlink", path: "s", mode: 0o777, target: "a" },
  ];
  const facts = { control: { Package: "x" }, captured: { a: { text: "hello" } } };
  const { listing } = makeSegment(entries, store, facts);
  const nobody = { uid: 0, gid: 0, sizeBytes: 0 };
  assert.deepEqual(listing, {
    ...facts,
    scripts: {},
    entries: [
      { ...nobody, type: "file", path: "a", mode: 0o644, sizeBytes: 5 },
      { ...nobody, type: "directory", path: "d", mode: 0o755 },
      { ...nobody, type: "hardlink", path: "h", mode: 0o644, target: "a" },
      { ...nobody, type: "character", path: "n", mode: 0o666, device: [1, 3] },
      { ...nobody, type: "symlink", path: "s", mode: 0o777, target: "a" },
    ],
  });
});

test("makeSegment makes no bytes of no entries", () => {
  assert.equal(makeSegment([], fast).bytes.length, 0);
  assert.equal(makeSegment([], store).bytes.length, 0);
});

test("concatenateSegments aligns stored archives and the end to 4, and packs the others", () => {
  const packed = { codec: fast, bytes: Uint8Array.of(1, 2, 3, 4, 5) };
  const stored = { codec: store, bytes: writeCpio(small) };
  const chunks = concatenateSegments([packed, packed, stored, packed]);
  assert.equal(chunks[3], stored.bytes);
  const bytes = new Uint8Array(Buffer.concat(chunks));
  assert.deepEqual([...bytes.subarray(0, 12)], [1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 0, 0]);
  assert.deepEqual(readCpio(bytes, "x", 12).entries, small);
  assert.equal(bytes.length % 4, 0);
  assert.deepEqual([...bytes.subarray(12 + stored.bytes.length)], [1, 2, 3, 4, 5, 0, 0, 0]);
  assert.deepEqual(concatenateSegments([]), []);
});

test("canonicalJson does not depend on the order of keys", () => {
  const value = { b: [1, { y: null, x: "ü" }], a: true };
  assert.equal(canonicalJson(value), '{"a":true,"b":[1,{"x":"ü","y":null}]}');
  assert.equal(canonicalJson({ a: true, b: value.b }), canonicalJson(value));
});

test("segmentKey changes with each ingredient, level and library, and with nothing else", () => {
  const keys = [
    segmentKey({ sha256: "aa", epoch: 1 }, fast, "1.5.7"),
    segmentKey({ sha256: "ab", epoch: 1 }, fast, "1.5.7"),
    segmentKey({ sha256: "aa", epoch: 2 }, fast, "1.5.7"),
    segmentKey({ sha256: "aa", epoch: 1 }, { ...fast, level: 4 }, "1.5.7"),
    segmentKey({ sha256: "aa", epoch: 1 }, fast, "1.5.8"),
    segmentKey({ sha256: "aa", epoch: 1 }, store, "1.5.7"),
  ];
  assert.equal(new Set(keys).size, keys.length);
  assert.ok(keys.every((key) => /^[0-9a-f]{64}$/.test(key)));
  assert.equal(segmentKey({ epoch: 1, sha256: "aa" }, fast, "1.5.7"), keys[0]);
  assert.equal(segmentKey({ epoch: 1, sha256: "aa" }, store, "1.5.8"), keys[5]);
});
