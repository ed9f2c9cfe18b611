/**
 * Disks with one superblock each, put together by hand: what tests judge the probes by where the
 * real tools need a kernel or are not free.
 *
 * Sources: those of `members.ts`, `zfs.ts`, `windows.ts`, `apfs.ts`, `linux.ts` and `swap.ts`.
 */

import { crc32 } from "node:zlib";
import type { Extent } from "../extent.ts";
import type { Signature } from "../signatures/signature.ts";
import { be, fletcher64, le, overlay, put, utf16, uuidBytes, wordSum } from "./sample-bytes.ts";

/** A disk and what is on it. */
export interface DiskSample {
  readonly name: string;
  readonly sizeBytes: number;
  readonly extents: readonly Extent[];
  /** What must be found first. */
  readonly signature: Signature;
  /** The line for the disk. */
  readonly contents: string;
  /** Whether every blkid since util-linux 2.38 knows it. */
  readonly isKnownToBlkid: boolean;
}

const megabyte = 1024 * 1024;
const uuid = "12345678-9abc-4def-8123-456789abcdef";
const memberUuid = "fedcba98-7654-4321-8fed-cba987654321";

function raid1(version: string, offsetBytes: number): DiskSample {
  const dataSectors = 8192;
  const fields = [
    put(0, le(0xa92b4efc, 4), le(1, 4)),
    put(16, uuidBytes(uuid), "box:0"),
    put(72, le(1, 4)),
    put(80, le(dataSectors, 8), le(0, 4), le(0, 4), le(2, 4)),
    put(128, le(2048, 8), le(dataSectors, 8), le(offsetBytes / 512, 8)),
    put(168, uuidBytes(memberUuid)),
    put(220, le(2, 4)),
    put(256, le(0, 2), le(1, 2)),
  ];
  const sum = wordSum(overlay(fields, 260));
  const whole = overlay([...fields, put(216, le(sum, 4))], 260);
  return {
    name: `mdraid ${version}`,
    sizeBytes: 16 * megabyte,
    extents: [put(offsetBytes, whole)],
    signature: {
      kind: "linux_raid_member",
      offsetBytes,
      version,
      label: "box:0",
      uuid,
      memberUuid,
      group: "box:0",
      level: "raid1",
      sizeBytes: dataSectors * 512,
    },
    contents: 'RAID1 member of "box:0"',
    isKnownToBlkid: true,
  };
}

function raid090(): DiskSample {
  const word = (index: number) =>
    Number.parseInt(
      uuid
        .replaceAll("-", "")
        .slice(8 * index)
        .slice(0, 8),
      16,
    );
  const fields = [
    put(0, le(0xa92b4efc, 4), le(0, 4), le(90, 4), le(0, 4), le(0, 4), le(word(0), 4)),
    put(28, le(5, 4), le(15 * 1024, 4), le(3, 4), le(3, 4), le(0, 4), le(0, 4)),
    put(52, le(word(1), 4), le(word(2), 4), le(word(3), 4)),
  ];
  const sum = wordSum(overlay(fields, 4096));
  const offsetBytes = 16 * megabyte - 65536;
  return {
    name: "mdraid 0.90",
    sizeBytes: 16 * megabyte,
    extents: [put(offsetBytes, overlay([...fields, put(152, le(sum, 4))], 4096))],
    signature: {
      kind: "linux_raid_member",
      offsetBytes,
      version: "0.90.0",
      uuid,
      level: "raid5",
      sizeBytes: 15 * megabyte,
    },
    contents: "RAID5 member",
    isKnownToBlkid: true,
  };
}

function lvm(): DiskSample {
  const pv = "abcdefABCDEFghijklGHIJKLmnop0123";
  const body = overlay(
    [
      put(0, le(32, 4), "LVM2 001", pv, le(16 * megabyte, 8)),
      put(52, le(megabyte, 8), le(0, 8), le(0, 16), le(4096, 8), le(megabyte - 4096, 8)),
    ],
    492,
  );
  // LVM2's CRC begins with a number of its own and is not inverted at its end.
  const crc = ~crc32(body, ~0xf597a6cf >>> 0) >>> 0;
  return {
    name: "LVM2",
    sizeBytes: 16 * megabyte,
    extents: [
      put(512, "LABELONE", le(1, 8), le(crc, 4), body),
      put(4096, le(0, 4), " LVM2 x[5A%r0N*>", le(1, 4), le(4096, 8), le(megabyte - 4096, 8)),
      put(4096 + 40, le(512, 8), le(100, 8)),
      put(4096 + 512, "vg0 {\nid = "),
    ],
    signature: {
      kind: "LVM2_member",
      offsetBytes: 512,
      version: "LVM2 001",
      uuid: "abcdef-ABCD-EFgh-ijkl-GHIJ-KLmn-op0123",
      group: "vg0",
      sizeBytes: 16 * megabyte,
    },
    contents: 'LVM: PV of "vg0"',
    isKnownToBlkid: true,
  };
}

/** A pair of a ZFS list; a number as 8, a text as 9. */
function pair(name: string, value: bigint | string): Uint8Array {
  const padded = (text: string) => {
    const bytes = Buffer.from(text);
    return Buffer.concat([be(bytes.byteLength, 4), bytes, Buffer.alloc(-bytes.byteLength & 3)]);
  };
  const kind = typeof value === "string" ? 9 : 8;
  const coded = typeof value === "string" ? padded(value) : be(value, 8);
  const rest = Buffer.concat([padded(name), be(kind, 4), be(1, 4), coded]);
  return Buffer.concat([be(rest.byteLength + 8, 4), be(64, 4), rest]);
}

function zfs(): DiskSample {
  const label = (start: number) => [
    put(
      start + 16384,
      ...[Uint8Array.of(1, 1, 0, 0), be(0, 4), be(1, 4), pair("version", 5000n)],
      ...[pair("name", "tank"), pair("pool_guid", 1234567890123456789n)],
      ...[pair("guid", 987654321n), be(0, 8)],
    ),
    ...Array.from({ length: 8 }, (_, index) =>
      put(start + 131072 + index * 1024, le(0x00bab10c, 8), le(5000, 8), le(index + 1, 8)),
    ),
  ];
  return {
    name: "ZFS",
    sizeBytes: 64 * megabyte,
    extents: [0, 262144].flatMap(label),
    signature: {
      kind: "zfs_member",
      offsetBytes: 16384,
      version: "5000",
      label: "tank",
      uuid: "1234567890123456789",
      memberUuid: "987654321",
      group: "tank",
    },
    contents: 'ZFS: pool "tank"',
    isKnownToBlkid: true,
  };
}

const bitlockerGuid = "3bd66749292ed84a8399f6a339e3d001";

function bitlocker(isRemovable: boolean): DiskSample {
  const guid = Buffer.from(bitlockerGuid, "hex");
  const start = isRemovable
    ? [put(0, Uint8Array.of(0xeb, 0x58, 0x90), "MSWIN4.1"), put(424, guid, le(megabyte, 8))]
    : [put(0, Uint8Array.of(0xeb, 0x58, 0x90), "-FVE-FS-"), put(160, guid, le(megabyte, 8))];
  return {
    name: isRemovable ? "BitLocker To Go" : "BitLocker",
    sizeBytes: 16 * megabyte,
    extents: [
      ...start,
      put(11, le(512, 2), le(8, 1), le(32, 2)),
      put(510, le(0xaa55, 2)),
      put(megabyte, "-FVE-FS-", le(64, 2), le(2, 2)),
    ],
    signature: { kind: "BitLocker", offsetBytes: 0 },
    contents: "BitLocker",
    isKnownToBlkid: true,
  };
}

function apfs(): DiskSample {
  const fields = [
    put(8, le(1, 8), le(7, 8), le(1, 2), le(0x8000, 2)),
    put(32, "NXSB", le(4096, 4), le(4096, 8)),
    put(72, uuidBytes(uuid)),
  ];
  const sum = fletcher64(overlay(fields, 4096));
  return {
    name: "APFS",
    sizeBytes: 16 * megabyte,
    extents: [put(0, overlay([...fields, put(0, le(sum, 8))], 4096))],
    signature: { kind: "apfs", offsetBytes: 0, uuid, sizeBytes: 16 * megabyte },
    contents: "whole-disk APFS",
    isKnownToBlkid: true,
  };
}

function bcachefs(): DiskSample {
  return {
    name: "bcachefs",
    sizeBytes: 16 * megabyte,
    extents: [
      put(4096 + 16, le(1024, 2), le(1024, 2)),
      put(4096 + 24, uuidBytes("c68573f6-66ce-90a9-d96a-60cf803df7ef"), uuidBytes(memberUuid)),
      put(4096 + 56, uuidBytes(uuid), "data"),
    ],
    signature: { kind: "bcachefs", offsetBytes: 4096, label: "data", uuid },
    contents: 'whole-disk bcachefs "data"',
    isKnownToBlkid: false,
  };
}

function bcache(): DiskSample {
  const magic = uuidBytes("c68573f6-4e1a-45ca-8265-f57f48ba6d81");
  return {
    name: "bcache",
    sizeBytes: 16 * megabyte,
    extents: [put(4096 + 8, le(8, 8), le(1, 8), magic, uuidBytes(uuid))],
    signature: { kind: "bcache", offsetBytes: 4096, uuid },
    contents: "bcache",
    isKnownToBlkid: false,
  };
}

function integrity(): DiskSample {
  return {
    name: "dm-integrity",
    sizeBytes: 16 * megabyte,
    extents: [put(0, "integrt\0", le(4, 1), le(15, 1), le(4, 2), le(8, 4), le(20000, 8))],
    signature: {
      kind: "DM_integrity",
      offsetBytes: 0,
      version: "4",
      sizeBytes: 20000 * 512,
    },
    contents: "dm-integrity",
    isKnownToBlkid: true,
  };
}

function hibernation(): DiskSample {
  return {
    name: "hibernation image",
    sizeBytes: 16 * megabyte,
    extents: [
      put(1024, le(1, 4), le(4095, 4), le(0, 4), uuidBytes(uuid), "sw"),
      put(4086, "S1SUSPEND\0"),
    ],
    signature: {
      kind: "swsuspend",
      offsetBytes: 4086,
      version: "1",
      label: "sw",
      uuid,
      sizeBytes: 16 * megabyte,
    },
    contents: 'whole-disk hibernation image "sw"',
    isKnownToBlkid: true,
  };
}

function ntfs(): DiskSample {
  const record = 4 * 4096 + 3 * 1024;
  return {
    name: "NTFS whose label crosses a sector",
    sizeBytes: 16 * megabyte,
    extents: [
      put(0, Uint8Array.of(0xeb, 0x52, 0x90), "NTFS    ", le(512, 2), le(8, 1)),
      put(21, le(0xf8, 1)),
      put(40, le(32767, 8), le(4, 8), le(2, 8), le(0xf6, 4), le(1, 4), le(0x1122334455667788n, 8)),
      put(510, le(0xaa55, 2)),
      put(4 * 4096, "FILE"),
      // Three fixups: the number that stands at each sector's end, and what belongs there.
      put(record, "FILE", le(48, 2), le(3, 2)),
      put(record + 20, le(464, 2)),
      put(record + 48, le(0x5555, 2), utf16("r"), le(0, 2)),
      put(record + 464, le(0x60, 4), le(64, 4), le(0, 8), le(30, 4), le(24, 2)),
      put(record + 488, utf16("System Rese-ved")),
      put(record + 510, le(0x5555, 2)),
      put(record + 512, utf16("ved")),
      put(record + 528, le(0xffffffff, 4)),
    ],
    signature: {
      kind: "ntfs",
      offsetBytes: 0,
      label: "System Reserved",
      uuid: "1122334455667788",
      sizeBytes: 32767 * 512,
    },
    contents: 'whole-disk NTFS "System Reserved"',
    isKnownToBlkid: false,
  };
}

/** All samples. */
export const diskSamples: readonly DiskSample[] = [
  raid1("1.0", 16 * megabyte - 8192),
  raid1("1.1", 0),
  raid1("1.2", 4096),
  raid090(),
  lvm(),
  zfs(),
  bitlocker(false),
  bitlocker(true),
  apfs(),
  bcachefs(),
  bcache(),
  integrity(),
  hibernation(),
  ntfs(),
];
