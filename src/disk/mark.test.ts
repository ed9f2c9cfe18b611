import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { MemoryDisk } from "../block/index.ts";
import {
  encodeGpt,
  inspectGpt,
  markPlace,
  markReserveBytes,
  partitionTypes,
  planGpt,
  planGptGrowth,
  planGptRelocation,
  planMark,
  readMark,
  type SectorSize,
  writeExtents,
} from "./index.ts";
import { applyGptEdit } from "./testing/apply-edit.ts";

const megabyte = 1024 * 1024;
const diskGuid = "01234567-89ab-cdef-0123-456789abcdef";
const image = {
  name: "my-os.raw",
  sha256: Uint8Array.from({ length: 32 }, (_, index) => index),
  sizeBytes: 4 * megabyte,
};

async function flashed(sector: SectorSize, sizeBytes = 16 * megabyte) {
  const one = { typeGuid: partitionTypes.linuxData, guid: diskGuid, name: "a" };
  const gpt = planGpt({
    sizeBytes: image.sizeBytes,
    sectorSizeBytes: sector,
    diskGuid,
    partitions: [{ ...one, sizeBytes: 2 * megabyte }],
  });
  const disk = new MemoryDisk({ sizeBytes, blockSizeBytes: sector });
  const write = async () => {
    const { mbr, primary, backup } = encodeGpt(gpt);
    await writeExtents(disk, [mbr, ...primary, ...backup]);
  };
  await write();
  const moved = planGptRelocation(await inspectGpt(disk), disk, { reserveBytes: markReserveBytes });
  await applyGptEdit(disk, moved);
  return { disk, moved, write };
}

test("planMark writes the bytes of its declared layout", async () => {
  const { moved } = await flashed(512);
  const extent = planMark({ ...moved, headerCrc32: 0x11223344 }, { ...image, name: "ü.raw" })!;
  const wanted =
    "4449534b4f4d41544f52204d41524b0001000000000000006745230" +
    "1ab89efcd0123456789abcdef44332211000000000000400000000000" +
    "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1fc3bc2e726177";
  const hex = Buffer.from(extent.bytes).toString("hex");
  assert.equal(hex.slice(0, 1016), wanted.padEnd(1016, "0"));
  assert.equal(extent.offsetBytes, 16 * megabyte - (1 + 32 + 1) * 512);
});

for (const sector of [512, 4096] as const) {
  test(`readMark finds what planMark placed, also after growth, sectors of ${sector}`, async () => {
    const { disk, moved } = await flashed(sector);
    for (const table of [moved, planGptGrowth(moved)]) {
      await applyGptEdit(disk, table);
      const extent = planMark(table, image)!;
      assert.equal(extent.bytes.byteLength, sector);
      assert.ok(extent.offsetBytes >= image.sizeBytes);
      await writeExtents(disk, [extent]);
      const report = await inspectGpt(disk);
      assert.deepEqual(report.damage, []);
      assert.deepEqual(await readMark(disk, report), { state: "valid", mark: image });
    }
  });
}

test("readMark calls a mark stale once others wrote the image or edited the table", async () => {
  const { disk, moved, write } = await flashed(512);
  await writeExtents(disk, [planMark(moved, image)!]);
  await applyGptEdit(disk, planGptGrowth(moved));
  const edited = await readMark(disk, await inspectGpt(disk));
  assert.deepEqual(edited, { state: "stale", reason: "header", mark: image });
  await write();
  assert.deepEqual(await readMark(disk, await inspectGpt(disk)), { state: "absent" });
  // Another image, whose table someone then moved to the end as we do.
  const other = { ...moved.gpt, diskGuid: diskGuid.replace("0", "f") };
  await writeExtents(disk, encodeGpt(other).primary);
  const found = await readMark(disk, await inspectGpt(disk));
  assert.deepEqual(found, { state: "stale", reason: "disk-guid", mark: image });
});

test("markPlace finds no room on an image's own disk, on partitions and in usable space", async () => {
  const { moved } = await flashed(512);
  const place = markPlace(moved.gpt)!;
  assert.equal(markPlace(moved.gpt, place), place);
  assert.equal(markPlace(moved.gpt, place + 512), undefined);
  assert.equal(planMark(moved, { ...image, sizeBytes: 16 * megabyte }), undefined);
  const lba = place / 512;
  assert.equal(markPlace({ ...moved.gpt, lastUsableLba: lba }), undefined);
  const onIt = { ...moved.gpt.partitions[0]!, lastLba: lba };
  assert.equal(markPlace({ ...moved.gpt, partitions: [onIt] }), undefined);
});

test("readMark says why it does not know a mark, and finds none without a table", async () => {
  const { disk, moved } = await flashed(512);
  const report = await inspectGpt(disk);
  assert.deepEqual(await readMark(disk, report), { state: "absent" });
  const extent = planMark(moved, image)!;
  extent.bytes[100] = 0xff;
  await writeExtents(disk, [extent]);
  assert.deepEqual(await readMark(disk, report), { state: "unknown", reason: "checksum" });
  const blank = new MemoryDisk({ sizeBytes: megabyte });
  assert.deepEqual(await readMark(blank, await inspectGpt(blank)), { state: "absent" });
});

test("planMark cuts long names between characters", async () => {
  const { disk, moved } = await flashed(512);
  const report = await inspectGpt(disk);
  for (const [name, wanted] of [
    ["x".repeat(63), "x".repeat(63)],
    ["x".repeat(70), "x".repeat(64)],
    [`${"x".repeat(62)}\u{1f4be}`, "x".repeat(62)],
  ] as const) {
    await writeExtents(disk, [planMark(moved, { ...image, name })!]);
    const found = await readMark(disk, report);
    assert.equal(found.state === "valid" && found.mark.name, wanted);
  }
});

test("readMark survives any bytes", async () => {
  const { disk, moved } = await flashed(512);
  const report = await inspectGpt(disk);
  const { offsetBytes, bytes } = planMark(moved, image)!;
  await fc.assert(
    fc.asyncProperty(fc.nat(511), fc.nat(255), async (at, byte) => {
      const changed = bytes.slice();
      changed[at] = byte;
      await writeExtents(disk, [{ offsetBytes, bytes: changed }]);
      const found = await readMark(disk, report);
      assert.equal(found.state === "valid", byte === bytes[at]);
    }),
    { seed: 20261123, numRuns: 200 },
  );
});
