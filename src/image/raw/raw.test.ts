import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { MemoryDisk } from "../../block/index.ts";
import { assembleExtents, DiskError, inspectGpt, openFat, writeExtents } from "../../disk/index.ts";
import { ImageError } from "../error.ts";
import { plannedFile, planRaw, type WantedRaw } from "./index.ts";

const wanted: WantedRaw = {
  efi: { chunks: [new Uint8Array(100_000).fill(1), new Uint8Array(333).fill(2)] },
  epochSeconds: 1_795_000_000,
  seed: "one",
};

for (const sectorSizeBytes of [512, 4096] as const) {
  test(`planRaw makes what our readers accept, in sectors of ${sectorSizeBytes}`, async () => {
    const plan = planRaw({ ...wanted, sectorSizeBytes });
    const disk = new MemoryDisk({ sizeBytes: plan.sizeBytes, blockSizeBytes: sectorSizeBytes });
    await writeExtents(disk, plan.extents);
    const { gpt, damage } = await inspectGpt(disk);
    assert.deepEqual(damage, []);
    assert.equal(gpt?.diskGuid, plan.guids.disk);
    const [partition, ...others] = gpt?.partitions ?? [];
    assert.deepEqual(others, []);
    assert.equal(partition?.guid, plan.guids.partition);
    assert.equal(partition?.name, "EFI system");
    const opened = await openFat(disk, partition.firstLba * sectorSizeBytes);
    assert.ok(opened.ok);
    const read = await opened.value.read("EFI/BOOT/BOOTX64.EFI");
    assert.ok(read.ok && Buffer.concat(wanted.efi.chunks).equals(read.value));
    const free = await opened.value.freeBytes();
    assert.ok(free.ok && free.value >= 4 * 2 ** 20);
    const [entry] = await opened.value.list("").then((listed) => (listed.ok ? listed.value : []));
    assert.equal(entry?.writtenSeconds, wanted.epochSeconds);
  });
}

test("planRaw gives the same bytes for the same input, and other names for another seed", () => {
  const image = (change: Partial<WantedRaw> = {}) => {
    const { extents, sizeBytes, guids } = planRaw({ ...wanted, ...change });
    const whole = assembleExtents(extents, sizeBytes);
    return { guids, hash: createHash("sha256").update(whole).digest("hex") };
  };
  assert.deepEqual(image(), image());
  const one = image();
  const two = image({ seed: "two" });
  assert.notEqual(one.guids.disk, two.guids.disk);
  assert.notEqual(one.guids.partition, two.guids.partition);
  assert.notEqual(one.guids.disk, one.guids.partition);
  assert.notEqual(one.hash, two.hash);
});

test("planRaw passes the EFI file on uncopied", () => {
  const { extents } = planRaw(wanted);
  for (const chunk of wanted.efi.chunks) {
    assert.ok(extents.some(({ bytes }) => bytes === chunk));
  }
});

test("planRaw refuses a name that FAT cannot hold as an ImageError with the cause", () => {
  const extraFiles = [{ type: "file", name: "a:b", chunks: [] }] as const;
  assert.throws(
    () => planRaw({ ...wanted, extraFiles }),
    (error) => {
      assert.ok(error instanceof ImageError && error.cause instanceof DiskError);
      assert.deepEqual([error.code, error.facts], ["raw", { reason: "name" }]);
      return /^Cannot lay out the disk image: .*a:b/.test(error.message);
    },
  );
});

test("plannedFile puts buffers one after the other", () => {
  const { extents, sizeBytes } = plannedFile([Buffer.from("ab"), Buffer.of(), Buffer.from("cde")]);
  assert.equal(sizeBytes, 5);
  assert.equal(Buffer.from(assembleExtents(extents, sizeBytes)).toString(), "abcde");
});
