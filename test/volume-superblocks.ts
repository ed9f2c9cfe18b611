/**
 * Members of volumes whose tools want block devices and a kernel driver, made by hand instead.
 * Sources: LVM2's lib/format_text/layout.h and lib/misc/crc.c; Linux include/uapi/linux/raid/md_p.h.
 */

import { crc32 } from "node:zlib";
import { ascii, bytes, layout, repeat, reserved, u16le, u32le, u64le } from "../src/bytes/index.ts";

const sectorBytes = 512;

const areaLocation = layout("LVM2 area location", 16, { offset: u64le, size: u64le });

const label = layout("LVM2 label and physical volume header", 136, {
  id: ascii(8, "\0"),
  sector: u64le,
  crc: u32le,
  offset: u32le,
  type: ascii(8, "\0"),
  uuid: ascii(32, "\0"),
  deviceSize: u64le,
  dataAreas: repeat(areaLocation, 2),
  metadataAreas: repeat(areaLocation, 2),
});

const metadataHeader = layout("LVM2 metadata area header", 64, {
  crc: u32le,
  magic: ascii(16, "\0"),
  version: u32le,
  start: u64le,
  size: u64le,
  textOffset: u64le,
  textSize: u64le,
  textCrc: u32le,
  textFlags: u32le,
});

const labelSector = 1;
const metadataStart = 4096;
const dataStart = 1024 * 1024;
const extentBytes = 4 * 1024 * 1024;

/** LVM's own: CRC-32 that begins with this instead of all ones, and is not inverted at the end. */
const crcStart = 0xf597a6cf;
function lvmCrc(data: Uint8Array): number {
  return ~crc32(data, ~crcStart >>> 0) >>> 0;
}

/** LVM writes the dashes of these in text, and leaves them out in the header. */
const volumeGroupId = "Vg0AAA-bbbb-cccc-dddd-eeee-ffff-000001";
const physicalVolumeId = "Pv0AAA-bbbb-cccc-dddd-eeee-ffff-000002";
const logicalVolumeId = "Lv0AAA-bbbb-cccc-dddd-eeee-ffff-000003";

/** The first mebibyte of a disk that is an LVM2 physical volume with one logical volume on it. */
export function lvmMember(diskBytes: number): Uint8Array {
  const image = new Uint8Array(dataStart);
  const text = new TextEncoder().encode(`${volumeGroupText(diskBytes)}\0`);
  const header = {
    crc: 0,
    magic: " LVM2 x[5A%r0N*>",
    version: 1,
    start: BigInt(metadataStart),
    size: BigInt(dataStart - metadataStart),
    textOffset: BigInt(sectorBytes),
    textSize: BigInt(text.length),
    textCrc: lvmCrc(text),
    textFlags: 0,
  };
  image.set(text, metadataStart + sectorBytes);
  metadataHeader.encodeInto(header, image, metadataStart);
  const metadata = image.subarray(metadataStart + 4, metadataStart + sectorBytes);
  metadataHeader.encodeInto({ ...header, crc: lvmCrc(metadata) }, image, metadataStart);

  const none = { offset: 0n, size: 0n };
  const at = labelSector * sectorBytes;
  const values = {
    id: "LABELONE",
    sector: BigInt(labelSector),
    crc: 0,
    offset: 32,
    type: "LVM2 001",
    uuid: physicalVolumeId.replaceAll("-", ""),
    deviceSize: BigInt(diskBytes),
    dataAreas: [{ offset: BigInt(dataStart), size: 0n }, none],
    metadataAreas: [{ offset: BigInt(metadataStart), size: header.size }, none],
  };
  label.encodeInto(values, image, at);
  // From the field after the checksum to the end of the sector.
  const crc = lvmCrc(image.subarray(at + label.offsets.offset!, at + sectorBytes));
  label.encodeInto({ ...values, crc }, image, at);
  return image;
}

function volumeGroupText(diskBytes: number): string {
  const extents = Math.floor((diskBytes - dataStart) / extentBytes);
  return `scratch {
id = "${volumeGroupId}"
seqno = 1
format = "lvm2"
status = ["RESIZEABLE", "READ", "WRITE"]
flags = []
extent_size = ${extentBytes / sectorBytes}
max_lv = 0
max_pv = 0
metadata_copies = 0
physical_volumes {
pv0 {
id = "${physicalVolumeId}"
device = "/dev/vda"
status = ["ALLOCATABLE"]
flags = []
dev_size = ${diskBytes / sectorBytes}
pe_start = ${dataStart / sectorBytes}
pe_count = ${extents}
}
}
logical_volumes {
root {
id = "${logicalVolumeId}"
status = ["READ", "WRITE", "VISIBLE"]
flags = []
creation_time = 1700000000
creation_host = "scratch"
segment_count = 1
segment1 {
start_extent = 0
extent_count = ${extents}
type = "striped"
stripe_count = 1
stripes = ["pv0", 0]
}
}
}
}
contents = "Text Format Volume Group"
version = 1
description = ""
creation_host = "scratch"
creation_time = 1700000000
`;
}

const deviceCount = 2;
const raidSuperblock = layout("md superblock 1.2", 260, {
  magic: u32le,
  majorVersion: u32le,
  featureMap: u32le,
  pad0: reserved(4),
  setUuid: bytes(16),
  setName: ascii(32, "\0"),
  created: u64le,
  level: u32le,
  layout: u32le,
  size: u64le,
  chunkSize: u32le,
  raidDisks: u32le,
  reshape: reserved(32),
  dataOffset: u64le,
  dataSize: u64le,
  superOffset: u64le,
  recoveryOffset: u64le,
  deviceNumber: u32le,
  correctedReads: u32le,
  deviceUuid: bytes(16),
  flagsAndBadBlocks: reserved(8),
  updated: u64le,
  events: u64le,
  resyncOffset: u64le,
  checksum: u32le,
  maxDevices: u32le,
  pad3: reserved(32),
  roles: repeat(u16le, deviceCount),
});
const raidSuperblockStart = 4096;

/** The first 8 KiB of a disk that is the first of two members of a clean RAID 1. */
export function raidMember(diskBytes: number): Uint8Array {
  const image = new Uint8Array(2 * raidSuperblockStart);
  const dataSectors = BigInt((diskBytes - dataStart) / sectorBytes);
  const values = {
    magic: 0xa92b4efc,
    majorVersion: 1,
    featureMap: 0,
    setUuid: new Uint8Array(16).fill(0x5a),
    setName: "scratch:0",
    created: 1_700_000_000n,
    level: 1,
    layout: 0,
    size: dataSectors,
    chunkSize: 0,
    raidDisks: deviceCount,
    dataOffset: BigInt(dataStart / sectorBytes),
    dataSize: dataSectors,
    superOffset: BigInt(raidSuperblockStart / sectorBytes),
    recoveryOffset: 0n,
    deviceNumber: 0,
    correctedReads: 0,
    deviceUuid: new Uint8Array(16).fill(0xa5),
    updated: 1_700_000_000n,
    events: 17n,
    resyncOffset: 0xffff_ffff_ffff_ffffn,
    checksum: 0,
    maxDevices: deviceCount,
    roles: [0, 1],
  };
  const checksum = raidChecksum(raidSuperblock.encode(values));
  raidSuperblock.encodeInto({ ...values, checksum }, image, raidSuperblockStart);
  return image;
}

/** The sum of all words, its carry added to it (`calc_sb_1_csum`). */
function raidChecksum(superblock: Uint8Array): number {
  const words = repeat(u32le, superblock.length / 4);
  const view = new DataView(superblock.buffer);
  const sum = words.read(view, 0).reduce((total, word) => total + word, 0);
  return (sum + Math.floor(sum / 2 ** 32)) % 2 ** 32;
}
