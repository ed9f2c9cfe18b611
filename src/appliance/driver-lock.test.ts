/** BSD locks on files that stand for disks, checked with the flock program. */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { DiskLocks } from "./driver-lock.ts";
import { runTool } from "./driver-process.ts";

test("DiskLocks holds a disk's lock until the disk goes or another takes its name", async () => {
  const root = await mkdtemp(join(tmpdir(), "diskomator-lock-"));
  const path = join(root, "dev/sda");
  await mkdir(join(root, "dev"));
  await writeFile(path, "");
  const isFree = (): Promise<boolean> =>
    runTool("flock", ["-n", "-x", path, "true"], 10_000).then(
      () => true,
      () => false,
    );
  const told: [string, boolean][] = [];
  const locks = new DiskLocks(root);
  const settle = (disks: [string, number][]): Promise<void> =>
    locks.settle(new Map(disks), (name, locked) => told.push([name, locked]));
  try {
    await settle([["sda", 1]]);
    assert.equal(await isFree(), false);
    await settle([["sda", 1]]);
    await settle([["sda", 2]]);
    assert.equal(await isFree(), false);
    await settle([["sdz", 3]]);
    assert.equal(await isFree(), true);
    assert.deepEqual(told, [
      ["sda", true],
      ["sda", true],
      ["sdz", false],
    ]);
    await settle([]);
    await settle([]);
    assert.deepEqual(told.slice(3), [["sdz", true]]);
  } finally {
    await settle([]);
    await rm(root, { recursive: true });
  }
});
