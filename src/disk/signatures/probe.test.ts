import assert from "node:assert/strict";
import { test } from "node:test";
import { MemoryDisk } from "../../block/index.ts";
import { describeDisk } from "../index.ts";
import { overlay, put } from "../testing/sample-bytes.ts";
import { diskSamples } from "../testing/samples.ts";

for (const { name, sizeBytes, extents, signature, contents } of diskSamples) {
  test(`describeDisk recognises ${name}`, async () => {
    const disk = new MemoryDisk({ sizeBytes, contents: overlay(extents, sizeBytes) });
    const found = await describeDisk(disk);
    assert.deepEqual(found.signatures[0], signature);
    assert.equal(found.contents, contents);
  });
}

/** A change after which the sample must not be taken for what it was. */
const spoiled: readonly [sample: string, what: string, offsetBytes: number, ...bytes: number[]][] =
  [
    ["mdraid 1.2", "that says that it lies elsewhere", 4096 + 144, 9],
    ["mdraid 1.1", "of another major version", 4, 2],
    ["mdraid 1.0", "with another magic", 16 * 1024 * 1024 - 8192, 0],
    ["mdraid 0.90", "of another minor version", 16 * 1024 * 1024 - 65536 + 8, 91],
    ["LVM2", "that says that it lies elsewhere", 512 + 8, 2],
    ["LVM2", "of another type", 512 + 24, 0x58],
    ["LVM2", "whose header lies elsewhere", 512 + 20, 0xff, 0xff],
    ["BitLocker", "with another magic", 3, 0],
    ["BitLocker To Go", "with another GUID", 424, 0],
    ["APFS", "of another object type", 24, 2],
    ["APFS", "with impossible blocks", 36, 0, 2],
    ["bcachefs", "with another magic", 4096 + 24, 0],
    ["bcache", "that says that it lies elsewhere", 4096 + 8, 9],
    ["dm-integrity", "of version 0", 8, 0],
    ["hibernation image", "with another magic", 4086, 0x58],
    ["NTFS whose label crosses a sector", "with impossible sectors", 11, 1],
  ];

for (const [name, what, offsetBytes, ...bytes] of spoiled) {
  test(`describeDisk does not recognise ${name} ${what}`, async () => {
    const { sizeBytes, extents, signature } = diskSamples.find((one) => one.name === name)!;
    const contents = overlay([...extents, put(offsetBytes, Uint8Array.from(bytes))], sizeBytes);
    const { signatures } = await describeDisk(new MemoryDisk({ sizeBytes, contents }));
    assert.ok(signatures.every(({ kind }) => kind !== signature.kind));
  });
}

/** What a label loses when the place that it is read from is spoiled; the rest is still found. */
const nameless: readonly [sample: string, offsetBytes: number, ...bytes: number[]][] = [
  ["LVM2", 4096 + 4, 0],
  ["LVM2", 4096 + 41, 0],
  ["LVM2", 4096 + 47, 0xff],
  ["LVM2", 4096 + 512 + 3, 0x2f],
  ["NTFS whose label crosses a sector", 16384 + 3072, 0],
  ["NTFS whose label crosses a sector", 16384 + 3072 + 4, 0xff, 0xff],
  ["NTFS whose label crosses a sector", 16384 + 3072 + 468, 0],
  ["NTFS whose label crosses a sector", 16384 + 3072 + 484, 0xff, 0xff],
  ["NTFS whose label crosses a sector", 64, 0xff],
];

for (const [index, [name, offsetBytes, ...bytes]] of nameless.entries()) {
  test(`describeDisk recognises ${name} without its name (${index})`, async () => {
    const { sizeBytes, extents, signature } = diskSamples.find((one) => one.name === name)!;
    const contents = overlay([...extents, put(offsetBytes, Uint8Array.from(bytes))], sizeBytes);
    const { signatures } = await describeDisk(new MemoryDisk({ sizeBytes, contents }));
    const { label, group, ...rest } = signature;
    assert.ok(label !== undefined || group !== undefined);
    assert.deepEqual(signatures[0], rest);
  });
}
