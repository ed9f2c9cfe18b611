import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type BlockDevice, type CallOptions, faultyDisk, MemoryDisk } from "../block/index.ts";
import {
  describeDisk,
  type Extent,
  encodeGpt,
  guidFromHash,
  partitionTypes,
  planFat,
  planGpt,
  type SectorSize,
  shiftExtents,
} from "./index.ts";
import { le, overlay, put, utf16, uuidBytes } from "./testing/sample-bytes.ts";
import { diskSamples } from "./testing/samples.ts";

const megabyte = 1024 * 1024;
const guidOf = (seed: number) => guidFromHash(new Uint8Array(32).fill(seed));
const uuid = "12345678-9abc-4def-8123-456789abcdef";

/** An ext4 superblock. */
const ext4 = (label: string, sizeBytes = 2 * megabyte): Extent =>
  put(
    1024,
    overlay(
      [
        put(0, le(128, 4), le(sizeBytes / 4096, 4)),
        put(24, le(2, 4), le(2, 4), le(32768, 4), le(32768, 4), le(128, 4)),
        put(56, le(0xef53, 2)),
        put(92, le(4, 4), le(0x42, 4), le(1, 4), uuidBytes(uuid), label),
      ],
      1024,
    ),
  );
const ntfs: Extent = put(0, Uint8Array.of(0xeb, 0x52, 0x90), "NTFS    ", le(512, 2), le(8, 1));
const sample = (name: string) => diskSamples.find((one) => one.name === name)!;
const at = (offsetBytes: number, ...extents: readonly Extent[]) =>
  shiftExtents(extents, offsetBytes);

const types = {
  esp: partitionTypes.efiSystem,
  linux: partitionTypes.linuxData,
  microsoft: "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7",
  reserved: "e3c9e316-0b5c-4db8-817d-f92df00215ae",
  bios: "21686148-6449-6e6f-744e-656564454649",
};

type Held = readonly [type: string, name: string, mebibytes: number, ...Extent[]];

/** A GPT with partitions of so many MiB, each with its contents. */
function gptDisk(
  partitions: readonly Held[],
  { sectorSizeBytes = 512 as SectorSize, sizeBytes = 32 * megabyte } = {},
): Extent[] {
  const gpt = planGpt({
    sizeBytes,
    sectorSizeBytes,
    diskGuid: guidOf(1),
    partitions: partitions.map(([typeGuid, name, mebibytes], index) => {
      return { typeGuid, guid: guidOf(index + 2), name, sizeBytes: mebibytes * megabyte };
    }),
  });
  const { mbr, primary, backup } = encodeGpt(gpt);
  const held = partitions.flatMap(([, , , ...extents], index) =>
    at(gpt.partitions[index]!.firstLba * sectorSizeBytes, ...extents),
  );
  return [mbr, ...primary, ...held, ...backup];
}

/** A record of an MBR at `at`, and the signature of its sector. */
const record = (number: number, type: number, firstLba: number, sectors: number) => [
  put(446 + 16 * (number - 1) + 4, le(type, 4), le(firstLba, 4), le(sectors, 4)),
  put(510, le(0xaa55, 2)),
];

async function diskOf(extents: readonly Extent[], blockSizeBytes: SectorSize = 512) {
  const sizeBytes = 32 * megabyte;
  return new MemoryDisk({ sizeBytes, blockSizeBytes, contents: overlay(extents, sizeBytes) });
}

const fat = planFat({
  sizeBytes: 8 * megabyte,
  sectorSizeBytes: 512,
  hiddenSectors: 0,
  volumeId: 0x1234abcd,
  label: "BOOT",
  epochSeconds: 0,
  root: [],
}).extents;
const plain: readonly Held[] = [
  [types.esp, "EFI", 8, ...fat],
  [types.linux, "system", 4, ext4("root")],
];
const zeros = (offsetBytes: number, length: number) => put(offsetBytes, new Uint8Array(length));
const end = 32 * megabyte;

const lines: readonly [line: string, extents: readonly Extent[], SectorSize?][] = [
  ["blank", []],
  ["unknown data", [put(20 * megabyte, new Uint8Array(2 * megabyte).fill(7))]],
  ["blank", [put(0, new Uint8Array(end).fill(0xff))]],
  ['GPT: ESP, ext4 "root"', gptDisk(plain)],
  ['GPT: ESP, ext4 "root"', gptDisk(plain, { sectorSizeBytes: 4096 }), 4096],
  ['GPT (made for 4096-byte sectors): ESP, ext4 "root"', gptDisk(plain, { sectorSizeBytes: 4096 })],
  ['GPT (made for 512-byte sectors): ESP, ext4 "root"', gptDisk(plain), 4096],
  [
    'GPT: ext4 "system"',
    gptDisk([
      [types.bios, "", 1],
      [types.linux, "system", 4, ext4("")],
    ]),
  ],
  [
    "GPT: Linux data, Linux data",
    gptDisk([
      [types.linux, "", 1],
      [types.linux, "", 1],
    ]),
  ],
  ["GPT: no partitions", gptDisk([])],
  [
    "GPT: ext4, ext4, ext4, ext4, ext4 and 2 more",
    gptDisk(Array.from({ length: 7 }, (): Held => [types.linux, "", 2, ext4("")])),
  ],
  ['GPT (damaged primary): ESP, ext4 "root"', [...gptDisk(plain), put(520, le(7, 4))]],
  ['GPT (lost primary): ESP, ext4 "root"', [...gptDisk(plain), zeros(512, 512)]],
  ['GPT (damaged backup): ESP, ext4 "root"', [...gptDisk(plain), put(end - 500, le(7, 4))]],
  ["GPT (lost primary, lost backup)", [...gptDisk(plain), zeros(512, 512), zeros(end - 512, 512)]],
  [
    "GPT (damaged primary, damaged backup)",
    [...gptDisk(plain), put(520, le(7, 4)), put(end - 500, le(7, 4))],
  ],
  ['GPT (backup not at the end): ESP, ext4 "root"', gptDisk(plain, { sizeBytes: 24 * megabyte })],
  // A file system over the whole disk, whose maker left the backup of a table at the end.
  ['whole-disk ext4 "data"', [...gptDisk(plain), zeros(0, 34 * 512), ext4("data")]],
  [
    'Windows: NTFS "OS", 4 partitions',
    gptDisk([
      [types.esp, "EFI", 8, ...fat],
      [types.reserved, "Microsoft reserved partition", 1],
      [types.microsoft, "OS", 8, ntfs],
      ["de94bba4-06d1-4d40-a16a-bfd50179d6ac", "", 9, ntfs],
    ]),
  ],
  [
    "Windows: BitLocker, 2 partitions",
    gptDisk([
      [types.reserved, "", 1],
      [types.microsoft, "", 8, ...sample("BitLocker").extents.slice(0, 2)],
    ]),
  ],
  [
    "Windows: NTFS, 2 partitions",
    [
      ...record(1, 7, 2048, 32768),
      ...record(2, 7, 40960, 4096),
      ...at(megabyte, ntfs),
      ...at(20 * megabyte, ...sample("NTFS whose label crosses a sector").extents),
    ],
  ],
  [
    'MBR: FAT16 "BOOT", ext4 "root"',
    [
      ...record(1, 12, 2048, 16384),
      ...record(2, 131, 20480, 8192),
      ...at(megabyte, ...fat),
      ...at(10 * megabyte, ext4("root")),
    ],
  ],
  [
    'MBR: ext4 "a", ext4 "b", Linux swap',
    [
      ...record(1, 131, 2048, 4096),
      ...record(2, 5, 8192, 32768),
      ...at(megabyte, ext4("a")),
      ...at(4 * megabyte, ...record(1, 131, 2048, 8192), ...record(2, 5, 16384, 8192)),
      ...at(5 * megabyte, ext4("b")),
      ...at(12 * megabyte, ...record(1, 130, 2048, 4096), ...record(2, 5, 0, 8192)),
    ],
  ],
  [
    'MBR (made for 512-byte sectors): ext4 "root"',
    [...record(1, 131, 2048, 4096), ...at(megabyte, ext4("root"))],
    4096,
  ],
  ['whole-disk FAT16 "BOOT"', fat],
  // A boot sector without a table and without a file system.
  ["unknown data", [put(510, le(0xaa55, 2))]],
  ["unknown data", [put(0, new Uint8Array(440).fill(0x90)), ...record(1, 0x83, 2 ** 31, 1)]],
  // What holds others counts more than what is seen through it.
  [
    'RAID1 member of "box:0"',
    [...at(16 * megabyte, ...sample("mdraid 1.0").extents), ext4("root")].map((extent) =>
      extent.offsetBytes > megabyte ? { ...extent, bytes: placed(extent.bytes) } : extent,
    ),
  ],
  // The file system is larger than the member's data: it was made later.
  [
    'whole-disk ext4 "root"',
    [...at(16 * megabyte, ...sample("mdraid 1.0").extents), ext4("root", end)].map((extent) =>
      extent.offsetBytes > megabyte ? { ...extent, bytes: placed(extent.bytes) } : extent,
    ),
  ],
  ['whole-disk ext4 "new"', [...sample("ZFS").extents.slice(9), ext4("new")]],
  ['unknown data, remains of ZFS: pool "tank"', sample("ZFS").extents.slice(9)],
];

/** A superblock 1.0 of mdraid that says that it lies at the end of a disk of 32 MiB. */
function placed(bytes: Uint8Array): Uint8Array {
  return overlay([put(0, bytes), put(144, le((end - 8192) / 512, 8))], bytes.byteLength);
}

for (const [index, [line, extents, blockSizeBytes]] of lines.entries()) {
  test(`describeDisk says ${line} (${index})`, async () => {
    const disk = await diskOf(extents, blockSizeBytes);
    const { contents, isBlank } = await describeDisk(disk);
    assert.equal(contents, line);
    assert.equal(isBlank, line === "blank");
  });
}

test("describeDisk gives partitions with place, type, name and identifiers", async () => {
  const found = await describeDisk(await diskOf(gptDisk(plain)));
  assert.deepEqual(found.table, {
    kind: "gpt",
    sectorSizeBytes: 512,
    diskId: guidOf(1),
    isHybrid: false,
  });
  assert.deepEqual(found.notes, []);
  assert.deepEqual(found.partitions[1], {
    number: 2,
    startBytes: 9 * megabyte,
    sizeBytes: 4 * megabyte,
    type: types.linux,
    typeName: "Linux data",
    name: "system",
    partUuid: guidOf(3),
    signatures: [
      {
        kind: "ext4",
        offsetBytes: 1024,
        version: "1.0",
        label: "root",
        uuid,
        sizeBytes: 2 * megabyte,
      },
    ],
    contents: 'ext4 "root"',
  });
  const mbr = [...record(1, 0xef, 2048, 4096), put(440, le(0x1a2b3c4d, 4))];
  const [one] = (await describeDisk(await diskOf(mbr))).partitions;
  assert.deepEqual([one?.type, one?.typeName, one?.partUuid], ["0xef", "ESP", "1a2b3c4d-01"]);
});

test("describeDisk notes damage, remains and lost sectors, each as a sentence", async () => {
  const damaged = await describeDisk(await diskOf([...gptDisk(plain), zeros(510, 2)]));
  assert.deepEqual(damaged.notes, [
    "The MBR does not protect the table from old programs: found none, wanted protective.",
  ]);
  const remains = await diskOf([...gptDisk(plain), zeros(0, 34 * 512), ext4("data")]);
  const { notes } = await describeDisk(remains);
  assert.deepEqual(notes, ["At the end lies the backup of a GPT that was there before."]);
  const disk = await diskOf(gptDisk(plain));
  const lost = faultyDisk(disk, { kind: "fail", code: "medium", firstLba: 300, lastLba: 400 });
  const found = await describeDisk(lost);
  assert.equal(found.contents, 'GPT: ESP, ext4 "root"');
  const dead = faultyDisk(disk, { kind: "fail", code: "medium", firstLba: 0, lastLba: 65535 });
  assert.equal((await describeDisk(dead)).contents, "unreadable");
  assert.equal((await describeDisk(new MemoryDisk({ sizeBytes: 0 }))).contents, "no medium");
});

test("describeDisk passes on what is not the medium's fault, and stops when aborted", async () => {
  const disk = await diskOf(gptDisk(plain));
  const gone = faultyDisk(disk, { kind: "gone" });
  await assert.rejects(describeDisk(gone), { name: "BlockError", code: "gone" });
  const signal = AbortSignal.abort(new Error("enough"));
  await assert.rejects(describeDisk(disk, { signal }), /enough/);
});

test("describeDisk lets no control character of a label through", async () => {
  const label = `\u001b[31m\n"\u009b\u202e`;
  const { contents } = await describeDisk(await diskOf([ext4(label)]));
  assert.match(contents, /^whole-disk ext4 "[^\p{C}"]+"$/u);
});

/** Counts what is read through it. */
class CountingDisk implements BlockDevice {
  readonly sizeBytes: number;
  readonly blockSizeBytes: number;
  readonly readOnly = true;
  bytesRead = 0;
  readonly #disk: BlockDevice;
  constructor(disk: BlockDevice) {
    this.#disk = disk;
    this.sizeBytes = disk.sizeBytes;
    this.blockSizeBytes = disk.blockSizeBytes;
  }
  read(offsetBytes: number, target: Uint8Array, options?: CallOptions) {
    this.bytesRead += target.byteLength;
    return this.#disk.read(offsetBytes, target, options);
  }
  write = () => Promise.reject(new Error("describeDisk writes"));
  writeZeroes = () => Promise.reject(new Error("describeDisk writes"));
  flush = () => Promise.resolve();
  [Symbol.asyncDispose] = () => Promise.resolve();
}

test("describeDisk reads a bounded part and writes nothing", async () => {
  const disk = new CountingDisk(await diskOf(gptDisk(plain)));
  await describeDisk(disk);
  assert.ok(disk.bytesRead <= 3 * 340 * 1024, `${disk.bytesRead}`);
  const blank = new CountingDisk(new MemoryDisk({ sizeBytes: 2 ** 43 }));
  assert.equal((await describeDisk(blank)).contents, "blank");
  assert.ok(blank.bytesRead <= 4.5 * megabyte, `${blank.bytesRead}`);
});

test("describeDisk survives any change to any disk", async () => {
  const disks = [
    gptDisk(plain),
    lines.find(([line]) => line.includes("swap"))![1],
    fat,
    [
      put(32768, Uint8Array.of(1), "CD001", Uint8Array.of(1)),
      put(34816, Uint8Array.of(2), "CD001"),
    ],
    [
      put(0, Uint8Array.of(0xeb, 0x76, 0x90), "EXFAT   "),
      put(108, le(9, 1)),
      put(510, le(0xaa55, 2)),
    ],
    [put(0, Uint8Array.of(0xeb, 0x52, 0x90), "NTFS    ", utf16("x"))],
    ...diskSamples.map(({ extents }) => extents),
  ].map((extents) => extents.filter(({ offsetBytes, bytes }) => offsetBytes + bytes.length <= end));
  const change = fc.record({
    extent: fc.nat(100),
    at: fc.nat(1023),
    byte: fc.oneof(fc.nat(255), fc.constantFrom(0, 0xff, 0x80)),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.nat(disks.length - 1),
      fc.array(change, { maxLength: 12 }),
      async (index, changes) => {
        const disk = new MemoryDisk({ sizeBytes: end });
        for (const { offsetBytes, bytes } of disks[index]!) {
          await disk.write(offsetBytes - (offsetBytes % 512), padded(offsetBytes % 512, bytes));
        }
        for (const { extent, at, byte } of changes) {
          const { offsetBytes } = disks[index]![extent % disks[index]!.length]!;
          const place = Math.min(offsetBytes + at, end - 1);
          const sector = new Uint8Array(512);
          await disk.read(place - (place % 512), sector);
          sector[place % 512] = byte;
          await disk.write(place - (place % 512), sector);
        }
        const { contents } = await describeDisk(disk);
        assert.match(contents, /^[^\p{C}]+$/u);
      },
    ),
    { seed: 20261123, numRuns: 150 },
  );
});

function padded(before: number, bytes: Uint8Array): Uint8Array {
  const length = Math.ceil((before + bytes.byteLength) / 512) * 512;
  return overlay([put(before, bytes)], length);
}
