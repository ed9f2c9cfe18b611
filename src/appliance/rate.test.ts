import assert from "node:assert/strict";
import { test } from "node:test";
import { Rate } from "./rate.ts";

test("Rate admits ten events in two seconds, however many come, and the next ones after that", () => {
  const rate = new Rate();
  const admitted = (fromMs: number) =>
    Array.from({ length: 1000 }, (_, n) => rate.admits(fromMs + n)).filter(Boolean).length;
  assert.equal(admitted(5000), 10);
  assert.equal(admitted(6000), 0);
  assert.equal(admitted(7001), 10);
});
