import assert from "node:assert/strict";
import { mkdir, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { BlockError, faultyDisk, MemoryDisk } from "../block/index.ts";
import { inspectGpt, planGptRelocation, readMark } from "../disk/index.ts";
import { applyGptEdit } from "../disk/testing/apply-edit.ts";
import { compareImage } from "./compare.ts";
import { imageOfDisk } from "./disk-image.ts";
import { openImage } from "./driver-image.ts";
import { openSaveFile } from "./driver-save.ts";
import { FlashError, type FlashErrorCode } from "./error.ts";
import { flashImage } from "./flash.ts";
import { openHasher } from "./integrity/driver-hasher.ts";
import { lookAtDisk } from "./look.ts";
import type { ProgressEvent } from "./progress.ts";
import { saveDisk } from "./save.ts";
import {
  contentsOf,
  flashBytes,
  gptImage,
  MiB,
  noise,
  openBytes,
  scratchFolder,
  targetOf,
  usedDisk,
} from "./testing/fixtures.ts";

/** A sparse image: data, a hole, data. */
function sparseImage(): Uint8Array {
  const image = noise(9 * MiB + 512);
  image.fill(0, 2 * MiB, 5 * MiB + 65536);
  return image;
}

function codeOf(error: unknown): FlashErrorCode | undefined {
  return error instanceof FlashError ? error.code : undefined;
}

/** Whether firmware would find anything in the first sectors. */
async function isBootable(disk: MemoryDisk): Promise<boolean> {
  const head = (await contentsOf(disk)).subarray(0, MiB);
  return head.subarray(510, 512).some((byte) => byte !== 0) || head[512] !== 0;
}

test("flashImage puts every byte of an image on a used disk, holes as zeros", async () => {
  const image = sparseImage();
  for (const blockSizeBytes of [512, 4096]) {
    const disk = usedDisk(16 * MiB, blockSizeBytes);
    const report = await flashBytes(image, [targetOf(disk)]);
    const [result] = report.results;
    assert.equal(result?.error, undefined);
    assert.equal(result?.isVerified, true);
    const found = await contentsOf(disk);
    assert.equal(Buffer.compare(found.subarray(0, image.length), image), 0);
    assert.ok(
      found.subarray(15 * MiB).every((byte) => byte === 0),
      "the last sectors are cleared",
    );
  }
});

test("flashImage writes images of every awkward length", async () => {
  for (const length of [1, 511, 512, MiB - 1, MiB, MiB + 1, 4 * MiB]) {
    const image = noise(length);
    const disk = usedDisk(4 * MiB);
    const { results, imageBytes } = await flashBytes(image, [targetOf(disk)]);
    assert.equal(results[0]?.error, undefined, `${length}`);
    assert.equal(imageBytes, length);
    const found = await contentsOf(disk);
    assert.equal(Buffer.compare(found.subarray(0, length), image), 0, `${length}`);
  }
});

test("flashImage moves the backup GPT to the end, grows only when told, and leaves a mark", async () => {
  const image = await gptImage(8 * MiB);
  for (const isGrown of [false, true]) {
    const disk = usedDisk(20 * MiB);
    const { results } = await flashBytes(image, [targetOf(disk)], { isGrown });
    assert.equal(results[0]?.error, undefined);
    const report = await inspectGpt(disk);
    assert.deepEqual(report.damage, []);
    assert.equal(report.gpt?.backupLba, (20 * MiB) / 512 - 1);
    const lastLba = report.gpt?.partitions[0]?.lastLba ?? 0;
    assert.equal(lastLba > (8 * MiB) / 512, isGrown);
    const mark = await readMark(disk, report);
    assert.equal(mark.state === "valid" && mark.mark.name, "image.raw");
    assert.equal((await lookAtDisk(targetOf(disk))).ownership.kind, "ours");
    const edited = new MemoryDisk({ sizeBytes: 20 * MiB, contents: await contentsOf(disk) });
    await applyGptEdit(edited, planGptRelocation(report, edited));
    assert.equal((await lookAtDisk(targetOf(edited))).ownership.kind, "edited");
    await using folder = await scratchFolder();
    await using opened = await openBytes(folder.path, "image.raw", image);
    const compared = await compareImage({
      image: opened.image,
      target: targetOf(disk),
      clock: () => 0,
    });
    assert.deepEqual([compared.ranges, compared.isTableFitted], [[], true]);
  }
});

test("flashImage leaves no disk bootable when the stream is cut, whatever the stage", async () => {
  const image = await gptImage(8 * MiB);
  const packed = gzipSync(image);
  const sum = "0".repeat(64);
  const stages: readonly (readonly [string, FlashErrorCode, Uint8Array, string | undefined])[] = [
    ["source", "truncated", packed.subarray(0, packed.length - 20), undefined],
    ["decompressor", "trailing", Buffer.concat([packed, Buffer.from("rubbish")]), undefined],
    ["checksum", "checksum", packed, `${sum}  image.gz\n`],
  ];
  for (const [stage, code, data, sums] of stages) {
    await using folder = await scratchFolder();
    if (sums) await writeFile(join(folder.path, "image.gz.sha256"), sums);
    await using opened = await openBytes(folder.path, "image.gz", data);
    await using hasher = openHasher();
    const disk = usedDisk(20 * MiB);
    const target = targetOf(disk);
    const flashing = flashImage({
      image: opened.image,
      targets: [{ target, isComparing: false }],
      isVerified: true,
      isGrown: false,
      hasher,
      clock: () => 0,
    });
    await assert.rejects(flashing, (error) => codeOf(error) === code, stage);
    assert.equal(await isBootable(disk), false, stage);
    assert.equal((await lookAtDisk(target)).ownership.kind, "unfinished", stage);
  }
});

test("flashImage leaves no disk bootable when the disk fails at a block, is full, or goes", async () => {
  const image = await gptImage(8 * MiB);
  const lba = (5 * MiB) / 512;
  const faults = [
    [
      "fails at a block",
      "disk-failed",
      { kind: "fail", code: "medium", firstLba: lba, lastLba: lba },
    ],
    ["full", "disk-failed", { kind: "fail", code: "no-space", firstLba: lba, on: ["zero"] }],
    ["gone", "disk-gone", { kind: "gone", firstLba: lba }],
    ["gone at once", "disk-gone", { kind: "gone" }],
    ["loses its flush", "disk-failed", { kind: "fail", code: "medium", on: ["flush"] }],
    ["cannot be read", "disk-failed", { kind: "fail", code: "medium", on: ["read"] }],
  ] as const;
  for (const [what, code, fault] of faults) {
    const inner = usedDisk(20 * MiB);
    const wasBootable = what === "gone at once";
    const disk = faultyDisk(inner, fault);
    const { results } = await flashBytes(image, [targetOf(disk)]);
    assert.equal(codeOf(results[0]?.error), code, what);
    assert.match(String(results[0]?.error), /box:disk/);
    assert.equal(results[0]?.hasBegun, true);
    assert.equal(await isBootable(inner), wasBootable, what);
    disk.heal();
    const again = await flashBytes(image, [targetOf(disk)]);
    assert.equal(again.results[0]?.error, undefined, what);
    assert.ok(await isBootable(inner), what);
  }
});

test("flashImage says which blocks a disk gives back differently, and does not let it boot", async () => {
  const inner = usedDisk(20 * MiB);
  const lies = Object.create(inner, {
    read: {
      value: async (offsetBytes: number, target: Uint8Array) => {
        await inner.read(offsetBytes, target);
        const at = 3 * MiB + 5 - offsetBytes;
        if (at >= 0 && at < target.byteLength) target[at] = (target[at] ?? 0) ^ 1;
      },
    },
  }) as MemoryDisk;
  const disk = targetOf(inner, {
    disk: new Proxy(inner, {
      get: (_, name) => {
        const value: unknown = Reflect.get(name === "read" ? lies : inner, name, inner);
        return typeof value === "function" ? value.bind(inner) : value;
      },
    }),
  });
  const image = await gptImage(8 * MiB);
  const { results } = await flashBytes(image, [disk]);
  const error = results[0]?.error;
  assert.ok(error instanceof FlashError && error.code === "mismatch");
  assert.deepEqual(error.facts.ranges, [{ fromBytes: 3 * MiB, toBytes: 3 * MiB + 64 * 1024 }]);
  assert.match(error.message, /LBA 6144–6271/);
  assert.equal(await isBootable(inner), false);
  const unverified = await flashBytes(image, [disk], { isVerified: false });
  assert.equal(unverified.results[0]?.error, undefined);
  assert.equal(unverified.results[0]?.isVerified, false);
});

test("flashImage refuses a disk that was swapped between plan and write, and writes nothing", async () => {
  const image = sparseImage();
  for (const change of [{ serial: "S6Z1NJ0W2" }, { uuid: "other" }, { sizeBytes: 32 * MiB }]) {
    const disk = usedDisk(16 * MiB);
    const before = await contentsOf(disk);
    const planned = targetOf(disk);
    const target = { ...planned, identify: async () => ({ ...planned.identity, ...change }) };
    const { results } = await flashBytes(image, [target]);
    assert.equal(codeOf(results[0]?.error), "identity-changed");
    assert.equal(results[0]?.hasBegun, false);
    assert.deepEqual(await contentsOf(disk), before);
  }
});

test("flashImage stops before the head when another disk came in during a reconnect", async () => {
  const disk = usedDisk(16 * MiB);
  const planned = targetOf(disk);
  let asked = 0;
  const target = {
    ...planned,
    identify: async () => ({ ...planned.identity, serial: asked++ === 0 ? "S6Z1NJ0W1" : "OTHER" }),
  };
  const { results } = await flashBytes(sparseImage(), [target]);
  assert.equal(codeOf(results[0]?.error), "identity-changed");
  assert.equal(await isBootable(disk), false);
  const replaced = new BlockError("gone", "Cannot write.", {
    cause: Object.assign(new Error("it is another one"), { code: "namespace-replaced" }),
  });
  const inner = usedDisk(16 * MiB);
  const below = new Proxy(inner, {
    get: (_, name) => {
      if (name === "write") return () => Promise.reject(replaced);
      const value: unknown = Reflect.get(inner, name, inner);
      return typeof value === "function" ? value.bind(inner) : value;
    },
  });
  const second = await flashBytes(sparseImage(), [targetOf(below)]);
  assert.equal(codeOf(second.results[0]?.error), "identity-changed");
});

test("flashImage writes again what a reconnect may have lost", async () => {
  const inner = usedDisk(16 * MiB);
  let flushes = 0;
  const disk = new Proxy(inner, {
    get: (_, name) => {
      if (name === "flush") {
        return async () => {
          if (++flushes !== 2) return;
          await inner.writeZeroes(6 * MiB, MiB);
          const ranges = [{ offsetBytes: 6 * MiB, lengthBytes: MiB }];
          throw new BlockError("medium", "Writes may be lost.", {
            cause: Object.assign(new Error("lost"), {
              code: "volatile-writes-lost-possible",
              facts: { ranges },
            }),
          });
        };
      }
      const value: unknown = Reflect.get(inner, name, inner);
      return typeof value === "function" ? value.bind(inner) : value;
    },
  });
  const image = sparseImage();
  await using folder = await scratchFolder();
  await using opened = await openBytes(folder.path, "image.raw", image);
  await using hasher = openHasher();
  const again = { hasher, clock: () => 0 };
  const request = {
    image: opened.image,
    targets: [{ target: targetOf(disk), isComparing: false }],
    isVerified: true,
    isGrown: false,
    hasher,
    clock: () => 0,
    reopen: () => openImage(opened.path, again),
  };
  const { results } = await flashImage(request);
  assert.equal(results[0]?.error, undefined);
  assert.equal(Buffer.compare((await contentsOf(inner)).subarray(0, image.length), image), 0);
});

test("flashImage continues by comparing, and stops comparing where it is of no use", async () => {
  const image = noise(60 * MiB);
  const disk = usedDisk(64 * MiB);
  await disk.write(0, image.subarray(0, 20 * MiB));
  const target = targetOf(disk);
  const { results } = await flashBytes(image, [target], {
    targets: [{ target, isComparing: true }],
  });
  const counts = results[0]?.counts;
  assert.equal(results[0]?.error, undefined);
  assert.equal(counts?.skipped, 19 * MiB);
  assert.ok(Buffer.compare((await contentsOf(disk)).subarray(0, image.length), image) === 0);
});

test("flashImage writes several disks from one reading, and one failure stops no other", async () => {
  const image = sparseImage();
  const disks = [usedDisk(16 * MiB), usedDisk(10 * MiB), usedDisk(16 * MiB)];
  const [first, second, third] = disks;
  assert.ok(first && second && third);
  const failing = faultyDisk(second, {
    kind: "fail",
    code: "medium",
    firstLba: 4096,
    on: ["write"],
  });
  let open = () => {};
  const gate = new Promise<void>((done) => {
    open = done;
  });
  const slow = faultyDisk(third, { kind: "slow", until: () => gate, on: ["write"], times: 3 });
  setTimeout(() => open(), 50);
  const { results } = await flashBytes(
    image,
    [first, failing, slow].map((disk, n) => targetOf(disk, { name: `disk${n}` })),
  );
  assert.deepEqual(
    results.map(({ outcome }) => outcome),
    ["ok", "failed", "ok"],
  );
  for (const disk of [first, third]) {
    assert.equal(Buffer.compare((await contentsOf(disk)).subarray(0, image.length), image), 0);
  }
});

test("flashImage fails a disk that proves too small while an image of unknown length comes", async () => {
  const small = usedDisk(4 * MiB);
  const large = usedDisk(16 * MiB);
  const targets = [targetOf(small, { name: "small" }), targetOf(large, { name: "large" })];
  const { results } = await flashBytes(gzipSync(sparseImage()), targets, { name: "image.gz" });
  assert.equal(codeOf(results[0]?.error), "too-small");
  assert.equal(results[1]?.error, undefined);
  assert.equal(await isBootable(small), false);
});

test("flashImage ends with the signal's reason and leaves a disk that does not boot", async () => {
  const disk = usedDisk(16 * MiB);
  const reason = new Error("enough");
  const aborting = new AbortController();
  const flashing = flashBytes(sparseImage(), [targetOf(disk)], {
    signal: aborting.signal,
    clock: (() => {
      let now = 0;
      return () => (now += 300);
    })(),
    onEvent: ({ phase, bytes }: ProgressEvent) => {
      if (phase === "write" && bytes > 2 * MiB) aborting.abort(reason);
    },
  });
  await assert.rejects(flashing, (error) => error === reason);
  assert.equal(await isBootable(disk), false);
  assert.equal((await lookAtDisk(targetOf(disk))).ownership.kind, "unfinished");
});

test("flashImage is not interrupted by what comes when the disk is done", async () => {
  const aborting = new AbortController();
  let finishes = 0;
  const { results } = await flashBytes(sparseImage(), [targetOf(usedDisk(16 * MiB))], {
    signal: aborting.signal,
    // When the phase begins, and when it has ended.
    onEvent: ({ phase }: ProgressEvent) => {
      if (phase === "finish" && ++finishes === 2) aborting.abort(new Error("too late"));
    },
  });
  assert.ok(aborting.signal.aborted);
  assert.equal(results[0]?.outcome, "ok");
});

test("flashImage reports each phase in its order", async () => {
  const phases: string[] = [];
  await flashBytes(sparseImage(), [targetOf(usedDisk(16 * MiB))], {
    onEvent: ({ phase }) => {
      if (phases.at(-1) !== phase) phases.push(phase);
    },
  });
  assert.deepEqual(phases, ["prepare", "write", "verify", "finish"]);
});

test("compareImage names the blocks that differ, and the part that a disk is too small for", async () => {
  const image = sparseImage();
  const disk = new MemoryDisk({ sizeBytes: 16 * MiB, contents: image });
  await disk.write(7 * 512, noise(512, 5));
  await disk.write(4 * MiB, noise(1024, 5));
  const compare = async (of: MemoryDisk) => {
    await using folder = await scratchFolder();
    await using opened = await openBytes(folder.path, "image.raw", image);
    const clock = () => 0;
    return (await compareImage({ image: opened.image, target: targetOf(of), clock })).ranges;
  };
  assert.deepEqual(await compare(disk), [
    { fromBytes: 7 * 512, toBytes: 8 * 512 },
    { fromBytes: 4 * MiB, toBytes: 4 * MiB + 1024 },
  ]);
  const small = new MemoryDisk({ sizeBytes: 9 * MiB, contents: image.subarray(0, 9 * MiB) });
  assert.deepEqual(await compare(small), [{ fromBytes: 9 * MiB, toBytes: 9 * MiB + 512 }]);
});

test("saveDisk stores a disk that flashImage restores unchanged, raw and by zstd", async () => {
  await using folder = await scratchFolder();
  let count = 0;
  const block = 64 * 1024;
  const piece = fc.record({ at: fc.nat(60), blocks: fc.integer({ min: 1, max: 12 }) });
  const shape = fc.record({
    pieces: fc.array(piece, { maxLength: 8 }),
    format: fc.constantFrom("raw" as const, "zstd" as const),
  });
  await fc.assert(
    fc.asyncProperty(shape, async ({ pieces, format }) => {
      const disk = new MemoryDisk({ sizeBytes: 5 * MiB });
      for (const { at, blocks } of pieces)
        await disk.write(at * block, noise(blocks * block, at + 1));
      await using hasher = openHasher();
      const path = join(folder.path, `saved${count++}`);
      const clock = () => 0;
      {
        await using output = await openSaveFile(path, {
          format,
          sizeBytes: disk.sizeBytes,
          hasher,
        });
        await saveDisk({ target: targetOf(disk), output, hasher, clock });
      }
      await using image = await openImage(path, { hasher, clock });
      assert.deepEqual(image.facts.checkedBy.length, 1);
      assert.equal(image.facts.savedBlockBytes, 512);
      const restored = usedDisk(5 * MiB);
      const targets = [{ target: targetOf(restored), isComparing: false }];
      const options = { isVerified: true, isGrown: false, hasher, clock };
      const { results } = await flashImage({ image, targets, ...options });
      assert.equal(results[0]?.error, undefined);
      assert.deepEqual(await contentsOf(restored), await contentsOf(disk));
    }),
    { seed: 20261123, numRuns: 12 },
  );
});

test("openSaveFile keeps nothing of a backup that fails, and overwrites nothing", async () => {
  await using folder = await scratchFolder();
  await using hasher = openHasher();
  const path = join(folder.path, "saved");
  const disk = faultyDisk(usedDisk(4 * MiB), { kind: "fail", code: "medium", firstLba: 5000 });
  const save = async () => {
    await using output = await openSaveFile(path, { format: "raw", sizeBytes: 4 * MiB, hasher });
    await saveDisk({ target: targetOf(disk), output, hasher, clock: () => 0 });
  };
  await assert.rejects(save, (error) => codeOf(error) === "disk-failed");
  await assert.rejects(openImage(path, { hasher, clock: () => 0 }));
  disk.heal();
  await mkdir(`${path}.disk.json`);
  await assert.rejects(save, (error) => codeOf(error) === "output");
  assert.deepEqual(await readdir(folder.path), ["saved.disk.json"], "whatever step it is");
  await rm(`${path}.disk.json`, { recursive: true });
  await save();
  await assert.rejects(save, (error) => codeOf(error) === "output");
});

test("openSaveFile takes no name that anything has, and says of a rest what it is", async () => {
  await using folder = await scratchFolder();
  await using hasher = openHasher();
  const options = { format: "raw", sizeBytes: MiB, hasher } as const;
  const link = join(folder.path, "link");
  await symlink(join(folder.path, "nowhere"), link);
  await assert.rejects(openSaveFile(link, options), /it exists already/);
  await mkdir(join(folder.path, "dir"));
  await assert.rejects(openSaveFile(join(folder.path, "dir"), options), /it exists already/);
  await writeFile(join(folder.path, "cut.part"), "");
  await assert.rejects(openSaveFile(join(folder.path, "cut"), options), /cut\.part is of a backup/);
});

test("imageOfDisk clones a disk to a larger one", async () => {
  const source = new MemoryDisk({ sizeBytes: 8 * MiB, contents: await gptImage(8 * MiB) });
  const copy = usedDisk(12 * MiB);
  await using hasher = openHasher();
  await using image = await imageOfDisk(targetOf(source, { name: "from" }), () => 0);
  const targets = [{ target: targetOf(copy), isComparing: false }];
  const options = { isVerified: true, isGrown: false, hasher, clock: () => 0 };
  const { results } = await flashImage({ image, targets, ...options });
  assert.equal(results[0]?.error, undefined);
  assert.deepEqual((await inspectGpt(copy)).damage, []);
});
