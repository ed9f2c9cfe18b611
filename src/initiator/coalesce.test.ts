import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { coalesce } from "./coalesce.ts";

test("coalesce joins runs of short buffers, and leaves long ones as they are", () => {
  const [header, long] = [new Uint8Array(72).fill(1), new Uint8Array(4096).fill(2)];
  const joined = coalesce([header, header, long, header, long, long, header, header, header]);
  assert.deepEqual(
    joined.map(({ length }) => length),
    [144, 4096, 72, 4096, 4096, 216],
  );
  assert.ok(joined[1] === long && joined[2] === header);
});

test("coalesce keeps all bytes in their order", () => {
  const chunk = fc.oneof(
    fc.uint8Array({ maxLength: 80 }),
    fc.uint8Array({ minLength: 250, maxLength: 300 }),
  );
  const property = fc.property(fc.array(chunk, { maxLength: 12 }), (chunks) => {
    assert.deepEqual(Buffer.concat([...coalesce(chunks)]), Buffer.concat(chunks));
  });
  fc.assert(property, { seed: 20261123, numRuns: 300 });
});
