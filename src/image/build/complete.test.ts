/** What the first and the last segment hold. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { firstEntries, stampEntries } from "./complete.ts";

const first = firstEntries(1_700_000_000);
const textOf = (path: string): string => {
  const entry = first.find((one) => one.path === path);
  assert.ok(entry?.type === "file", path);
  return Buffer.from(entry.data).toString();
};

test("firstEntries names each folder before what lies in it", () => {
  const seen = new Set(["."]);
  for (const { path, type } of first) {
    const parent = path.includes("/") ? path.slice(0, path.lastIndexOf("/")) : ".";
    assert.ok(seen.has(parent), path);
    if (type === "directory") seen.add(path);
  }
});

test("firstEntries takes the root from everybody but root", () => {
  const root = first.find(({ path }) => path === ".");
  assert.deepEqual([root?.type, root?.type === "directory" && root.mode], ["directory", 0o755]);
});

test("firstEntries boots to the report until another segment brings a default target", () => {
  const link = first.find(({ path }) => path === "etc/systemd/system/default.target");
  assert.ok(link?.type === "symlink");
  assert.match(textOf(link.target.slice(1)), /^Requires=diskomator-incomplete\.service$/m);
});

test("the report waits for no stamp, and ends the machine by keys that systemd knows in [Unit]", () => {
  const text = textOf("usr/lib/systemd/system/diskomator-incomplete.service");
  const [unit = "", service = ""] = text.split("[Service]");
  const stamp = stampEntries("id", 1_700_000_000).at(-1);
  assert.ok(unit.includes(`ConditionPathExists=!/${stamp?.path}\n`));
  assert.match(unit, /^SuccessAction=poweroff-force$/m);
  assert.doesNotMatch(service, /Action=/);
});
