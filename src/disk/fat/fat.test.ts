import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { faultyDisk, MemoryDisk } from "../../block/index.ts";
import {
  assembleExtents,
  DiskError,
  type FatDamageReason,
  type FatNode,
  type FatOutcome,
  type FatVolume,
  fatSize,
  openFat,
  planFat,
  type SectorSize,
  type WantedFat,
  writeExtents,
} from "../index.ts";
import { chooseFatGeometry } from "./geometry.ts";
import { asShortName, encodeLongName, makeShortName, shortNameChecksum } from "./names.ts";

const megabyte = 1024 * 1024;
const text = (value: string) => new TextEncoder().encode(value);
const file = (name: string, ...chunks: Uint8Array[]): FatNode => ({ type: "file", name, chunks });
const directory = (name: string, ...children: FatNode[]): FatNode => ({
  type: "directory",
  name,
  children,
});
const epochSeconds = Date.UTC(2026, 10, 23, 12, 34, 57) / 1000;
const wanted = (root: readonly FatNode[], change: Partial<WantedFat> = {}): WantedFat => ({
  sizeBytes: 40 * megabyte,
  sectorSizeBytes: 512,
  hiddenSectors: 2048,
  volumeId: 0x1234abcd,
  label: "DISKOMATOR",
  epochSeconds,
  root,
  ...change,
});

function valueIn<T>(outcome: FatOutcome<T>): T {
  if (!outcome.ok) assert.fail(`no damage expected: ${JSON.stringify(outcome.damage)}`);
  return outcome.value;
}

async function diskWith(want: WantedFat): Promise<MemoryDisk> {
  const disk = new MemoryDisk({
    sizeBytes: want.sizeBytes,
    blockSizeBytes: want.sectorSizeBytes,
  });
  await writeExtents(disk, planFat(want).extents);
  return disk;
}

async function volumeWith(want: WantedFat): Promise<FatVolume> {
  return valueIn(await openFat(await diskWith(want)));
}

const tree = [
  directory("EFI", directory("BOOT", file("BOOTX64.EFI", text("one"), text("two")))),
  file("empty.txt"),
  file("A rather long name, with ümläuts.json", text("{}")),
  directory("empty folder"),
];

for (const [kind, sectorSizeBytes, sizeBytes] of [
  ["fat32", 512, 40 * megabyte],
  ["fat16", 512, 20 * megabyte],
  ["fat16", 4096, 40 * megabyte],
  ["fat32", 4096, 300 * megabyte],
] as const) {
  test(`planFat makes ${kind} in sectors of ${sectorSizeBytes} that openFat reads`, async () => {
    const want = wanted(tree, { sectorSizeBytes, sizeBytes });
    const volume = await volumeWith(want);
    assert.equal(volume.boot.kind, kind);
    assert.equal(volume.boot.volumeId, 0x1234abcd);
    assert.equal(volume.boot.label, "DISKOMATOR");
    const root = valueIn(await volume.list(""));
    assert.deepEqual(
      root.map(({ type, name, shortName }) => [type, name, shortName]),
      [
        ["directory", "EFI", "EFI"],
        ["file", "empty.txt", "EMPTY~1.TXT"],
        ["file", "A rather long name, with ümläuts.json", "ARATHE~1.JSO"],
        ["directory", "empty folder", "EMPTYF~1"],
      ],
    );
    const read = async (path: string) => Buffer.from(valueIn(await volume.read(path))).toString();
    assert.equal(await read("efi/boot/bootx64.efi"), "onetwo");
    assert.equal(await read("ARATHE~1.JSO"), "{}");
    assert.equal(await read("empty.txt"), "");
    assert.deepEqual(valueIn(await volume.list("/empty folder/")), []);
    const [boot] = valueIn(await volume.list("EFI"));
    assert.equal(boot?.writtenSeconds, epochSeconds - 1);
    assert.equal(valueIn(await volume.freeBytes()), planFat(want).freeBytes);
  });
}

test("planFat gives the same bytes for the same input and passes contents on uncopied", () => {
  const contents = new Uint8Array(5000).fill(7);
  const make = () => planFat(wanted([file("a", contents), file("b", contents)]));
  const whole = () => assembleExtents(make().extents, 40 * megabyte);
  assert.ok(Buffer.from(whole()).equals(whole()));
  assert.equal(make().extents.filter(({ bytes }) => bytes === contents).length, 2);
});

test("planFat keeps a second boot sector, two equal tables and a true FSInfo", () => {
  const plan = planFat(wanted(tree));
  const whole = Buffer.from(assembleExtents(plan.extents, 40 * megabyte));
  assert.ok(whole.subarray(0, 1024).equals(whole.subarray(6 * 512, 8 * 512)));
  const { reservedSectors, fatSectors, clusterSectors } = plan.geometry;
  const fat = (n: number) =>
    whole.subarray((reservedSectors + n * fatSectors) * 512).subarray(0, fatSectors * 512);
  assert.ok(fat(0).equals(fat(1)));
  assert.equal(whole.readUInt32LE(512 + 488) * clusterSectors * 512, plan.freeBytes);
  assert.equal(
    (reservedSectors + 2 * fatSectors) % 8,
    0,
    "cluster 2 begins at a multiple of 4 KiB",
  );
});

test("planFat fills a volume to its last cluster and refuses one byte more", async () => {
  const { freeBytes } = planFat(wanted([]));
  const full = wanted([file("full", new Uint8Array(freeBytes).fill(5))]);
  const volume = await volumeWith(full);
  assert.equal(valueIn(await volume.freeBytes()), 0);
  assert.equal(valueIn(await volume.read("full")).at(-1), 5);
  assert.throws(
    () => planFat(wanted([file("full", new Uint8Array(freeBytes + 1))])),
    (error: unknown) => error instanceof DiskError && error.code === "does-not-fit",
  );
});

test("planFat refuses names that FAT cannot hold", () => {
  const names = ["", ".", "..", "a/b", "a:b", 'a"b', "a\tb", "end.", "end ", "x".repeat(256)];
  for (const name of names) {
    assert.throws(
      () => planFat(wanted([directory("d", file(name))])),
      (error: unknown) => error instanceof DiskError && error.code === "name",
      JSON.stringify(name),
    );
  }
  assert.throws(() => planFat(wanted([file("Readme"), file("README")])), DiskError);
});

test("planFat refuses more entries than FAT16's root has", () => {
  const files = (count: number) => Array.from({ length: count }, (_, i) => file(`F${i}`));
  const small = { sizeBytes: 20 * megabyte };
  planFat(wanted(files(511), small));
  assert.throws(() => planFat(wanted(files(512), small)), DiskError);
  assert.throws(() => planFat(wanted([directory("D", ...files(65535))])), DiskError);
});

test("fatSize is the least size in MiB that has the free space", () => {
  for (const sectorSizeBytes of [512, 4096] as const) {
    for (const [contentBytes, freeBytes] of [
      [0, 0],
      [30 * megabyte, megabyte],
      [33 * megabyte, 0],
      [110 * megabyte, 4 * megabyte],
    ] as const) {
      const root = [directory("EFI", file("X", new Uint8Array(contentBytes)))];
      const sizeBytes = fatSize(root, sectorSizeBytes, freeBytes);
      const plan = planFat(wanted(root, { sizeBytes, sectorSizeBytes }));
      assert.ok(plan.freeBytes >= freeBytes);
      const smaller = { sizeBytes: sizeBytes - megabyte, sectorSizeBytes };
      let left = -1;
      try {
        left = planFat(wanted(root, smaller)).freeBytes;
      } catch (error) {
        assert.ok(error instanceof DiskError);
      }
      assert.ok(left < freeBytes, `${smaller.sizeBytes} bytes suffice for ${contentBytes}`);
    }
  }
});

test("chooseFatGeometry keeps its distance from the bounds at every size in between", () => {
  for (const sectorSizeBytes of [512, 4096] as const) {
    const scale = sectorSizeBytes / 512;
    for (let sectors = 4400; sectors < 300_000; sectors += 7) {
      const geometry = chooseFatGeometry(sectors * scale * 512, sectorSizeBytes);
      const { kind, clusters, clusterSectors, reservedSectors, fatSectors } = geometry;
      const [min, max] = kind === "fat16" ? [4101, 65508] : [65541, 0x0fff_ffe5];
      assert.ok(clusters >= min && clusters <= max, `${clusters} clusters at ${sectors} sectors`);
      const entryBytes = kind === "fat16" ? 2 : 4;
      assert.ok(fatSectors * sectorSizeBytes >= (clusters + 2) * entryBytes);
      const roots = (geometry.rootEntries * 32) / sectorSizeBytes;
      const used = reservedSectors + 2 * fatSectors + roots + clusters * clusterSectors;
      assert.ok(used <= geometry.sectors && geometry.sectors - used < clusterSectors);
    }
  }
  assert.throws(() => chooseFatGeometry(2 * megabyte, 512), DiskError);
  assert.throws(() => chooseFatGeometry(2 ** 41 + 512, 512), DiskError);
  assert.equal(chooseFatGeometry(40 * 2 ** 30, 512).clusterSectors, 64);
});

test("asShortName and makeShortName follow the specification's rules", () => {
  const shown = (bytes: Uint8Array | undefined) => bytes && String.fromCharCode(...bytes);
  assert.equal(shown(asShortName("BOOTX64.EFI")), "BOOTX64 EFI");
  assert.equal(shown(asShortName("EFI")), "EFI        ");
  for (const name of ["efi", "BOOTAA64X.EFI", "A.JSON", "A B", ".PROFILE", "A.B.C", "Ä", "A."]) {
    assert.equal(asShortName(name), undefined, name);
  }
  const taken = new Set<string>();
  const make = (name: string) => shown(makeShortName(name, taken));
  assert.equal(make("long file name.text"), "LONGFI~1TEX");
  assert.equal(make("long filter.text"), "LONGFI~2TEX");
  for (let i = 3; i < 10; i++) make("long filter.text");
  assert.equal(make("long filter.text"), "LONGF~10TEX");
  assert.equal(make(".config"), "CONFIG~1   ");
  assert.equal(make("ü+.x"), "__~1    X  ");
  assert.equal(make("+"), "_~1        ");
});

test("encodeLongName and shortNameChecksum give what mtools writes", () => {
  // `mcopy longname.with.txt ::` of mtools 4.0.32.
  const short = text("LONGNA~1TXT");
  assert.equal(shortNameChecksum(short), 0xf4);
  const pieces = encodeLongName("longname.with.txt", short).map((piece) =>
    Buffer.from(piece).toString("hex"),
  );
  assert.deepEqual(pieces, [
    "422e0074007800740000000f00f4ffffffffffffffffffffffff0000ffffffff",
    "016c006f006e0067006e000f00f461006d0065002e0077006900000074006800",
  ]);
  assert.equal(encodeLongName("x".repeat(13), short).length, 1);
  assert.equal(encodeLongName("x".repeat(255), short).length, 20);
});

/** Byte offsets in a volume of 40 MiB with `BIG` (3 clusters from 3 on) as its only file. */
const bigPlan = planFat(wanted([file("BIG", new Uint8Array(1200).fill(1))]));
const bigFat = bigPlan.geometry.reservedSectors * 512;
const bigRoot = bigFat + 2 * bigPlan.geometry.fatSectors * 512;
const word = (value: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};
const damages: readonly {
  name: string;
  offsetBytes: number;
  bytes: Uint8Array;
  reason: FatDamageReason;
}[] = [
  { name: "no signature", offsetBytes: 510, bytes: Buffer.of(0), reason: "no-volume" },
  { name: "sector size", offsetBytes: 11, bytes: Buffer.of(0, 0), reason: "no-volume" },
  { name: "cluster size", offsetBytes: 13, bytes: Buffer.of(3), reason: "no-volume" },
  { name: "no FAT", offsetBytes: 16, bytes: Buffer.of(0), reason: "no-volume" },
  { name: "short FAT", offsetBytes: 36, bytes: word(5), reason: "no-volume" },
  { name: "too few clusters", offsetBytes: 32, bytes: word(1000), reason: "no-volume" },
  {
    name: "chain to a cluster that is not there",
    offsetBytes: bigFat + 4 * 4,
    bytes: word(0x0fff_fff0),
    reason: "chain-leaves-volume",
  },
  {
    name: "chain into free space",
    offsetBytes: bigFat + 3 * 4,
    bytes: word(0),
    reason: "chain-leaves-volume",
  },
  {
    name: "chain shorter than its file",
    offsetBytes: bigFat + 3 * 4,
    bytes: word(0x0fff_ffff),
    reason: "chain-ends-early",
  },
  {
    name: "directory whose chain is a loop",
    offsetBytes: bigFat + 2 * 4,
    bytes: word(2),
    reason: "chain-too-long",
  },
  {
    name: "file without clusters",
    offsetBytes: bigRoot + 32 + 26,
    bytes: Buffer.of(0, 0),
    reason: "chain-leaves-volume",
  },
  {
    name: "file larger than asked for",
    offsetBytes: bigRoot + 32 + 28,
    bytes: word(0xffff_ffff),
    reason: "too-large",
  },
];

for (const { name, offsetBytes, bytes, reason } of damages) {
  test(`FatVolume names the damage: ${name}`, async () => {
    assert.ok(bigPlan.geometry.clusterSectors === 1);
    const disk = new MemoryDisk({ sizeBytes: 40 * megabyte });
    await writeExtents(disk, bigPlan.extents);
    await writeExtents(disk, [{ offsetBytes, bytes }]);
    const opened = await openFat(disk);
    const outcome = opened.ok ? await opened.value.read("big") : opened;
    assert.equal(outcome.ok, false);
    assert.equal(!outcome.ok && outcome.damage.reason, reason);
  });
}

test("FatVolume tells apart what is not there, not a file, not a directory", async () => {
  const volume = await volumeWith(wanted(tree));
  const reason = async (outcome: Promise<FatOutcome<unknown>>) => {
    const settled = await outcome;
    return settled.ok ? "none" : settled.damage.reason;
  };
  assert.equal(await reason(volume.read("nothing")), "not-found");
  assert.equal(await reason(volume.read("EFI")), "not-a-file");
  assert.equal(await reason(volume.read("")), "not-a-file");
  assert.equal(await reason(volume.list("empty.txt")), "not-a-directory");
  assert.equal(await reason(volume.list("empty.txt/x")), "not-a-directory");
});

test("openFat reports unreadable sectors, and a device that is too short", async () => {
  const disk = await diskWith(wanted(tree));
  const bad = faultyDisk(disk, { kind: "fail", code: "medium", firstLba: 33, times: 1 });
  const outcome = await valueIn(await openFat(bad)).list("");
  assert.equal(!outcome.ok && outcome.damage.reason, "unreadable");
  const short = await openFat(new MemoryDisk({ sizeBytes: 0 }));
  assert.equal(!short.ok && short.damage.reason, "outside-device");
});

test("openFat and FatVolume stop when aborted", async () => {
  const disk = await diskWith(wanted(tree));
  const volume = valueIn(await openFat(disk));
  const reason = new Error("enough");
  const options = { signal: AbortSignal.abort(reason) };
  const isReason = (error: unknown) => error === reason;
  await assert.rejects(openFat(disk, 0, options), isReason);
  await assert.rejects(volume.list("", options), isReason);
  await assert.rejects(volume.read("EFI/BOOT/BOOTX64.EFI", options), isReason);
  await assert.rejects(volume.freeBytes(options), isReason);
});

test("openFat reads a volume in a partition of a disk with larger blocks", async () => {
  const disk = new MemoryDisk({ sizeBytes: 48 * megabyte, blockSizeBytes: 4096 });
  const extents = planFat(wanted(tree)).extents.map(({ offsetBytes, bytes }) => ({
    offsetBytes: offsetBytes + megabyte + 512,
    bytes,
  }));
  await writeExtents(disk, extents);
  const volume = valueIn(await openFat(disk, megabyte + 512));
  assert.equal(
    Buffer.from(valueIn(await volume.read("EFI/BOOT/BOOTX64.EFI"))).toString(),
    "onetwo",
  );
});

const property = { seed: 20261123, numRuns: 25 };

test("planFat and FatVolume are each other's inverse", async () => {
  const anyName = fc
    .string({ unit: fc.constantFrom(..."abcXYZ019.~ -_+äß漢"), minLength: 1, maxLength: 30 })
    .filter((name) => !/[. ]$/.test(name));
  const anyFile = fc.record({
    name: anyName,
    chunks: fc.array(fc.uint8Array({ maxLength: 3000 }), { maxLength: 3 }),
  });
  const folder = fc.uniqueArray(anyFile, {
    maxLength: 40,
    selector: ({ name }) => name.toUpperCase(),
  });
  await fc.assert(
    fc.asyncProperty(
      folder,
      folder,
      fc.constantFrom<SectorSize>(512, 4096),
      async (top, below, sectorSizeBytes) => {
        const folderName = "zz folder";
        const root = [
          directory(folderName, ...below.map(({ name, chunks }) => file(name, ...chunks))),
          ...top.map(({ name, chunks }) => file(name, ...chunks)),
        ];
        const volume = await volumeWith(wanted(root, { sectorSizeBytes }));
        for (const [path, files] of [
          ["", top],
          [folderName, below],
        ] as const) {
          const listed = valueIn(await volume.list(path)).filter(({ type }) => type === "file");
          assert.deepEqual(
            listed.map(({ name }) => name),
            files.map(({ name }) => name),
          );
          for (const { name, chunks } of files) {
            const read = valueIn(await volume.read(`${path}/${name}`));
            assert.ok(Buffer.concat(chunks).equals(read), name);
          }
        }
      },
    ),
    property,
  );
});

test("FatVolume.openFile reads any piece of a file in pieces", async () => {
  const content = Uint8Array.from({ length: 5000 }, (_, n) => n * 7);
  const disk = await diskWith(wanted([file("a", content)]));
  const { boot } = valueIn(await openFat(disk));
  const [entry] = valueIn(await valueIn(await openFat(disk)).list(""));
  const first = entry!.firstCluster;
  // Its second cluster is the last one now, and what was in it is there.
  const clusters = Math.ceil(content.byteLength / boot.clusterBytes);
  const order = [0, ...Array.from({ length: clusters - 2 }, (_, n) => n + 2), 1];
  const padded = new Uint8Array(clusters * boot.clusterBytes);
  padded.set(content);
  for (const [place, cluster] of order.entries()) {
    const next = order[place + 1];
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(next === undefined ? 0x0fff_ffff : first + next);
    await writeExtents(disk, [
      { offsetBytes: boot.fatOffset + (first + cluster) * boot.entryBytes, bytes },
      {
        offsetBytes: boot.dataOffset + (first + cluster - 2) * boot.clusterBytes,
        bytes: padded.subarray(place * boot.clusterBytes, (place + 1) * boot.clusterBytes),
      },
    ]);
  }
  const opened = valueIn(await valueIn(await openFat(disk)).openFile("A"));
  assert.equal(opened.sizeBytes, content.byteLength);
  const pieces = fc.tuple(fc.nat(5200), fc.nat(5200));
  await fc.assert(
    fc.asyncProperty(pieces, async ([offset, length]) => {
      const read = Buffer.from(valueIn(await opened.read(offset, length)));
      assert.ok(read.equals(content.subarray(offset, offset + length)));
    }),
    property,
  );
});

test("FatVolume.openFile finds a file that no volume of this size can hold", async () => {
  const disk = await diskWith(wanted([file("A", new Uint8Array(9))]));
  const volume = valueIn(await openFat(disk));
  const raw = new Uint8Array(volume.boot.clusterBytes);
  await disk.read(volume.boot.dataOffset, raw);
  const at = Buffer.from(raw).indexOf("A          ");
  assert(at > 0);
  const size = {
    offsetBytes: volume.boot.dataOffset + at + 28,
    bytes: new Uint8Array(4).fill(0xff),
  };
  await writeExtents(disk, [size]);
  const opened = await valueIn(await openFat(disk)).openFile("a");
  assert.equal(opened.ok ? null : opened.damage.reason, "too-large");
});

test("FatVolume survives any change to its structures", async () => {
  const extents = planFat(wanted(tree)).extents.filter(({ bytes }) => bytes.byteLength > 6);
  const change = fc.tuple(fc.nat(extents.length - 1), fc.nat(511), fc.nat(255));
  await fc.assert(
    fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 12 }), async (changes) => {
      const disk = await diskWith(wanted(tree));
      for (const [extent, at, byte] of changes) {
        const { offsetBytes } = extents[extent]!;
        await writeExtents(disk, [{ offsetBytes: offsetBytes + at, bytes: Uint8Array.of(byte) }]);
      }
      const opened = await openFat(disk);
      if (!opened.ok) return assert.ok(opened.damage.reason);
      const { value: volume } = opened;
      for (const path of ["", "EFI", "EFI/BOOT"]) {
        const listed = await volume.list(path);
        for (const { name } of listed.ok ? listed.value : []) {
          await volume.read(`${path}/${name}`, { bytesMax: megabyte });
        }
      }
    }),
    { ...property, numRuns: 150 },
  );
});
