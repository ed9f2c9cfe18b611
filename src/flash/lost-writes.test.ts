/** Connections that come back without what was acknowledged before: what is written again, and what not. */

import assert from "node:assert/strict";
import { rename, writeFile } from "node:fs/promises";
import { test } from "node:test";
import { type BlockDevice, BlockError, MemoryDisk } from "../block/index.ts";
import { openImage } from "./driver-image.ts";
import { FlashError } from "./error.ts";
import { flashImage } from "./flash.ts";
import { contentsOf, MiB, openBytes, scratchFolder, targetOf } from "./testing/fixtures.ts";
import { bootableImage, hasher, onlyResult } from "./testing/image-file.ts";

const image = bootableImage(8 * MiB);
const before = bootableImage(12 * MiB, 7);

/** A disk that loses all that it has not flushed in the flushes with these numbers, and says so. */
class LossyDisk extends MemoryDisk {
  readonly #losses: ReadonlySet<number>;
  #undo: { readonly offsetBytes: number; readonly data: Uint8Array }[] = [];
  #flushes = 0;

  constructor(losses: Iterable<number>) {
    super({ sizeBytes: before.length, blockSizeBytes: 512, contents: before });
    this.#losses = new Set(losses);
  }

  override async write(offsetBytes: number, data: Uint8Array): Promise<void> {
    await this.#remember(offsetBytes, data.byteLength);
    await super.write(offsetBytes, data);
  }

  override async writeZeroes(offsetBytes: number, lengthBytes: number): Promise<void> {
    await this.#remember(offsetBytes, lengthBytes);
    await super.writeZeroes(offsetBytes, lengthBytes);
  }

  override async flush(): Promise<void> {
    const undo = this.#undo.splice(0).reverse();
    if (!this.#losses.has(++this.#flushes)) return;
    for (const { offsetBytes, data } of undo) await super.write(offsetBytes, data);
    const ranges = undo.map(({ offsetBytes, data }) => {
      return { offsetBytes, lengthBytes: data.byteLength };
    });
    const cause = Object.assign(new Error("lost"), {
      code: "volatile-writes-lost-possible",
      facts: { ranges },
    });
    throw new BlockError("medium", "Writes may be lost.", { cause });
  }

  async #remember(offsetBytes: number, lengthBytes: number): Promise<void> {
    const data = new Uint8Array(lengthBytes);
    await this.read(offsetBytes, data);
    this.#undo.push({ offsetBytes, data });
  }
}

/** Not read back: nothing else would notice. */
async function flashUnverified(disk: BlockDevice, beforeReopen = async (_path: string) => {}) {
  await using folder = await scratchFolder();
  await using opened = await openBytes(folder.path, "os.raw", image);
  const open = { hasher, clock: () => 0 };
  const report = await flashImage({
    image: opened.image,
    targets: [{ target: targetOf(disk), isComparing: false }],
    reopen: async () => {
      await beforeReopen(opened.path);
      return await openImage(opened.path, open);
    },
    isVerified: false,
    isGrown: false,
    ...open,
  });
  return onlyResult(report);
}

async function holdsImage(disk: BlockDevice): Promise<boolean> {
  return Buffer.compare((await contentsOf(disk)).subarray(0, image.length), image) === 0;
}

test("flashImage writes again what is lost again, with the ends that make the disk boot", async () => {
  // The first is that of the cleared ends, the next ones are of the body, the last ones of its ends.
  for (const losses of [[2], [2, 4], [2, 3], [2, 4, 6], [1, 3, 6], [4], [3, 5]]) {
    const disk = new LossyDisk(losses);
    const { error } = await flashUnverified(disk);
    assert.equal(error, undefined, `${losses}`);
    assert.ok(await holdsImage(disk), `${losses}`);
  }
});

test("flashImage fails a disk that loses everything each time, and lets it not boot", async () => {
  const all = Array.from({ length: 100 }, (_, n) => n + 1);
  for (const [from, isCleared] of [
    [1, false],
    [2, true],
  ] as const) {
    const disk = new LossyDisk(all.slice(from - 1));
    const { error } = await flashUnverified(disk);
    assert.ok(error instanceof FlashError && error.code === "disk-gone", String(error));
    const found = await contentsOf(disk);
    const body = [found, before].map((each) => each.subarray(MiB, 10 * MiB));
    assert.equal(found[510] === before[510], !isCleared, `${from}`);
    if (!isCleared) assert.ok(body[0] && body[1] && Buffer.compare(body[0], body[1]) === 0);
  }
});

test("flashImage writes no body over a disk whose cleared ends were lost with the connection", async () => {
  const disk = new LossyDisk([1]);
  const write = disk.write.bind(disk);
  disk.write = async (offsetBytes, data) => {
    if (offsetBytes > 0) assert.notEqual((await contentsOf(disk))[510], before[510]);
    await write(offsetBytes, data);
  };
  assert.equal((await flashUnverified(disk)).error, undefined);
});

test("flashImage writes nothing again from an image that is another one by now", async () => {
  const disk = new LossyDisk([2]);
  const { error } = await flashUnverified(disk, async (path) => {
    await writeFile(`${path}.new`, bootableImage(8 * MiB, 3));
    await rename(`${path}.new`, path);
  });
  assert.ok(error instanceof FlashError && error.code === "disk-gone", String(error));
  assert.match(error.message, /cannot be read a second time/);
  assert.notEqual((await contentsOf(disk))[510], image[510], "it does not boot");
});
