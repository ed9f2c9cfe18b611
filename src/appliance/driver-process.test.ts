import assert from "node:assert/strict";
import { test } from "node:test";
import { readTool, runTool } from "./driver-process.ts";
import { ApplianceError } from "./error.ts";

/** As one that waits for a disk: nothing ends it before the disk answers. */
const stuck = ["-c", 'trap "" TERM; exec sleep 60'];

test("runTool gives up on a program that cannot be ended", { timeout: 30_000 }, async () => {
  await assert.rejects(runTool("sh", stuck, 200), (error) => {
    assert.ok(error instanceof ApplianceError);
    assert.match(error.message, /it took longer than 0\.2 s/);
    return true;
  });
});

test("readTool gives nothing of a program that cannot be ended", { timeout: 30_000 }, async () => {
  assert.equal(await readTool("sh", stuck, 200), "");
});

test("readTool gives what a program has printed, however it ended", async () => {
  assert.equal(await readTool("sh", ["-c", "echo report; exit 4"], 20_000), "report\n");
});
