/** An image that is being written, in a world in which time passes only by waiting. */

import assert from "node:assert/strict";
import { link, mkdtemp, open, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { imageAt, stampOf, waitForImage } from "./image-watch.ts";

const builder = { pid: 7, name: "builder" };

/** @param stamps what the file is at each look; the last one stays */
function world(stamps: readonly (string | null)[], writers: readonly (typeof builder | null)[]) {
  const [rest, others] = [[...stamps], [...writers]];
  let nowMs = 0;
  return {
    stamp: async () => (rest.length > 1 ? rest.shift() : rest[0]) ?? null,
    writer: async () => (others.length > 1 ? others.shift() : others[0]) ?? null,
    sleep: async (ms: number) => {
      nowMs += ms;
      assert(nowMs < 60_000, "It waits for ever.");
    },
  };
}

const table: readonly [
  name: string,
  stamps: readonly (string | null)[],
  writers: readonly (typeof builder | null)[],
  told: number,
][] = [
  ["an image that is there", ["new"], [null], 0],
  ["one that grows", ["1", "2", "3", "3", "4", "new"], [null], 0],
  ["one that comes later", ["old", "old", "old", "old", "old", "old", "new"], [null], 0],
  ["one that is removed and made anew", ["old", null, null, null, null, null, "new"], [null], 0],
  ["one that somebody has open", ["new"], [builder, builder, null], 1],
];

for (const [name, stamps, writers, told] of table) {
  test(`waitForImage: ${name}`, async () => {
    let count = 0;
    const found = await waitForImage(world(stamps, writers), "old", () => {
      count += 1;
    });
    assert.equal(found, "new");
    assert.equal(count, told);
  });
}

test("stampOf knows writing, touching and renaming over a file; writer knows who writes", async () => {
  const folder = await mkdtemp(join(tmpdir(), "image-"));
  try {
    const path = join(folder, "os.raw");
    assert.equal(await stampOf(path), null);
    await writeFile(path, "one");
    const first = await stampOf(path);
    assert.equal(await stampOf(path), first);
    await writeFile(join(folder, "new"), "one");
    await rename(join(folder, "new"), path);
    const second = await stampOf(path);
    assert.notEqual(second, first);
    const image = imageAt(path, new AbortController().signal);
    {
      await using _reader = await open(path, "r");
      assert.equal(await image.writer(), null);
    }
    if (process.platform !== "linux") return;
    // Builders may know it by another name.
    await link(path, join(folder, "other"));
    await using _writer = await open(join(folder, "other"), "r+");
    assert.equal((await image.writer())?.pid, process.pid);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("imageAt knows what lies beside an image, as flash looks for it", async () => {
  const folder = await mkdtemp(join(tmpdir(), "image-"));
  try {
    const path = join(folder, "os.raw.xz");
    const image = imageAt(path, new AbortController().signal);
    const names = ["os.raw.xz", "os.raw.xz.sha256", "SHA256SUMS", "SHA256SUMS.asc", "os.bmap"];
    const stamps = new Set<string | null>([await image.stamp()]);
    for (const name of [...names, "os.raw.xz.minisig"]) {
      await writeFile(join(folder, name), "");
      stamps.add(await image.stamp());
    }
    assert.equal(stamps.size, 7);
    const before = await image.stamp();
    await writeFile(join(folder, "other.raw.sha256"), "");
    assert.equal(await image.stamp(), before);
  } finally {
    await rm(folder, { recursive: true });
  }
});
