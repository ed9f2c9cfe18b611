import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { LineDecoder, type LineItem } from "./lines.ts";

const fixed = { seed: 20261123, numRuns: 300 };

function decodeAll(bytesMax: number, chunks: readonly Uint8Array[]): LineItem[] {
  const decoder = new LineDecoder(bytesMax);
  return chunks.flatMap((chunk) => [...decoder.push(chunk)]);
}

function cut(bytes: Uint8Array, places: readonly number[]): Uint8Array[] {
  const sorted = [0, ...places.map((at) => at % (bytes.length + 1)), bytes.length];
  sorted.sort((a, b) => a - b);
  return sorted.slice(1).map((end, at) => bytes.slice(sorted[at], end));
}

const tooLong = { kind: "fault", reason: "too-long", bytesMax: 8 };
const table: readonly [name: string, text: string, items: readonly unknown[]][] = [
  ["one line", "abc\n", [{ kind: "line", text: "abc" }]],
  ["what has no end", "abc", []],
  ["empty lines", "\n\r\n \na\r\n", [{ kind: "line", text: "a" }]],
  ["a line as long as may be", "12345678\n", [{ kind: "line", text: "12345678" }]],
  ["a line that is too long, and all after it", "123456789\nabc\n", [tooLong]],
  ["too long without an end", "123456789", [tooLong]],
];
for (const [name, text, items] of table) {
  test(`LineDecoder takes ${name}`, () => {
    assert.deepEqual(decodeAll(8, [Buffer.from(text)]), items);
  });
}

test("LineDecoder reports what is not UTF-8 and goes on", () => {
  assert.deepEqual(decodeAll(8, [Uint8Array.of(0xff, 10, 0x61, 10)]), [
    { kind: "fault", reason: "encoding" },
    { kind: "line", text: "a" },
  ]);
});

test("LineDecoder gives the same however the bytes are cut", () => {
  const bytes = fc.uint8Array({ maxLength: 200 }).map((array) => array.map((b) => b % 40));
  fc.assert(
    fc.property(bytes, fc.array(fc.nat()), (whole, places) => {
      assert.deepEqual(decodeAll(30, cut(whole, places)), decodeAll(30, [whole]));
    }),
    fixed,
  );
});

test("LineDecoder keeps no part of a chunk that its owner fills again", () => {
  const decoder = new LineDecoder(8);
  const chunk = Buffer.from("ab");
  assert.deepEqual([...decoder.push(chunk)], []);
  chunk.fill(0x7a);
  assert.deepEqual([...decoder.push(Buffer.from("c\n"))], [{ kind: "line", text: "abc" }]);
});
