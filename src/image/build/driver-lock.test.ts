import assert from "node:assert/strict";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { readLock, writeLock } from "./driver-lock.ts";
import { emptyLock } from "./testing/fixtures.ts";

async function scratchFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "lock-"));
  t.after(() => rm(folder, { recursive: true }));
  return folder;
}

test("writeLock lets several builds write one lock file at once", async (t) => {
  const folder = await scratchFolder(t);
  const path = join(folder, "box.lock.json");
  await Promise.all(Array.from({ length: 8 }, () => writeLock(path, emptyLock)));
  assert.deepEqual(await readLock(path), emptyLock);
  assert.deepEqual(await readdir(folder), ["box.lock.json"]);
});

test("writeLock names the lock file that it cannot write", async (t) => {
  const path = join(await scratchFolder(t), "missing", "box.lock.json");
  await assert.rejects(writeLock(path, emptyLock), {
    name: "ImageError",
    code: "io",
    message: /^Cannot write .*box\.lock\.json of .* bytes: ENOENT/,
  });
});
