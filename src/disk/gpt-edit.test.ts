import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { MemoryDisk } from "../block/index.ts";
import {
  DiskError,
  type DiskErrorCode,
  type Extent,
  encodeGpt,
  type Gpt,
  inspectGpt,
  partitionTypes,
  planGpt,
  planGptGrowth,
  planGptRelocation,
  type SectorSize,
  writeExtents,
} from "./index.ts";
import { applyGptEdit } from "./testing/apply-edit.ts";

const megabyte = 1024 * 1024;
const diskGuid = "01234567-89ab-cdef-0123-456789abcdef";

function tableOf(sectorSizeBytes: SectorSize, sizeBytes = 16 * megabyte): Gpt {
  const of = (name: string, digit: string, mebibytes: number) => ({
    typeGuid: partitionTypes.linuxData,
    guid: diskGuid.replace(/^0/, digit),
    name,
    sizeBytes: mebibytes * megabyte,
  });
  const partitions = [of("first", "1", 3), of("second", "2", 5)];
  return planGpt({ sizeBytes, sectorSizeBytes, diskGuid, partitions });
}

/** A disk with the table of `tableOf` for `imageBytes`; reserved attribute bits are set. */
async function diskWith(sectorSizeBytes: SectorSize, sizeBytes: number, imageBytes = sizeBytes) {
  const gpt = tableOf(sectorSizeBytes, imageBytes);
  const { primary } = encodeGpt(gpt);
  const entries = primary[1]!.bytes;
  entries[48 + 4] = 0x5a;
  const made = encodeGpt(gpt, entries);
  const disk = new MemoryDisk({ sizeBytes, blockSizeBytes: sectorSizeBytes });
  const bootCode = { offsetBytes: 0, bytes: new Uint8Array(440).fill(0xb0) };
  made.mbr.bytes.set(bootCode.bytes);
  await writeExtents(disk, [made.mbr, ...made.primary, ...made.backup]);
  return { disk, gpt, entries };
}

async function bytesOf(disk: MemoryDisk): Promise<Buffer> {
  const whole = Buffer.alloc(disk.sizeBytes);
  await disk.read(0, whole);
  return whole;
}

async function overwrite(disk: MemoryDisk, ...places: [offsetBytes: number, byte: number][]) {
  for (const [offsetBytes, byte] of places) {
    await writeExtents(disk, [{ offsetBytes, bytes: Uint8Array.of(byte) }]);
  }
}

const refused = (code: DiskErrorCode) => (error: unknown) =>
  error instanceof DiskError && error.code === code && /Cannot .+: /.test(error.message);

for (const sector of [512, 4096] as const) {
  test(`planGptRelocation writes both copies and the MBR's size, sectors of ${sector}`, async () => {
    const { disk, gpt } = await diskWith(sector, 64 * megabyte, 16 * megabyte);
    const before = await bytesOf(disk);
    const edit = planGptRelocation(await inspectGpt(disk), disk);
    await applyGptEdit(disk, edit);
    const report = await inspectGpt(disk);
    assert.deepEqual(report.damage, []);
    const backupLba = (64 * megabyte) / sector - 1;
    const entrySectors = (128 * 128) / sector;
    const lastUsableLba = backupLba - entrySectors - 1;
    assert.deepEqual(report.gpt, { ...gpt, backupLba, lastUsableLba });
    assert.deepEqual(edit.gpt, report.gpt);
    assert.ok(report.primary.state === "valid" && report.primary.entries[52] === 0x5a);
    assert.equal(report.primary.state === "valid" && report.primary.headerCrc32, edit.headerCrc32);
    // Boot code, entries and everything up to the new backup are as they were.
    const after = await bytesOf(disk);
    assert.ok(after.subarray(0, 446).equals(before.subarray(0, 446)));
    assert.ok(
      after
        .subarray(2 * sector, (lastUsableLba + 1) * sector)
        .equals(before.subarray(2 * sector, (lastUsableLba + 1) * sector)),
    );
  });

  test(`planGptGrowth moves one end to a multiple of 1 MiB, sectors of ${sector}`, async () => {
    const { disk, gpt } = await diskWith(sector, 64 * megabyte, 16 * megabyte);
    const moved = planGptRelocation(await inspectGpt(disk), disk);
    const grown = planGptGrowth(moved);
    await applyGptEdit(disk, moved);
    await applyGptEdit(disk, grown);
    const report = await inspectGpt(disk);
    assert.deepEqual(report.damage, []);
    const lastLba = (63 * megabyte) / sector - 1;
    assert.deepEqual(
      report.gpt?.partitions.map((one) => one.lastLba),
      [gpt.partitions[0]!.lastLba, lastLba],
    );
    assert.ok(report.primary.state === "valid" && report.primary.entries[52] === 0x5a);
    assert.deepEqual(planGptGrowth(grown).steps, []);
  });
}

test("edits leave others' partitions in the MBR alone", async () => {
  const { disk } = await diskWith(512, 32 * megabyte, 16 * megabyte);
  await overwrite(disk, [446 + 16 + 4, 7], [446 + 16 + 8, 1], [446 + 16 + 12, 1]);
  const before = (await bytesOf(disk)).subarray(0, 512);
  const report = await inspectGpt(disk);
  assert.equal(report.mbr.kind, "hybrid");
  await applyGptEdit(disk, planGptRelocation(report, disk));
  assert.ok((await bytesOf(disk)).subarray(0, 512).equals(before));
});

test("edits refuse tables that cannot be used, of other sectors, and that do not fit", async () => {
  const { disk, gpt } = await diskWith(512, 16 * megabyte);
  const healthy = await inspectGpt(disk);
  const smaller = { sizeBytes: 9 * megabyte, blockSizeBytes: 512 };
  assert.throws(() => planGptRelocation(healthy, smaller), refused("does-not-fit"));
  const other = { sizeBytes: 16 * megabyte, blockSizeBytes: 4096 };
  assert.throws(() => planGptRelocation(healthy, other), refused("sector-size"));
  const empty = { gpt: { ...gpt, partitions: [] }, entries: new Uint8Array(), headerCrc32: 0 };
  assert.throws(() => planGptGrowth(empty), refused("no-partition"));
  await overwrite(disk, [512 + 60, 1], [16 * megabyte - 512, 0]);
  const broken = await inspectGpt(disk);
  assert.throws(() => planGptRelocation(broken, disk), refused("no-table"));
});

test("planGptRelocation keeps the reserve free unless a partition needs it", async () => {
  const { disk } = await diskWith(512, 32 * megabyte, 16 * megabyte);
  const report = await inspectGpt(disk);
  const plain = planGptRelocation(report, disk).gpt.lastUsableLba;
  const reserved = planGptRelocation(report, disk, { reserveBytes: 4096 }).gpt.lastUsableLba;
  assert.equal(plain - reserved, 8);
  const tight = { sizeBytes: 9 * megabyte + 33 * 512, blockSizeBytes: 512 };
  const edit = planGptRelocation(report, tight, { reserveBytes: 4096 });
  assert.equal(edit.gpt.lastUsableLba, edit.gpt.partitions[1]!.lastLba);
});

test("planGptRelocation plans steps that leave a whole copy wherever they are cut", async () => {
  for (let failing = 0; failing < 3; failing++) {
    const { disk, gpt } = await diskWith(512, 32 * megabyte, 16 * megabyte);
    const edit = planGptRelocation(await inspectGpt(disk), disk);
    // The step that fails writes only its first sector.
    const torn: Extent = edit.steps[failing]![0]!;
    const cut = { offsetBytes: torn.offsetBytes, bytes: torn.bytes.subarray(0, 512) };
    await applyGptEdit(disk, { steps: [...edit.steps.slice(0, failing), [cut]] });
    const report = await inspectGpt(disk);
    assert.deepEqual(report.gpt?.partitions, gpt.partitions);
    await applyGptEdit(disk, planGptRelocation(report, disk));
    assert.deepEqual((await inspectGpt(disk)).damage, []);
  }
});

test("planGptRelocation of any table to any disk ends healthy or in a DiskError", async () => {
  const place = fc.oneof(
    fc.nat(1279),
    fc.integer({ min: 16 * megabyte - 600, max: 16 * megabyte - 1 }),
  );
  const changes = fc.array(fc.tuple(place, fc.nat(255)), { maxLength: 3 });
  const size = fc.integer({ min: 8 * megabyte, max: 24 * megabyte }).map((at) => at - (at % 512));
  await fc.assert(
    fc.asyncProperty(changes, size, async (changes, sizeBytes) => {
      const { disk } = await diskWith(512, 24 * megabyte, 16 * megabyte);
      await overwrite(disk, ...changes);
      const report = await inspectGpt(disk);
      const resized = new MemoryDisk({
        sizeBytes,
        contents: (await bytesOf(disk)).subarray(0, sizeBytes),
      });
      try {
        await applyGptEdit(resized, planGptRelocation(report, resized));
      } catch (error) {
        assert.ok(error instanceof DiskError, `${error}`);
        return;
      }
      const after = await inspectGpt(resized);
      assert.deepEqual([after.primary.state, after.backup.state], ["valid", "valid"]);
    }),
    { seed: 20261123, numRuns: 40 },
  );
});
