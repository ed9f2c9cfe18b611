/** The power goes at random while a disk is written that its box hashes. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { FlashError } from "./error.ts";
import { contentsOf, MiB, noise, targetOf } from "./testing/fixtures.ts";
import { CuttableDisk, hashingOf } from "./testing/hashing.ts";
import {
  assertHolds,
  bootableImage,
  diskOf,
  hashed,
  ImageFile,
  onlyResult,
} from "./testing/image-file.ts";

const unit = 64 * 1024;

/** The same numbers for the same seed. */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

test("flashImage cut at fifty random points never leaves half an image that boots", async () => {
  const random = randomOf(20261123);
  const oldImage = bootableImage(6 * MiB, 3);
  const newImage = oldImage.slice();
  // A third of it is other.
  for (let at = MiB; at < newImage.length; at += 3 * unit) {
    newImage.set(noise(unit, at), at);
  }
  await using older = await ImageFile.of(oldImage, "old.raw");
  await using newer = await ImageFile.of(newImage, "new.raw");
  const before = diskOf(new Uint8Array(), 9 * MiB);
  await older.flash([hashed(before)]);
  const oldDisk = await contentsOf(before);
  const target = (disk: CuttableDisk) => targetOf(disk, { hashing: hashingOf(disk) });
  const whole = new CuttableDisk(oldDisk, random);
  assert.equal(onlyResult(await newer.flash([target(whole)])).error, undefined);
  const states = new Set<string>();
  for (let n = 0; n < 50; n++) {
    const disk = new CuttableDisk(oldDisk, random);
    disk.cutAfter(Math.floor(random() * whole.changes));
    const result = onlyResult(await newer.flash([target(disk)]));
    assert.ok(disk.isCut && result.error instanceof FlashError, `cut ${n}`);
    const left = await contentsOf(disk.medium);
    states.add(stateOf(left, oldDisk, newImage, `cut ${n}`));
    // The machine comes back, and the same command again completes.
    const again = new CuttableDisk(left, random);
    const rerun = onlyResult(await newer.flash([target(again)]));
    assert.equal(rerun.error, undefined, `rerun ${n}`);
    assert.ok(rerun.counts.written <= result.counts.written + 3 * MiB, `rerun ${n} goes on`);
    await assertHolds(again.medium, newImage, `rerun ${n}`);
  }
  assert.ok(states.has("does not boot"), [...states].join());
});

/** What would boot, if anything: it must be whole. */
function stateOf(left: Uint8Array, old: Uint8Array, image: Uint8Array, what: string): string {
  const isBootable = left[510] === 0x55 && left[511] === 0xaa;
  if (!isBootable) return "does not boot";
  const body = (bytes: Uint8Array) => bytes.subarray(MiB, 6 * MiB);
  const isOld = Buffer.compare(body(left), body(old)) === 0;
  const isNew = Buffer.compare(body(left), body(image)) === 0;
  assert.ok(isOld || isNew, `${what}: half an image boots`);
  return isOld ? "boots as before" : "boots the image";
}
