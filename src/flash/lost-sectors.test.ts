/** Disks with sectors that cannot be read until they are written: a power cut leaves such. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { BlockError, MemoryDisk } from "../block/index.ts";
import { lookAtDisk } from "./look.ts";
import { contentsOf, flashBytes, gptImage, MiB, targetOf } from "./testing/fixtures.ts";
import { hashed } from "./testing/image-file.ts";

class LostSectors extends MemoryDisk {
  readonly #lost: Set<number>;

  constructor(contents: Uint8Array, lost: readonly number[]) {
    super({ sizeBytes: 20 * MiB, contents });
    this.#lost = new Set(lost);
  }

  override async read(offsetBytes: number, target: Uint8Array): Promise<void> {
    const end = offsetBytes + target.byteLength;
    for (const at of this.#lost) {
      if (at >= offsetBytes && at < end) throw new BlockError("medium", `Cannot read ${at}.`);
    }
    await super.read(offsetBytes, target);
  }

  override async write(offsetBytes: number, data: Uint8Array): Promise<void> {
    this.#heal(offsetBytes, data.byteLength);
    await super.write(offsetBytes, data);
  }

  override async writeZeroes(offsetBytes: number, lengthBytes: number): Promise<void> {
    this.#heal(offsetBytes, lengthBytes);
    await super.writeZeroes(offsetBytes, lengthBytes);
  }

  #heal(offsetBytes: number, lengthBytes: number): void {
    for (const at of this.#lost) {
      if (at >= offsetBytes && at < offsetBytes + lengthBytes) this.#lost.delete(at);
    }
  }
}

test("flashImage writes sectors that cannot be read, wherever it compares with what is there", async () => {
  const image = await gptImage(8 * MiB);
  for (const lost of [[3 * MiB], [0], [MiB - 512], [20 * MiB - 512], [0, 3 * MiB]]) {
    for (const targetOver of [targetOf, hashed]) {
      const disk = new LostSectors(image, lost);
      const target = targetOver(disk);
      const facts = await lookAtDisk(target);
      assert.notEqual(facts.ownership.kind, "blank", `${lost}`);
      const targets = [{ target, isComparing: true }];
      const { results } = await flashBytes(image, [target], { targets });
      assert.equal(results[0]?.error, undefined, `${lost}`);
      const found = (await contentsOf(disk)).subarray(MiB, 7 * MiB);
      assert.equal(Buffer.compare(found, image.subarray(MiB, 7 * MiB)), 0, `${lost}`);
    }
  }
});
