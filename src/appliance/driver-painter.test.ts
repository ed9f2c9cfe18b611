import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { closeSync, constants, openSync, readSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { createPainter } from "./driver-painter.ts";

test("a painter waits for a screen that takes nothing, holds nothing up, and shows the newest", async () => {
  const folder = await mkdtemp(join(tmpdir(), "diskomator-painter-"));
  const path = join(folder, "screen");
  assert.equal(spawnSync("mkfifo", [path]).status, 0);
  const fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  try {
    const paint = createPainter(fd);
    paint("a".repeat(1024 * 1024));
    paint("b".repeat(1024));
    paint("the newest");
    let seen = "";
    const buffer = new Uint8Array(64 * 1024);
    while (!seen.endsWith("the newest")) {
      try {
        seen += Buffer.from(buffer.subarray(0, readSync(fd, buffer))).toString();
      } catch {
        await sleep(10);
      }
    }
    assert.ok(seen.length < 1024 * 1024, "what is out of date is not waited for");
    assert.ok(!seen.includes("b"));
  } finally {
    closeSync(fd);
    await rm(folder, { recursive: true });
  }
});
