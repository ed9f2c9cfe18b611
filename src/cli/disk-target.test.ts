import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { link, mkdir, mkdtemp, rename, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { FileDisk } from "../block/index.ts";
import { openTarget } from "./disk-target.ts";

const { signal } = new AbortController();
const options = { readOnly: false, signal };

async function scratch(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), "diskomator-target-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true }) };
}

async function makeDisk(path: string): Promise<string> {
  await writeFile(path, "");
  await truncate(path, 2 ** 20);
  return path;
}

test("openTarget tells files apart by where they are, not by what they are called", async () => {
  await using folder = await scratch();
  await mkdir(join(folder.path, "b"));
  const path = await makeDisk(join(folder.path, "disk.raw"));
  const linked = join(folder.path, "linked.raw");
  await link(path, linked);
  await using one = await openTarget(path, options);
  await using same = await openTarget(linked, options);
  await using other = await openTarget(await makeDisk(join(folder.path, "b/disk.raw")), options);
  assert.equal(other.identity.serial, one.identity.serial);
  assert.notEqual(other.identity.place, one.identity.place);
  assert.equal(same.identity.place, one.identity.place);
  assert.deepEqual(await one.identify(), one.identity);
  await rename(other.name, path);
  assert.notDeepEqual(await one.identify(), one.identity, "another file has its name now");
});

test("openTarget finds a device in use that somebody holds without standing in a table", async (t) => {
  await using folder = await scratch();
  const path = await makeDisk(join(folder.path, "disk.raw"));
  const { status, stdout, stderr } = spawnSync("losetup", ["--find", "--show", path], {
    encoding: "utf8",
  });
  if (status !== 0) return t.skip(`no loop device here: ${stderr ?? "losetup is missing"}`);
  const loop = stdout.trim();
  try {
    const holder = await FileDisk.open(loop, { isExclusive: true });
    {
      await using held = await openTarget(loop, options);
      assert.match(held.inUseBy ?? "", /holds it/);
      await using read = await openTarget(loop, { ...options, readOnly: true });
      assert.equal(read.inUseBy, undefined, "whoever only reads need not be alone");
    }
    await holder[Symbol.asyncDispose]();
    await using free = await openTarget(loop, options);
    assert.equal(free.inUseBy, undefined);
    await assert.rejects(FileDisk.open(loop, { isExclusive: true }), /busy/i, "nobody can take it");
  } finally {
    spawnSync("losetup", ["--detach", loop]);
  }
});
