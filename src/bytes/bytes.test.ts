import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { byTables } from "./crc32c.ts";
import {
  ascii,
  bits,
  bytes,
  crc32c,
  flag,
  layout,
  repeat,
  reserved,
  u8,
  u16le,
  u32be,
  u64le,
} from "./index.ts";

const sample = layout("sample", 32, {
  tag: u8,
  gap: reserved(1),
  count: u16le,
  order: u32be,
  offset: u64le,
  name: ascii(4, " "),
  raw: bytes(2),
  mode: bits(2, { enable: flag, reserved1: 3, kind: 4, reserved8: 8 }),
  pair: repeat(u8, 2),
  label: ascii(6, "\0"),
});

const value = {
  tag: 7,
  count: 0x0102,
  order: 0x01020304,
  offset: 0x0807060504030201n,
  name: "ab",
  raw: Uint8Array.of(9, 8),
  mode: { enable: true, kind: 5 },
  pair: [1, 2],
  label: "x y",
};
const hex = "0700020101020304010203040506070861622020090851000102782079000000";

test("layout writes and reads the same bytes", () => {
  assert.equal(Buffer.from(sample.encode(value)).toString("hex"), hex);
  assert.deepEqual(sample.decode(Buffer.from(hex, "hex")), value);
});

test("layout.encodeInto zeroes what lies there first", () => {
  const buffer = new Uint8Array(40).fill(0xff);
  sample.encodeInto(value, buffer, 4);
  assert.equal(Buffer.from(buffer.subarray(4, 36)).toString("hex"), hex);
  assert.equal(buffer[3], 0xff);
  assert.equal(buffer[36], 0xff);
});

test("layout throws at declaration when the sum is wrong", () => {
  assert.throws(() => layout("bad", 3, { a: u8, b: u8 }), /declares 3 bytes but its fields take 2/);
  assert.throws(() => bits(1, { a: 4 }), /take 4 bits, but the field has 8/);
});

test("layout refuses values and buffers that do not fit", () => {
  assert.throws(() => sample.decode(new Uint8Array(31)), /takes 32 bytes at offset 0/);
  assert.throws(() => sample.encode({ ...value, tag: 256 }), /from 0 to 255, not 256/);
  assert.throws(() => sample.encode({ ...value, name: "abcde" }), /up to 4 ASCII/);
  assert.throws(() => sample.encode({ ...value, mode: { enable: true, kind: 16 } }), /0 to 15/);
});

test("crc32c matches the vectors of RFC 3720 B.4, however it is cut", () => {
  assert.equal(crc32c(new Uint8Array(32)), 0x8a9136aa);
  assert.equal(crc32c(new Uint8Array(32).fill(0xff)), 0x62a8ab43);
  const counting = Uint8Array.from({ length: 32 }, (_, i) => i);
  assert.equal(crc32c(counting), 0x46dd794e);
  for (let cut = 0; cut <= 32; cut++) {
    assert.equal(crc32c(counting.subarray(cut), crc32c(counting.subarray(0, cut))), 0x46dd794e);
  }
});

test("crc32c gives what its tables give, for any length and start", () => {
  assert.equal(crc32c(Buffer.from("123456789")), 0xe3069283);
  const start = fc.integer({ min: 0, max: 0xffffffff });
  const any = fc.uint8Array({ maxLength: 2000, size: "max" });
  const property = fc.property(any, start, fc.nat(15), (bytes, crc, skip) => {
    const part = bytes.subarray(skip);
    assert.equal(crc32c(part, crc), byTables(part, crc));
    assert.equal(byTables(part, crc), bitByBit(part, crc));
  });
  fc.assert(property, { seed: 20261123, numRuns: 200 });
});

/** The definition itself: polynomial division, reflected. */
function bitByBit(bytes: Uint8Array, crc: number): number {
  let c = ~crc >>> 0;
  for (const byte of bytes) {
    c = (c ^ byte) >>> 0;
    for (let k = 0; k < 8; k++) c = c & 1 ? (0x82f63b78 ^ (c >>> 1)) >>> 0 : c >>> 1;
  }
  return ~c >>> 0;
}
