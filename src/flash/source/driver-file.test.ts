import assert from "node:assert/strict";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { MiB, noise, scratchFolder } from "../testing/fixtures.ts";
import { FileSource } from "./driver-file.ts";

/** Files of so many MiB, with data at those. */
const files: readonly (readonly [name: string, sizeMiB: number, dataMiB: readonly number[]])[] = [
  ["nothing but a hole", 4, []],
  ["holes around data", 9, [2, 6]],
  ["data at both ends", 5, [0, 4]],
  ["a hole at its end", 3, [0]],
  ["no hole", 3, [0, 1, 2]],
];

test("FileSource.skipZeros leaves out nothing but zeros, and only what it was told of", async () => {
  await using folder = await scratchFolder();
  for (const [name, sizeMiB, dataMiB] of files) {
    const path = join(folder.path, "sparse");
    const wanted = Buffer.alloc(sizeMiB * MiB);
    {
      await using file = await open(path, "w");
      await file.truncate(wanted.length);
      for (const at of dataMiB) {
        wanted.set(noise(MiB, at + 1), at * MiB);
        await file.write(wanted, at * MiB, MiB, at * MiB);
      }
    }
    await using source = await FileSource.open(path);
    assert.equal(source.skipZeros(MiB), false, `${name}: before anybody asked`);
    await source.findHoles();
    assert.equal(source.skipZeros(wanted.length + 1), false, `${name}: beyond its end`);
    const found: Buffer[] = [];
    let skipped = 0;
    for (;;) {
      const piece = Buffer.alloc(MiB);
      if (source.skipZeros(MiB)) skipped++;
      else if ((await source.read(piece)) === 0) break;
      found.push(piece);
    }
    assert.ok(Buffer.concat(found).equals(wanted), name);
    // Elsewhere nobody tells where holes are, and all is read.
    if (process.platform === "linux") assert.equal(skipped, sizeMiB - dataMiB.length, name);
  }
});
