import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { JsonDirectory } from "./driver-files.ts";
import { ApplianceError } from "./error.ts";

test("JsonDirectory: a file is whole and alone when write returns, with its mode", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "diskomator-files-"));
  t.after(() => rm(folder, { recursive: true }));
  const files = new JsonDirectory(join(folder, "run"));
  files.write("state.json", { disks: 1 });
  files.write("state.json", { disks: 2 });
  files.write("grants.json", [], 0o600);
  assert.deepEqual((await readdir(join(folder, "run"))).toSorted(), ["grants.json", "state.json"]);
  assert.deepEqual(JSON.parse(await readFile(join(folder, "run/state.json"), "utf8")), {
    disks: 2,
  });
  assert.equal((await stat(join(folder, "run/grants.json"))).mode & 0o777, 0o600);
});

test("JsonDirectory: what cannot be written is named, and the old file stays", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "diskomator-files-"));
  t.after(() => rm(folder, { recursive: true }));
  const place = join(folder, "state.json");
  await writeFile(place, "a file where a folder should be");
  assert.throws(
    () => new JsonDirectory(place).write("x.json", {}),
    (error) =>
      error instanceof ApplianceError && error.code === "state" && error.message.includes(place),
  );
  assert.equal(await readFile(place, "utf8"), "a file where a folder should be");
});
