import assert from "node:assert/strict";
import { mkdtemp, readdir, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { plannedFile, stagePlanned, writePlanned } from "./index.ts";

test("stagePlanned removes what a killed writer has left, and nothing of another's", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "write-"));
  t.after(() => rm(folder, { recursive: true }));
  const [left, fresh] = [1, 2].map(() => `.x.raw.${crypto.randomUUID()}`);
  const kept = [fresh!, ".x.raw.backup", `.y.raw.${crypto.randomUUID()}`];
  for (const name of [left!, ...kept]) await writeFile(join(folder, name), "");
  const longAgo = new Date(0);
  for (const name of [left!, ".x.raw.backup", kept[2]!]) {
    await utimes(join(folder, name), longAgo, longAgo);
  }
  await writePlanned(join(folder, "x.raw"), plannedFile([]));
  assert.deepEqual((await readdir(folder)).sort(), [...kept, "x.raw"].sort());
});

test("stagePlanned leaves nothing when it is not committed", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "write-"));
  t.after(() => rm(folder, { recursive: true }));
  {
    await using staged = await stagePlanned(join(folder, "x.raw"), plannedFile([Buffer.of(1)]));
    assert.equal((await readdir(folder)).includes("x.raw"), false);
    assert.equal(staged.sha256.length, 64);
  }
  assert.deepEqual(await readdir(folder), []);
});
