import assert from "node:assert/strict";
import { test } from "node:test";
import type { ProgressEvent } from "../flash/index.ts";
import { formatProgress } from "./disk-progress.ts";

const event: ProgressEvent = {
  event: "progress",
  target: "box:disk",
  phase: "write",
  bytes: 512 * 1024 ** 2,
  total: 1024 ** 3,
  bytesPerSecond: 100 * 1024 ** 2,
  etaSeconds: 5.12,
  bottleneck: "disk",
};

test("formatProgress says phase, amount, rate, time left and what holds it up", () => {
  const bar = `${"█".repeat(12)}${"░".repeat(12)}`;
  const rest = "512.0 MiB of 1.0 GiB  100.0 MiB/s  5 s left  limited by: disk";
  assert.equal(formatProgress(event), `write     ${bar}  ${rest}`);
  assert.equal(formatProgress(event, ""), `write     ${rest}`);
});

test("formatProgress leaves out what is not known", () => {
  const unknown = { ...event, total: undefined, etaSeconds: undefined, bottleneck: undefined };
  assert.equal(formatProgress(unknown), "write     512.0 MiB  100.0 MiB/s");
  assert.equal(formatProgress({ ...unknown, bytes: 0, bytesPerSecond: 0 }), "write");
});
