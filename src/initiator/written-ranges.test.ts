import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { WrittenRanges } from "./written-ranges.ts";

test("WrittenRanges joins what touches, in any order, and is empty once taken", () => {
  const ranges = new WrittenRanges();
  for (const [start, end] of [
    [4096, 8192],
    [0, 512],
    [8192, 9000],
    [512, 4096],
    [20000, 20000],
    [30000, 31000],
  ] as const) {
    ranges.add(start, end);
  }
  assert.equal(ranges.isEmpty, false);
  assert.deepEqual(ranges.take(), [
    { offsetBytes: 0, lengthBytes: 9000 },
    { offsetBytes: 30000, lengthBytes: 1000 },
  ]);
  assert.ok(ranges.isEmpty);
  assert.deepEqual(ranges.take(), []);
});

test("WrittenRanges covers every byte that was added, exactly while the pieces are few", () => {
  const blocks = 4000;
  const piece = fc.tuple(fc.nat(blocks - 1), fc.integer({ min: 1, max: 4 }));
  const property = fc.property(
    fc.oneof(fc.array(piece, { maxLength: 60 }), fc.array(piece, { minLength: 600 })),
    fc.boolean(),
    (pieces, isInTwo) => {
      const ranges = new WrittenRanges();
      const second = new WrittenRanges();
      const model = new Uint8Array(blocks + 4);
      for (const [n, [start, length]] of pieces.entries()) {
        (isInTwo && n % 2 === 1 ? second : ranges).add(start, start + length);
        model.fill(1, start, start + length);
      }
      ranges.addAll(second);
      const covered = new Uint8Array(blocks + 4);
      let afterBytes = -1;
      for (const { offsetBytes, lengthBytes } of ranges.take()) {
        assert.ok(offsetBytes > afterBytes && lengthBytes > 0);
        afterBytes = offsetBytes + lengthBytes;
        covered.fill(1, offsetBytes, afterBytes);
      }
      if (pieces.length <= 60) assert.deepEqual(covered, model);
      else assert.ok(model.every((value, n) => value === 0 || covered[n] === 1));
    },
  );
  fc.assert(property, { seed: 20261123, numRuns: 100 });
});
