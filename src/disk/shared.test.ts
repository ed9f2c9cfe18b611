import assert from "node:assert/strict";
import { test } from "node:test";
import { MemoryDisk } from "../block/index.ts";
import {
  describeDisk,
  type Extent,
  encodeGpt,
  guidFromHash,
  partitionTypes,
  planGpt,
  sharedIdentifiers,
  shiftExtents,
} from "./index.ts";
import { le, overlay, put, uuidBytes } from "./testing/sample-bytes.ts";
import { diskSamples } from "./testing/samples.ts";

const megabyte = 1024 * 1024;
const sizeBytes = 16 * megabyte;
const guidOf = (seed: number) => guidFromHash(new Uint8Array(32).fill(seed));

async function named(disk: string, extents: readonly Extent[]) {
  const device = new MemoryDisk({ sizeBytes, contents: overlay(extents, sizeBytes) });
  return { disk, description: await describeDisk(device) };
}

const btrfs = (label: string, uuid: string, memberUuid: string): Extent[] => [
  put(65536 + 32, uuidBytes(uuid), le(65536, 8), le(0, 8), "_BHRfS_M"),
  put(65536 + 267, uuidBytes(memberUuid), new Uint8Array(16), label),
];

function system(seed: number, label: string): Extent[] {
  const gpt = planGpt({
    sizeBytes,
    sectorSizeBytes: 512,
    diskGuid: guidOf(seed),
    partitions: [
      {
        typeGuid: partitionTypes.linuxData,
        guid: guidOf(seed + 1),
        name: `root-${seed}`,
        sizeBytes: 4 * megabyte,
      },
    ],
  });
  const { mbr, primary, backup } = encodeGpt(gpt);
  const swap = [
    put(1024, le(1, 4), le(1023, 4), le(0, 4), uuidBytes(guidOf(seed + 2)), label),
    put(4086, "SWAPSPACE2"),
  ];
  return [mbr, ...primary, ...shiftExtents(swap, megabyte), ...backup];
}

test("sharedIdentifiers finds all that two copies of an image share", async () => {
  const disks = [await named("a", system(1, "root")), await named("b", system(1, "root"))];
  const places = [
    { disk: "a", partition: 1 },
    { disk: "b", partition: 1 },
  ];
  assert.deepEqual(sharedIdentifiers(disks), [
    { kind: "disk-id", value: guidOf(1), places: [{ disk: "a" }, { disk: "b" }] },
    { kind: "partition-uuid", value: guidOf(2), places },
    { kind: "partition-name", value: "root-1", places },
    { kind: "filesystem-uuid", value: guidOf(3), places },
    { kind: "filesystem-label", value: "root", places },
  ]);
});

test("sharedIdentifiers finds a label that two different systems boot by, and nothing else", async () => {
  const disks = [await named("a", system(1, "root")), await named("b", system(9, "root"))];
  assert.deepEqual(
    sharedIdentifiers(disks).map(({ kind, value }) => [kind, value]),
    [["filesystem-label", "root"]],
  );
  assert.deepEqual(sharedIdentifiers(disks.slice(0, 1)), []);
  assert.deepEqual(sharedIdentifiers([]), []);
});

test("sharedIdentifiers lets sets lie on several disks, but not one member twice", async () => {
  const first = await named("a", btrfs("pool", guidOf(1), guidOf(2)));
  const second = await named("b", btrfs("pool", guidOf(1), guidOf(3)));
  assert.deepEqual(sharedIdentifiers([first, second]), []);
  const copy = { ...first, disk: "c" };
  assert.deepEqual(
    sharedIdentifiers([first, second, copy]).map(({ kind, value }) => [kind, value]),
    [["filesystem-uuid", guidOf(2)]],
  );
});

test("sharedIdentifiers says nothing about blank disks and empty names", async () => {
  assert.deepEqual(sharedIdentifiers([await named("a", []), await named("b", [])]), []);
  const [raid] = diskSamples.filter(({ name }) => name === "mdraid 0.90");
  const members = [await named("a", raid!.extents), await named("b", raid!.extents)];
  assert.deepEqual(sharedIdentifiers(members), []);
});
