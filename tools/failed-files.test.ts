import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";

const run = promisify(execFile);
const reporter = new URL("./failed-files.ts", import.meta.url).href;
const files = {
  "driver.mjs": `import test from "node:test"; export const bad = () => test("x", () => { throw 1; });`,
  "by-driver.test.mjs": `import { bad } from "./driver.mjs"; bad(); bad();`,
  "well.test.mjs": `import test from "node:test"; test("x", () => {});`,
  "ends.test.mjs": "process.exit(3);",
  "no-program.test.mjs": "this is none",
};

test("failedFiles names the files that were run and failed, once, whoever made the test", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "diskomator-failed-"));
  t.after(() => rm(folder, { recursive: true }));
  await mkdir(join(folder, "test"));
  for (const [name, text] of Object.entries(files)) {
    await writeFile(join(folder, "test", name), text);
  }
  const list = join(folder, "failed");
  const { NODE_TEST_CONTEXT: _ours, ...env } = process.env;
  const reporters = [`--test-reporter=${reporter}`, `--test-reporter-destination=${list}`];
  const running = run(process.execPath, ["--test", ...reporters, "test/*.test.mjs"], {
    cwd: folder,
    env,
  });
  await assert.rejects(running);
  const found = (await readFile(list, "utf8")).trim().split("\n");
  assert.deepEqual(found.map((path) => basename(path)).toSorted(), [
    "by-driver.test.mjs",
    "ends.test.mjs",
    "no-program.test.mjs",
  ]);
});
