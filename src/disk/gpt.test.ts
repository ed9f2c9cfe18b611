import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { faultyDisk, MemoryDisk } from "../block/index.ts";
import { gptEntry, gptHeader } from "./gpt-layout.ts";
import {
  arrangeExtents,
  DiskError,
  type Extent,
  encodeGpt,
  type Gpt,
  type GptDamageReason,
  type GptReport,
  inspectGpt,
  noAttributes,
  partitionTypes,
  planGpt,
  type SectorSize,
  writeExtents,
} from "./index.ts";

const hexOf = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
const diskGuid = "01234567-89ab-cdef-0123-456789abcdef";
const megabyte = 1024 * 1024;

/** What GPT fdisk 1.0.9 wrote: `sgdisk -U … -n 1:2048:4095 … -n 3:4096:8191 …`, on 16 MiB. */
const fromSgdisk: Gpt = {
  sectorSizeBytes: 512,
  diskGuid,
  backupLba: 32767,
  firstUsableLba: 34,
  lastUsableLba: 32734,
  entriesLba: 2,
  entryCount: 128,
  entrySizeBytes: 128,
  partitions: [
    {
      number: 1,
      typeGuid: partitionTypes.efiSystem,
      guid: "11223344-5566-7788-99aa-bbccddeeff00",
      firstLba: 2048,
      lastLba: 4095,
      name: "EFI system ü",
      attributes: {
        required: true,
        noBlockIo: false,
        legacyBiosBootable: true,
        typeSpecific: 0x8000,
      },
    },
    {
      number: 3,
      typeGuid: partitionTypes.linuxData,
      guid: "21223344-5566-7788-99aa-bbccddeeff00",
      firstLba: 4096,
      lastLba: 8191,
      name: "data",
      attributes: noAttributes,
    },
  ],
};
const primaryHex =
  "4546492050415254000001005c00000067307498000000000100000000000000ff7f000000000000" +
  "2200000000000000" +
  "de7f00000000000067452301ab89efcd0123456789abcdef02000000000000008000000080000000461a3fda";
const backupHex =
  "4546492050415254000001005c000000d961826100000000ff7f0000000000000100000000000000" +
  "2200000000000000" +
  "de7f00000000000067452301ab89efcd0123456789abcdefdf7f0000000000008000000080000000461a3fda";
const entryHex =
  "28732ac11ff8d211ba4b00a0c93ec93b443322116655887799aabbccddeeff000008000000000000" +
  "ff0f000000000000" +
  "05000000000000804500460049002000730079007300740065006d002000fc00".padEnd(160, "0");

async function inspect(extents: readonly Extent[], sizeBytes: number, sector: SectorSize = 512) {
  const disk = new MemoryDisk({ sizeBytes, blockSizeBytes: sector });
  await writeExtents(disk, extents);
  return inspectGpt(disk);
}
function extentsOf(gpt: Gpt): Extent[] {
  const { mbr, primary, backup } = encodeGpt(gpt);
  return [mbr, ...primary, ...backup];
}
const reasons = ({ damage }: GptReport) => damage.map(({ part, reason }) => `${part} ${reason}`);

test("encodeGpt writes the bytes that sgdisk writes", () => {
  const { primary, backup } = encodeGpt(fromSgdisk);
  assert.equal(hexOf(primary[0]!.bytes.subarray(0, 92)), primaryHex);
  assert.equal(hexOf(primary[1]!.bytes.subarray(0, 128)), entryHex);
  assert.equal(hexOf(backup[1]!.bytes.subarray(0, 92)), backupHex);
  assert.deepEqual(
    [...primary, ...backup].map(({ offsetBytes }) => offsetBytes / 512),
    [1, 2, 32735, 32767],
  );
});

test("inspectGpt reads the bytes that sgdisk writes", async () => {
  const entries = new Uint8Array(128 * 128);
  entries.set(Buffer.from(entryHex, "hex"));
  const third = { ...fromSgdisk.partitions[1]!, firstLba: 4096n, lastLba: 8191n };
  gptEntry.encodeInto({ ...third, attributes: { ...noAttributes } }, entries, 256);
  const report = await inspect(
    [
      encodeGpt(fromSgdisk).mbr,
      { offsetBytes: 512, bytes: Buffer.from(primaryHex, "hex") },
      { offsetBytes: 1024, bytes: entries },
      { offsetBytes: 32735 * 512, bytes: entries },
      { offsetBytes: 32767 * 512, bytes: Buffer.from(backupHex, "hex") },
    ],
    16 * megabyte,
  );
  assert.deepEqual(reasons(report), []);
  assert.deepEqual(report.gpt, fromSgdisk);
});

test("planGpt aligns to 1 MiB and keeps both ends free, for both sector sizes", () => {
  for (const [sectorSizeBytes, first, lastUsable] of [
    [512, 34, 131038],
    [4096, 6, 16378],
  ] as const) {
    const gpt = planGpt({
      sizeBytes: 64 * megabyte,
      sectorSizeBytes,
      diskGuid,
      partitions: [
        { typeGuid: partitionTypes.linuxData, guid: diskGuid, name: "a", sizeBytes: 5000 },
        { typeGuid: partitionTypes.linuxData, guid: diskGuid, name: "b", sizeBytes: "rest" },
      ],
    });
    const sectors = (bytes: number) => bytes / sectorSizeBytes;
    assert.equal(gpt.firstUsableLba, first);
    assert.equal(gpt.lastUsableLba, lastUsable);
    assert.deepEqual(
      gpt.partitions.map(({ firstLba, lastLba }) => [firstLba, lastLba]),
      [
        [sectors(megabyte), sectors(megabyte) + Math.ceil(5000 / sectorSizeBytes) - 1],
        [sectors(2 * megabyte), lastUsable],
      ],
    );
  }
});

test("planGpt refuses what does not fit and says what would", () => {
  const typeGuid = partitionTypes.linuxData;
  const one = { typeGuid, guid: diskGuid, name: "big" };
  const wanted = { sizeBytes: 4 * megabyte, sectorSizeBytes: 512, diskGuid } as const;
  assert.throws(
    () => planGpt({ ...wanted, partitions: [{ ...one, sizeBytes: 3 * megabyte }] }),
    (error: unknown) =>
      error instanceof DiskError &&
      error.code === "does-not-fit" &&
      error.facts.wantedBytes === 4 * megabyte + 33 * 512,
  );
  const twice = [
    { ...one, sizeBytes: "rest" },
    { ...one, sizeBytes: 512 },
  ] as const;
  assert.throws(() => planGpt({ ...wanted, partitions: twice }), DiskError);
});

test("encodeGpt refuses numbers that are taken or out of the table, and unused types", () => {
  const [one, three] = fromSgdisk.partitions;
  for (const partitions of [
    [one!, { ...three!, number: 1 }],
    [{ ...one!, number: 0 }],
    [{ ...one!, number: 129 }],
    [{ ...one!, typeGuid: "00000000-0000-0000-0000-000000000000" }],
    [{ ...one!, name: "x".repeat(37) }],
    [{ ...one!, guid: "1234" }],
  ]) {
    assert.throws(() => encodeGpt({ ...fromSgdisk, partitions }), RangeError);
  }
});

const patch = (offsetBytes: number, ...bytes: number[]): Extent => ({
  offsetBytes,
  bytes: Uint8Array.from(bytes),
});
const lba = (sector: number) => sector * 512;
const swap = (gpt: Partial<Gpt>) => extentsOf({ ...fromSgdisk, ...gpt });
const [one, three] = fromSgdisk.partitions;
const zeroSector = new Uint8Array(512);

/** Each is laid over the healthy table. */
const damages: readonly {
  name: string;
  over: readonly Extent[];
  wanted: readonly `${"mbr" | "primary" | "backup"} ${GptDamageReason}`[];
  /** Copy that the table must come from; none when it must not be read at all. */
  from: "either" | "none";
}[] = [
  { name: "no MBR", over: [patch(510, 0)], wanted: ["mbr mbr-not-protective"], from: "either" },
  {
    name: "MBR with another partition",
    over: [patch(446 + 16 + 4, 7)],
    wanted: ["mbr mbr-not-protective"],
    from: "either",
  },
  {
    name: "MBR of a smaller disk",
    over: [patch(458, 1)],
    wanted: ["mbr mbr-size"],
    from: "either",
  },
  {
    name: "primary header overwritten",
    over: [{ offsetBytes: 512, bytes: zeroSector }],
    wanted: ["primary copy-missing"],
    from: "either",
  },
  {
    name: "backup header overwritten",
    over: [{ offsetBytes: lba(32767), bytes: zeroSector }],
    wanted: ["backup copy-missing"],
    from: "either",
  },
  {
    name: "header checksum",
    over: [patch(512 + 60, 1)],
    wanted: ["primary header-crc"],
    from: "either",
  },
  {
    name: "header size 0",
    over: [patch(512 + 12, 0)],
    wanted: ["primary header-size"],
    from: "either",
  },
  {
    name: "header size above the sector",
    over: [patch(512 + 12, 1, 2)],
    wanted: ["primary header-size"],
    from: "either",
  },
  {
    name: "entry changed",
    over: [patch(1024 + 60, 1)],
    wanted: ["primary entries-crc"],
    from: "either",
  },
  {
    name: "primary header of another place",
    over: [{ offsetBytes: 512, bytes: Buffer.from(backupHex, "hex") }],
    wanted: ["primary my-lba"],
    from: "either",
  },
  {
    name: "both headers",
    over: [patch(512 + 60, 1), patch(lba(32767) + 60, 1)],
    wanted: ["primary header-crc", "backup header-crc"],
    from: "none",
  },
  {
    name: "copies that differ",
    over: [...encodeGpt({ ...fromSgdisk, partitions: [one!] }).backup],
    wanted: ["backup copies-differ"],
    from: "either",
  },
  {
    name: "overlapping partitions",
    over: swap({ partitions: [one!, { ...three!, firstLba: 4095 }] }),
    wanted: ["primary partition-overlap", "backup partition-overlap"],
    from: "either",
  },
  {
    name: "partition that is inside another and does not hide the next overlap",
    over: swap({
      partitions: [
        { ...one!, lastLba: 9000 },
        { ...three!, number: 2, guid: diskGuid, firstLba: 3000, lastLba: 3001 },
        three!,
      ],
    }),
    wanted: [
      "primary partition-overlap",
      "primary partition-overlap",
      "backup partition-overlap",
      "backup partition-overlap",
    ],
    from: "either",
  },
  {
    name: "partition outside the usable range",
    over: swap({ partitions: [{ ...one!, firstLba: 33 }] }),
    wanted: ["primary partition-range", "backup partition-range"],
    from: "either",
  },
  {
    name: "partition that ends before it begins",
    over: swap({ partitions: [{ ...one!, lastLba: 2047 }] }),
    wanted: ["primary partition-range", "backup partition-range"],
    from: "either",
  },
  {
    name: "two partitions with one GUID",
    over: swap({ partitions: [one!, { ...three!, guid: one!.guid }] }),
    wanted: ["primary duplicate-guid", "backup duplicate-guid"],
    from: "either",
  },
  {
    name: "usable range beyond the disk",
    over: swap({ lastUsableLba: 32768 }),
    wanted: ["primary usable-range", "backup usable-range"],
    from: "either",
  },
];

for (const { name, over, wanted, from } of damages) {
  test(`inspectGpt names the damage: ${name}`, async () => {
    const disk = new MemoryDisk({ sizeBytes: 16 * megabyte });
    await writeExtents(disk, extentsOf(fromSgdisk));
    await writeExtents(disk, over);
    const report = await inspectGpt(disk);
    assert.deepEqual(reasons(report).sort(), [...wanted].sort());
    assert.equal(report.gpt !== undefined, from === "either");
  });
}

test("inspectGpt says when a header asks for entries that it will not read", async () => {
  const header = (change: Partial<Parameters<typeof gptHeader.encode>[0]>) => {
    const gpt = { ...fromSgdisk, partitions: [], ...change } as Gpt;
    const sector = encodeGpt({ ...gpt, entryCount: 128, entrySizeBytes: 128 }).primary[0]!.bytes;
    return Uint8Array.from(sector);
  };
  const cases: readonly [string, Partial<Parameters<typeof gptHeader.encode>[0]>][] = [
    ["entry-size", { entrySizeBytes: 100 }],
    ["entry-size", { entrySizeBytes: 192 }],
    ["entry-size", { entryCount: 0 }],
    ["entry-size", { entryCount: 0xffff_ffff }],
    ["entries-place", { entriesLba: 1n }],
    ["entries-place", { entriesLba: 0xffff_ffff_ffff_ffffn }],
    ["out-of-range", { lastUsableLba: 0xffff_ffff_ffff_ffffn }],
  ];
  const { crc32 } = await import("node:zlib");
  for (const [reason, change] of cases) {
    const value = { ...gptHeader.decode(header({})), ...change, headerCrc32: 0 };
    value.headerCrc32 = crc32(gptHeader.encode(value));
    const disk = new MemoryDisk({ sizeBytes: 16 * megabyte });
    await writeExtents(disk, extentsOf(fromSgdisk));
    await disk.write(512, Buffer.concat([gptHeader.encode(value), new Uint8Array(420)]));
    assert.deepEqual(reasons(await inspectGpt(disk)), [`primary ${reason}`]);
  }
});

test("inspectGpt finds a table of the other sector size, both ways", async () => {
  for (const [own, other] of [
    [512, 4096],
    [4096, 512],
  ] as const) {
    const gpt = planGpt({
      sizeBytes: 16 * megabyte,
      sectorSizeBytes: other,
      diskGuid,
      partitions: [{ ...one!, sizeBytes: megabyte }],
    });
    const report = await inspect(extentsOf(gpt), 16 * megabyte, own);
    assert.deepEqual(reasons(report), ["primary sector-size"]);
    assert.deepEqual(report.gpt, gpt);
    assert.equal(report.sectorSizeBytes, other);
  }
});

test("inspectGpt finds the backup of an image that was written to a larger disk", async () => {
  const report = await inspect(extentsOf(fromSgdisk), 64 * megabyte);
  assert.deepEqual(reasons(report), ["backup backup-not-at-end", "mbr mbr-size"]);
  assert.equal(report.backup.state, "valid");
  assert.deepEqual(report.gpt, fromSgdisk);
});

test("inspectGpt reads the backup when the medium cannot read the primary", async () => {
  const disk = new MemoryDisk({ sizeBytes: 16 * megabyte });
  await writeExtents(disk, extentsOf(fromSgdisk));
  const report = await inspectGpt(
    faultyDisk(disk, { kind: "fail", code: "medium", firstLba: 1, lastLba: 1 }),
  );
  assert.deepEqual(reasons(report), ["primary unreadable"]);
  assert.deepEqual(report.gpt, fromSgdisk);
  const gone = faultyDisk(disk, { kind: "gone" });
  await assert.rejects(inspectGpt(gone), { name: "BlockError", code: "gone" });
});

test("inspectGpt finds no table and no damage on blank and tiny disks", async () => {
  for (const sizeBytes of [0, 512, 1024, 4096, 8192, megabyte]) {
    const report = await inspectGpt(new MemoryDisk({ sizeBytes }));
    assert.deepEqual(report.damage, []);
    assert.equal(report.gpt, undefined);
    assert.equal(report.mbr.kind, "none");
  }
});

const property = { seed: 20261123, numRuns: 60 };
const anyGuid = fc
  .uint8Array({ minLength: 16, maxLength: 16 })
  .filter((bytes) => bytes.some((byte) => byte !== 0))
  .map((bytes) => hexOf(bytes).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5"));

test("encodeGpt and inspectGpt are each other's inverse", async () => {
  const plain = { noNullPrototype: true } as const;
  const anyPartition = fc.record(
    {
      typeGuid: anyGuid,
      guid: anyGuid,
      name: fc
        .string({ unit: "binary", maxLength: 36 })
        .filter((name) => name.length <= 36 && !name.includes("\0")),
      sizeBytes: fc.integer({ min: 1, max: 2 * megabyte }),
      attributes: fc.record(
        {
          required: fc.boolean(),
          noBlockIo: fc.boolean(),
          legacyBiosBootable: fc.boolean(),
          typeSpecific: fc.nat(0xffff),
        },
        plain,
      ),
    },
    plain,
  );
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom<SectorSize>(512, 4096),
      anyGuid,
      fc.uniqueArray(anyPartition, { maxLength: 12, selector: ({ guid }) => guid }),
      async (sectorSizeBytes, diskGuid, partitions) => {
        const sizeBytes = 64 * megabyte;
        const gpt = planGpt({ sizeBytes, sectorSizeBytes, diskGuid, partitions });
        const report = await inspect(extentsOf(gpt), sizeBytes, sectorSizeBytes);
        assert.deepEqual(report.gpt, gpt);
        assert.deepEqual(report.damage, []);
      },
    ),
    property,
  );
});

test("inspectGpt survives any change to the table", async () => {
  const sizeBytes = 16 * megabyte;
  const place = fc.oneof(fc.nat(1279), fc.integer({ min: sizeBytes - 600, max: sizeBytes - 1 }));
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(place, fc.nat(255)), { maxLength: 8 }), async (changes) => {
      const disk = new MemoryDisk({ sizeBytes });
      await writeExtents(disk, extentsOf(fromSgdisk));
      for (const [at, byte] of changes) await writeExtents(disk, [patch(at, byte)]);
      const report = await inspectGpt(disk);
      if (report.damage.length === 0) assert.deepEqual(report.gpt, fromSgdisk);
    }),
    { ...property, numRuns: 200 },
  );
});

test("arrangeExtents sorts, and refuses overlaps and overruns", () => {
  const at = (offsetBytes: number, length: number) => ({
    offsetBytes,
    bytes: new Uint8Array(length),
  });
  const sorted = arrangeExtents([at(8, 2), at(3, 0), at(0, 8)], 10);
  assert.deepEqual(
    sorted.map(({ offsetBytes }) => offsetBytes),
    [0, 8],
  );
  assert.throws(() => arrangeExtents([at(0, 9), at(8, 2)], 10), RangeError);
  assert.throws(() => arrangeExtents([at(8, 3)], 10), RangeError);
});
