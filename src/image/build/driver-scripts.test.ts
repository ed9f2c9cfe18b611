import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { maintainerScriptHashes } from "./driver-scripts.ts";

test("maintainerScriptHashes says where the damaged package lies that is to be removed", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "scripts-"));
  t.after(() => rm(folder, { recursive: true }));
  const path = join(folder, "0".repeat(64));
  await writeFile(path, new Uint8Array(100));
  await assert.rejects(maintainerScriptHashes(path), (error) => {
    assert.ok(error instanceof Error && error.message.includes(`Cannot unpack ${path}:`));
    return true;
  });
});
