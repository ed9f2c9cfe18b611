/**
 * `flash` and `verify` of a box's disk, as users run them: the box's sessions and target, and its
 * hashing by threads of a file past the page cache; only the grants are a test's own.
 */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { open, readFile } from "node:fs/promises";
import { test } from "node:test";
import { openHashed } from "../src/appliance/index.ts";
import { FileDisk } from "../src/block/index.ts";
import { type FakeUser, makeFakeUser, startBoxOf } from "./driver-fake-box.ts";
import { Workshop } from "./driver-flash.ts";

const mebibyte = 1024 * 1024;
const unitBytes = 64 * 1024;
const serial = "S6Z1NJ0W1";

interface Result {
  readonly results: readonly {
    readonly mode: { readonly mode: string; readonly reason: string };
    readonly counts: Readonly<Record<"written" | "zeroed" | "skipped", number>>;
    readonly isVerified: boolean;
    readonly hasBegun: boolean;
  }[];
}

/** Flashes, and gives the last line that it printed. */
async function flash(user: FakeUser, image: string, ...options: readonly string[]) {
  const ended = await user.run("flash", image, "lunch-feta", "--json", ...options);
  assert.equal(ended.exitCode, 0, ended.stdout + ended.stderr);
  const last = JSON.parse(ended.stdout.trim().split("\n").at(-1) ?? "") as Result;
  const [result] = last.results;
  assert.ok(result?.isVerified);
  return result;
}

/** Turns a bit around, behind everybody's back. */
async function flip(path: string, at: number): Promise<void> {
  await using file = await open(path, "r+");
  const byte = Buffer.alloc(1);
  await file.read(byte, 0, 1, at);
  byte[0]! ^= 1;
  await file.write(byte, 0, 1, at);
}

test("flash of a box's disk sends what differs, repairs what rotted, and verify agrees", async () => {
  await using shop = await Workshop.open();
  const image = randomBytes(80 * mebibyte);
  image.set([0x55, 0xaa], 510);
  image.fill(0, 30 * mebibyte, 40 * mebibyte);
  const path = await shop.file("os.raw", image);
  const diskPath = await shop.disk("disk", 96 * mebibyte);
  await using device = await FileDisk.open(diskPath);
  const disk = { name: "nvme0n1", serial, device, openHashed: () => openHashed(diskPath) };
  await using box = await startBoxOf([disk]);
  await using user = await makeFakeUser({ "lunch-feta": box.port });
  const holds = async () => {
    assert.ok((await readFile(diskPath)).subarray(0, image.length).equals(image));
  };

  const first = await flash(user, path);
  assert.equal(first.mode.mode, "full");
  assert.match(first.mode.reason, /^\d+ of \d+ sampled units differ$/);
  await holds();

  const same = await flash(user, path, "--confirm", serial);
  assert.deepEqual([same.mode.mode, same.hasBegun], ["delta", false]);

  for (const at of [5 * mebibyte, 5 * mebibyte + unitBytes, 70 * mebibyte + 1]) image[at]! ^= 1;
  image.fill(0, 60 * mebibyte, 61 * mebibyte);
  await shop.file("os.raw", image);
  const changed = await flash(user, path, "--confirm", serial);
  assert.equal(changed.mode.mode, "delta");
  assert.equal(changed.counts.written, 3 * unitBytes);
  assert.equal(changed.counts.zeroed, mebibyte);
  await holds();

  const equal = await user.run("verify", path, "lunch-feta");
  assert.equal(equal.exitCode, 0, equal.stderr);
  await flip(diskPath, 50 * mebibyte + 700);
  const rotten = await user.run("verify", path, "lunch-feta");
  assert.equal(rotten.exitCode, 3, rotten.stderr);
  assert.match(rotten.stderr, /differ at LBA 102401\./);
  const repaired = await flash(user, path, "--confirm", serial);
  assert.equal(repaired.counts.written, unitBytes);
  await holds();
  assert.ok(box.calls.includes("hash"));
});

test("flash of a box's disk says in words how it is written, and why", async () => {
  await using shop = await Workshop.open();
  const path = await shop.file("os.raw", randomBytes(4 * mebibyte));
  const diskPath = await shop.disk("disk", 8 * mebibyte);
  await using device = await FileDisk.open(diskPath);
  let isBroken = false;
  const openDisk = async () => {
    if (isBroken) throw new Error("the disk does not answer");
    return await openHashed(diskPath);
  };
  await using box = await startBoxOf([{ name: "nvme0n1", serial, device, openHashed: openDisk }]);
  await using user = await makeFakeUser({ "lunch-feta": box.port });
  const run = async () => {
    const ended = await user.run("flash", path, "lunch-feta", "--confirm", serial);
    assert.equal(ended.exitCode, 0, ended.stderr);
    return ended;
  };
  const first = await run();
  assert.match(first.stderr, /lunch-feta:S6Z1NJ0W1: only what differs is sent: little is to be/);
  const again = await run();
  assert.match(again.stdout, /delta: [\s\S]*the disk held all of it already: nothing was written/);
  isBroken = true;
  const without = await run();
  assert.match(without.stderr, /: all of it is sent: the box cannot hash the disk: /);
  assert.match(without.stdout, /ok, verified/);
});
