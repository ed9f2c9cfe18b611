import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { test } from "node:test";
import { openImage } from "./driver-image.ts";
import { FlashError } from "./error.ts";
import { flashImage } from "./flash.ts";
import { openHasher } from "./integrity/driver-hasher.ts";
import { lookAtDisk } from "./look.ts";
import { gptImage, MiB, scratchFolder, targetOf, usedDisk } from "./testing/fixtures.ts";

const isCutOff = (error: unknown) => error instanceof FlashError && error.code === "truncated";

test("flashImage makes no disk bootable from a pipe that ends before the image's partitions do", async () => {
  const image = await gptImage(8 * MiB);
  for (const lengthBytes of [8 * MiB, 5 * MiB, MiB, MiB - 512]) {
    await using hasher = openHasher();
    const stdin = Readable.from([Buffer.from(image.subarray(0, lengthBytes))]);
    const disk = usedDisk(20 * MiB);
    const target = targetOf(disk);
    const flashing = openImage("-", { hasher, clock: () => 0, stdin }).then(async (opened) => {
      await using image = opened;
      return await flashImage({
        image,
        targets: [{ target, isComparing: false }],
        isVerified: true,
        isGrown: false,
        hasher,
        clock: () => 0,
      });
    });
    if (lengthBytes === image.length) {
      assert.equal((await flashing).results[0]?.outcome, "ok");
      continue;
    }
    await assert.rejects(flashing, isCutOff, `${lengthBytes}`);
    // What fits into one buffer is known to be cut off before anything is written.
    const wanted = lengthBytes < MiB ? "foreign" : "unfinished";
    assert.equal((await lookAtDisk(target)).ownership.kind, wanted, `${lengthBytes}`);
  }
});

test("openImage refuses a file that ends before its partitions do, and takes one without a backup GPT", async () => {
  const image = await gptImage(8 * MiB);
  await using folder = await scratchFolder();
  await using hasher = openHasher();
  const path = join(folder.path, "os.raw");
  await writeFile(path, image.subarray(0, 5 * MiB));
  await assert.rejects(openImage(path, { hasher, clock: () => 0 }), (error) => {
    assert.match(String(error), /os\.raw: it has 5242880 bytes, and by its partition table/);
    return isCutOff(error);
  });
  await writeFile(path, image.subarray(0, image.length - 33 * 512));
  await using opened = await openImage(path, { hasher, clock: () => 0 });
  assert.equal(opened.facts.sizeBytes, image.length - 33 * 512);
});
