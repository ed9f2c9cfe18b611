import assert from "node:assert/strict";
import { test } from "node:test";
import { formatSize } from "./index.ts";

const sizes: readonly (readonly [bytes: number, text: string])[] = [
  [0, "0 B"],
  [1023, "1023 B"],
  [1024, "1.0 KiB"],
  [1023.9 * 1024, "1023.9 KiB"],
  [2 ** 20 - 1, "1.0 MiB"],
  [20 * 2 ** 30, "20.0 GiB"],
  [2_000_398_934_016, "1.8 TiB"],
  [Number.MAX_SAFE_INTEGER, "8.0 PiB"],
];

test("formatSize counts in binary units, with one decimal from 1 KiB on", () => {
  for (const [bytes, text] of sizes) assert.equal(formatSize(bytes), text);
});
