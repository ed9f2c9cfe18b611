/** Flashing a disk whose box hashes it: only what differs is sent, and nothing is taken on trust. */

import assert from "node:assert/strict";
import { hash } from "node:crypto";
import { appendFile, mkdir, readdir, readFile, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import fc from "fast-check";
import type { MemoryDisk } from "../block/index.ts";
import { compareImage } from "./compare.ts";
import { openImage } from "./driver-image.ts";
import { FlashError } from "./error.ts";
import { contentsOf, MiB, noise, targetOf, usedDisk } from "./testing/fixtures.ts";
import { hashingOf } from "./testing/hashing.ts";
import {
  assertHolds,
  bootableImage,
  diskOf,
  hashed,
  hasher,
  ImageFile,
  onlyResult,
} from "./testing/image-file.ts";

const KiB = 1024;
const unit = 64 * KiB;

test("flashImage sends a hashed disk only the units that differ", async () => {
  const image = bootableImage(24 * MiB);
  for (const blockSizeBytes of [512, 4096]) {
    const old = image.slice();
    // One byte each; two of the units are in one piece, one is the last one before the tail.
    for (const at of [8 * MiB, 8 * MiB + 3 * unit, 11 * MiB + 7, 24 * MiB - 1]) old[at]! ^= 1;
    // Dirt in the hole.
    old[5 * MiB] = 1;
    const disk = diskOf(old, 32 * MiB, blockSizeBytes);
    await using file = await ImageFile.of(image);
    const result = onlyResult(await file.flash([hashed(disk)]));
    assert.equal(result.error, undefined);
    assert.equal(result.isVerified, true);
    assert.deepEqual(result.counts, {
      done: 24 * MiB,
      written: 4 * unit,
      zeroed: unit,
      skipped: 23 * MiB - 5 * unit,
    });
    assert.deepEqual(
      file.modes.map(({ mode }) => mode),
      ["delta"],
    );
    await assertHolds(disk, image);
  }
});

test("flashImage writes nothing at all to a disk that holds the image", async () => {
  const image = bootableImage(16 * MiB);
  await using file = await ImageFile.of(image);
  const disk = diskOf(new Uint8Array(), 20 * MiB);
  assert.equal(onlyResult(await file.flash([hashed(disk)])).error, undefined);
  const readOnly = new Proxy(disk, {
    get: (_, name) => {
      if (/^write/.test(String(name))) throw new Error("it was written");
      const value: unknown = Reflect.get(disk, name, disk);
      return typeof value === "function" ? value.bind(disk) : value;
    },
  });
  const again = onlyResult(await file.flash([targetOf(readOnly, { hashing: hashingOf(disk) })]));
  assert.equal(again.error, undefined);
  assert.equal(again.hasBegun, false);
  assert.equal(again.isVerified, true);
  assert.deepEqual(again.notes, ["the disk held all of it already: nothing was written"]);
});

test("flashImage finds and repairs what changed on the disk behind our back", async () => {
  const image = bootableImage(16 * MiB);
  await using file = await ImageFile.of(image);
  const disk = diskOf(new Uint8Array(), 20 * MiB);
  await file.flash([hashed(disk)]);
  const places = [0, 512, MiB - 1, MiB, 9 * MiB + 12345, 16 * MiB - 1, 20 * MiB - 1];
  for (const at of places) {
    const before = await contentsOf(disk);
    const block = before.slice(Math.floor(at / 512) * 512, Math.floor(at / 512) * 512 + 512);
    block[at % 512]! ^= 0x10;
    await disk.write(Math.floor(at / 512) * 512, block);
    const result = onlyResult(await file.flash([hashed(disk)]));
    assert.equal(result.error, undefined, `${at}`);
    assert.ok(result.hasBegun, `${at}`);
    assert.ok(result.counts.written <= unit, `${at}`);
    assert.deepEqual(await contentsOf(disk), before, `${at}`);
  }
});

test("flashImage of random images onto random disks leaves the image, whatever was there", async () => {
  const edit = fc.record({
    at: fc.nat({ max: 40 }),
    kind: fc.constantFrom("noise", "zeros", "byte"),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 5 * MiB }),
      fc.constantFrom(512, 4096),
      fc.array(edit, { maxLength: 12 }),
      fc.array(edit, { maxLength: 12 }),
      async (sizeBytes, blockSizeBytes, imageEdits, diskEdits) => {
        const image = edited(noise(sizeBytes), imageEdits);
        const disk = diskOf(edited(image.slice(), diskEdits), 8 * MiB, blockSizeBytes);
        await using file = await ImageFile.of(image);
        const result = onlyResult(await file.flash([hashed(disk)]));
        assert.equal(result.error, undefined);
        await assertHolds(disk, image);
      },
    ),
    { seed: 20261123, numRuns: 20 },
  );
});

function edited(bytes: Uint8Array, edits: readonly { at: number; kind: string }[]): Uint8Array {
  for (const { at, kind } of edits) {
    const from = (at * 2 * unit) % bytes.length;
    const part = bytes.subarray(from, from + unit);
    if (kind === "noise") part.set(noise(part.length, at + 2));
    else if (kind === "zeros") part.fill(0);
    else part[0] = (part[0] ?? 0) ^ 1;
  }
  return bytes;
}

test("flashImage decides between delta and full, and says why", async () => {
  const image = noise(96 * MiB);
  const changed = image.slice();
  for (let at = 2 * MiB; at < image.length; at += 8 * MiB) changed[at]! ^= 1;
  const slow = (disk: MemoryDisk, state: { now: number }) =>
    hashingOf(disk, async () => {
      state.now += 1000;
    });
  const table: readonly (readonly [
    name: string,
    old: Uint8Array,
    file: string,
    isSlow: boolean,
    modes: readonly string[],
    reason: RegExp,
  ])[] = [
    ["little differs", changed, "os.raw", false, ["delta"], /^\d+ of 256 sampled units differ$/],
    ["most differs", noise(96 * MiB, 7), "os.raw", false, ["full"], /^256 of 256 sampled/],
    ["a stream", changed, "os.raw.gz", false, ["full"], /the length of the image is not known/],
    [
      "a box that hashes slowly",
      changed,
      "os.raw",
      true,
      ["delta", "full"],
      /^the box hashes .*\/s, and the link carries .*\/s$/,
    ],
  ];
  for (const [name, old, fileName, isSlow, modes, reason] of table) {
    const disk = diskOf(old, 128 * MiB);
    const packed = fileName.endsWith(".gz") ? gzipSync(image, { level: 0 }) : image;
    await using file = await ImageFile.of(packed, fileName);
    const state = { now: 0 };
    const hashing = isSlow ? slow(disk, state) : hashingOf(disk);
    const clock = isSlow ? () => (state.now += 0.001) : () => performance.now();
    const result = onlyResult(await file.flash([targetOf(disk, { hashing })], { clock }));
    assert.equal(result.error, undefined, name);
    assert.equal(result.isVerified, true, name);
    assert.deepEqual(
      file.modes.map(({ mode }) => mode),
      modes,
      name,
    );
    assert.match(result.mode?.reason ?? "", reason, name);
    await assertHolds(disk, image, name);
  }
});

test("flashImage gives up comparing on the way when most turns out to differ", async () => {
  // The places that are sampled are the same, all others are not.
  const image = noise(256 * MiB);
  const old = noise(256 * MiB, 7);
  for (let at = MiB; at < 256 * MiB; at += 15 * MiB) {
    old.set(image.subarray(at, at + MiB), at);
  }
  const disk = diskOf(old, 260 * MiB);
  await using file = await ImageFile.of(image);
  const result = onlyResult(await file.flash([hashed(disk)]));
  assert.equal(result.error, undefined);
  assert.equal(result.mode?.mode, "full");
  assert.match(result.mode?.reason ?? "", /^\d\d % of what was compared so far differs$/);
  await assertHolds(disk, image);
});

test("flashImage compares a packed image that says how long it is", async () => {
  const image = bootableImage(16 * MiB);
  const old = image.slice();
  for (const at of [2 * MiB, 15 * MiB]) old[at]! ^= 1;
  const disk = diskOf(old, 20 * MiB);
  await using file = await ImageFile.of(zstdCompressSync(image), "os.raw.zst");
  const result = onlyResult(await file.flash([hashed(disk)]));
  assert.equal(result.error, undefined);
  assert.deepEqual([result.mode?.mode, result.counts.written], ["delta", 2 * unit]);
  await assertHolds(disk, image);
  const again = onlyResult(await file.flash([hashed(disk)]));
  assert.equal(again.hasBegun, false);
});

test("flashImage goes on in full when the box stops hashing, and reads back itself", async () => {
  const image = bootableImage(24 * MiB);
  for (const failsAt of [MiB, 12 * MiB]) {
    const disk = diskOf(image.slice(0, 20 * MiB), 32 * MiB);
    let steps = 0;
    const hashing = hashingOf(disk, async (at) => {
      if (at >= failsAt || steps++ > 30) throw new Error("the session has ended");
    });
    await using file = await ImageFile.of(image);
    const result = onlyResult(await file.flash([targetOf(disk, { hashing })]));
    assert.equal(result.error, undefined);
    assert.equal(result.isVerified, true);
    assert.match(result.mode?.reason ?? "", /the box cannot hash the disk: the session has ended/);
    await assertHolds(disk, image);
  }
});

test("flashImage does not trust a disk that keeps other bytes than were written", async () => {
  const image = bootableImage(16 * MiB);
  const old = image.slice();
  old[9 * MiB]! ^= 1;
  const disk = diskOf(old, 20 * MiB);
  const forgetful = new Proxy(disk, {
    get: (_, name) => {
      if (name === "write") {
        return async (at: number, data: Uint8Array) => {
          if (at !== 9 * MiB) await disk.write(at, data);
        };
      }
      const value: unknown = Reflect.get(disk, name, disk);
      return typeof value === "function" ? value.bind(disk) : value;
    },
  });
  await using file = await ImageFile.of(image);
  const result = onlyResult(await file.flash([targetOf(forgetful, { hashing: hashingOf(disk) })]));
  assert.ok(result.error instanceof FlashError && result.error.code === "mismatch");
  assert.deepEqual(result.error.facts.ranges, [{ fromBytes: 9 * MiB, toBytes: 9 * MiB + unit }]);
  assert.match(Buffer.from((await contentsOf(disk)).subarray(0, 22)).toString(), /UNFINISHED/);
});

test("flashImage stops when its box hashes another disk than the one that is written", async () => {
  const image = bootableImage(16 * MiB);
  const other = diskOf(image.slice(0, 10 * MiB), 20 * MiB);
  const disk = usedDisk(20 * MiB);
  const before = await contentsOf(disk);
  await using file = await ImageFile.of(image);
  const result = onlyResult(await file.flash([targetOf(disk, { hashing: hashingOf(other) })]));
  assert.ok(result.error instanceof FlashError && result.error.code === "identity-changed");
  assert.match(result.error.message, /its box hashes another disk/);
  const after = await contentsOf(disk);
  const body = (bytes: Uint8Array) => bytes.subarray(MiB, 18 * MiB);
  assert.equal(Buffer.compare(body(before), body(after)), 0);
});

test("flashImage makes no disk bootable that another host may have written to meanwhile", async () => {
  const image = bootableImage(16 * MiB);
  for (const isChanged of [true, false]) {
    const old = image.slice();
    if (isChanged) old[8 * MiB]! ^= 1;
    const disk = diskOf(old, 20 * MiB);
    await using file = await ImageFile.of(image);
    if (!isChanged) await file.flash([hashed(disk)]);
    let asked = 0;
    const findRival = async () => {
      asked += 1;
      // What was equal is not read again: this would go unseen.
      await disk.write(12 * MiB, new Uint8Array(unit).fill(7));
      return "flash by eve may write to it, too";
    };
    const target = targetOf(disk, { hashing: hashingOf(disk), findRival });
    const { error, hasBegun, isVerified } = onlyResult(await file.flash([target]));
    assert.equal(asked, 1);
    assert.ok(error instanceof FlashError && error.code === "not-alone", String(error));
    assert.match(error.message, /box:disk: flash by eve may write .* run the same command again/);
    assert.deepEqual([hasBegun, isVerified], [isChanged, false]);
    const sector = (await contentsOf(disk)).subarray(0, 512);
    assert.equal(sector[511] === 0xaa, !isChanged, "unbootable, or untouched");
  }
});

test("flashImage does not vouch for a disk whose box cannot be asked", async () => {
  const image = bootableImage(16 * MiB);
  const disk = diskOf(new Uint8Array(), 20 * MiB);
  await using file = await ImageFile.of(image);
  const findRival = () => Promise.reject(new Error("The channel has ended."));
  const target = targetOf(disk, { hashing: hashingOf(disk), findRival });
  const { error } = onlyResult(await file.flash([target]));
  assert.ok(error instanceof FlashError && error.code === "disk-gone", String(error));
  assert.match(error.message, /ask whether another host may have written to it .* has ended/);
  assert.notEqual((await contentsOf(disk))[511], 0xaa);
});

test("flashImage takes several disks from one image, hashed ones and others", async () => {
  const image = bootableImage(16 * MiB);
  await using file = await ImageFile.of(image);
  const disks = [0, 1, 2].map((n) => diskOf(image.slice(0, (4 + 4 * n) * MiB), 20 * MiB));
  const serial = (n: number) => ({
    identity: { ...targetOf(disks[n]!).identity, serial: `S${n}` },
  });
  const targets = disks.map((disk, n) =>
    n === 1 ? targetOf(disk, serial(n)) : hashed(disk, serial(n)),
  );
  for (const chosen of [targets, [targets[0]!, targets[2]!]]) {
    const { results } = await file.flash(chosen);
    for (const { error, isVerified } of results)
      assert.deepEqual([error, isVerified], [undefined, true]);
  }
  for (const disk of disks) await assertHolds(disk, image);
});

test("flashImage refuses an image that is written to while it is compared", async () => {
  const image = bootableImage(16 * MiB);
  const disk = diskOf(new Uint8Array(), 20 * MiB);
  await using file = await ImageFile.of(image);
  let isChanged = false;
  const hashing = hashingOf(disk, async () => {
    if (isChanged) return;
    isChanged = true;
    const other = image.slice();
    other.fill(7, 2 * MiB);
    await writeFile(file.path, other);
  });
  const flashing = file.flash([targetOf(disk, { hashing })]);
  const error = await flashing.then(
    (report) => onlyResult(report).error,
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof FlashError && error.code === "source-changed", String(error));
  const head = (await contentsOf(disk)).subarray(0, MiB);
  assert.ok(head[510] !== 0x55, "it does not boot");
});

test("flashImage remembers an image's digests, and believes them only for the same file", async () => {
  const image = bootableImage(16 * MiB);
  await using file = await ImageFile.of(image);
  const disk = diskOf(new Uint8Array(), 20 * MiB);
  const flash = async () => {
    const result = onlyResult(await file.flash([hashed(disk)]));
    assert.equal(result.error, undefined);
    return file.storedBytes;
  };
  await flash();
  const remembered = await flash();
  assert.ok(remembered < 8 * MiB, `${remembered} bytes were read, not all`);
  // Another file at the same path, of the same length and time.
  const other = image.slice();
  for (let at = 0; at < other.length; at += 4096) other[at]! ^= 0xff;
  const then = new Date(Date.now() - 60_000);
  await writeFile(file.path, other);
  await utimes(file.path, then, then);
  assert.ok((await flash()) >= 16 * MiB, "it is another one");
  await assertHolds(disk, other);
  // What is broken, and what is whole but of something else: found by looking at some.
  for (const hasSum of [false, true]) {
    for (const name of await readdir(file.cache)) {
      const body = (await readFile(join(file.cache, name))).subarray(0, -32);
      body.fill(1, body.length - 100 * 32);
      const sum = hasSum ? hash("sha256", body, "buffer") : Buffer.alloc(32);
      await writeFile(join(file.cache, name), Buffer.concat([body, sum]));
    }
    assert.ok((await flash()) >= 16 * MiB, `not what was stored: ${hasSum}`);
  }
  // A cache that cannot be written harms nobody.
  await using elsewhere = await ImageFile.of(image);
  await mkdir(join(elsewhere.cache, ".."), { recursive: true });
  await appendFile(elsewhere.cache, "a file where the folder should be");
  assert.equal(onlyResult(await elsewhere.flash([hashed(disk)])).error, undefined);
});

test("flashImage of a hashed disk refuses an image whose checksum is wrong, and it does not boot", async () => {
  const image = bootableImage(16 * MiB);
  const old = image.slice();
  old[9 * MiB]! ^= 1;
  for (const [sum, isRight] of [
    [hash("sha256", image), true],
    ["0".repeat(64), false],
  ] as const) {
    const disk = diskOf(old, 20 * MiB);
    await using file = await ImageFile.of(image);
    await writeFile(`${file.path}.sha256`, `${sum}  os.raw\n`);
    const flashing = file.flash([hashed(disk)]);
    if (isRight) assert.equal(onlyResult(await flashing).error, undefined);
    else await assert.rejects(flashing, { code: "checksum" });
    assert.deepEqual(
      file.modes.map(({ mode }) => mode),
      ["delta"],
    );
    assert.equal((await contentsOf(disk))[510] === 0x55, isRight);
  }
});

test("compareImage by digests names the blocks that differ, and reads no others", async () => {
  const image = bootableImage(16 * MiB + 100);
  const disk = diskOf(image, 20 * MiB);
  const places = [7 * 512, 5 * MiB, 9 * MiB + 12345, 16 * MiB + 99];
  for (const at of places) {
    const block = new Uint8Array(512);
    await disk.read(Math.floor(at / 512) * 512, block);
    block[at % 512]! ^= 1;
    await disk.write(Math.floor(at / 512) * 512, block);
  }
  let readBytes = 0;
  const watched = new Proxy(disk, {
    get: (_, name) => {
      const value: unknown = Reflect.get(disk, name, disk);
      if (typeof value !== "function") return value;
      return (...args: unknown[]) => {
        if (name === "read") readBytes += (args[1] as Uint8Array).byteLength;
        return Reflect.apply(value, disk, args);
      };
    },
  });
  await using file = await ImageFile.of(image);
  for (const isFailing of [false, true]) {
    const hashing = hashingOf(disk, async () => {
      if (isFailing) throw new Error("the session has ended");
    });
    readBytes = 0;
    await using opened = await openImage(file.path, { hasher, clock: () => 0 });
    const report = await compareImage({
      image: opened,
      target: targetOf(watched, { hashing }),
      clock: () => 0,
    });
    assert.deepEqual(
      report.ranges,
      places.map((at) => {
        const fromBytes = Math.floor(at / 512) * 512;
        return { fromBytes, toBytes: Math.min(fromBytes + 512, image.length) };
      }),
    );
    assert.equal(readBytes < 8 * MiB, !isFailing);
  }
});
