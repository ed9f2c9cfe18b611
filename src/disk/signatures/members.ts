/**
 * Members of sets: Linux software RAID and LVM2.
 *
 * Sources: Linux's include/uapi/linux/raid/md_p.h; LVM2's lib/format_text/layout.h and
 * lib/label/label.h.
 */

import {
  ascii,
  bytes,
  type LayoutValue,
  layout,
  repeat,
  reserved,
  u32le,
  u64le,
  viewOf,
} from "../../bytes/index.ts";
import { text, uuid } from "./fields.ts";
import type { Region } from "./region.ts";
import { superblock } from "./signature.ts";

const raidMagic = 0xa92b_4efc;

const raid1Layout = layout("md superblock 1", 256, {
  magic: u32le,
  major: u32le,
  reserved8: reserved(8),
  setUuid: uuid,
  setName: text(32),
  reserved64: reserved(8),
  level: u32le,
  reserved76: reserved(52),
  dataOffset: u64le,
  dataSectors: u64le,
  /** Of this superblock, in sectors. */
  place: u64le,
  reserved152: reserved(16),
  deviceUuid: uuid,
  reserved184: reserved(72),
});

const levels: Readonly<Record<number, string>> = {
  0: "raid0",
  1: "raid1",
  4: "raid4",
  5: "raid5",
  6: "raid6",
  10: "raid10",
  4294967292: "multipath",
  4294967295: "linear",
};

/** Superblock 1.0 lies at the end, in the sector that this gives; from Linux's super_1_load. */
function raidEndSector(sizeBytes: number): number {
  const sectors = Math.floor(sizeBytes / 512) - 16;
  return sectors - (sectors % 8);
}

/** Members with superblock 1.0, 1.1 and 1.2, which differ in where it lies. */
export const raid1 = superblock({
  layout: raid1Layout,
  places: (sizeBytes) => [0, 4096, raidEndSector(sizeBytes) * 512],
  read: ({ magic, major, place, ...found }, _, offsetBytes) => {
    const isPlaced = place === BigInt(offsetBytes / 512);
    if (magic !== raidMagic || major !== 1 || !isPlaced) return undefined;
    return {
      kind: "linux_raid_member",
      version: offsetBytes === 0 ? "1.1" : offsetBytes === 4096 ? "1.2" : "1.0",
      label: found.setName,
      group: found.setName,
      uuid: found.setUuid,
      memberUuid: found.deviceUuid,
      level: levels[found.level],
      sizeBytes: found.dataSectors * 512n,
    };
  },
});

const raid0Layout = layout("md superblock 0.90", 64, {
  magic: u32le,
  major: u32le,
  minor: u32le,
  reserved12: reserved(8),
  uuid0: u32le,
  reserved24: reserved(4),
  level: u32le,
  /** Of one member's data, in KiB. */
  sizeKiB: u32le,
  reserved36: reserved(16),
  uuid1: u32le,
  uuid2: u32le,
  uuid3: u32le,
});

const raid0Step = 64 * 1024;

/** Members with superblock 0.90, in the last whole 64 KiB but one. */
export const raid0 = superblock({
  layout: raid0Layout,
  places: (sizeBytes) => [sizeBytes - (sizeBytes % raid0Step) - raid0Step],
  read: ({ magic, major, minor, uuid0, uuid1, uuid2, uuid3, level, sizeKiB }) => {
    if (magic !== raidMagic || major !== 0 || minor !== 90) return undefined;
    const hex = [uuid0, uuid1, uuid2, uuid3].map((part) => part.toString(16).padStart(8, "0"));
    return {
      kind: "linux_raid_member",
      version: "0.90.0",
      uuid: hex.join("").replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5"),
      level: levels[level],
      sizeBytes: sizeKiB * 1024,
    };
  },
});

const sectorBytes = 512;

const labelLayout = layout("LVM2 label", 32, {
  magic: ascii(8, "\0"),
  sector: u64le,
  crc: u32le,
  /** Of the PV header, from the label. */
  headerBytes: u32le,
  type: ascii(8, "\0"),
});

const areaLayout = layout("LVM2 area", 16, { placeBytes: u64le, sizeBytes: u64le });
const areasMax = 8;

/** Data areas, an empty one, metadata areas, an empty one. */
const headerLayout = layout("LVM2 PV header", 168, {
  uuid: ascii(32, "\0"),
  deviceBytes: u64le,
  areas: repeat(areaLayout, areasMax),
});

const metadataLayout = layout("LVM2 metadata area header", 64, {
  crc: u32le,
  magic: bytes(16),
  version: u32le,
  placeBytes: u64le,
  sizeBytes: u64le,
  /** Of the newest text, from the area's start. */
  textBytes: u64le,
  textLength: u64le,
  reserved56: reserved(8),
});

const metadataMagic = Buffer.from(" LVM2 x[5A%r0N*>", "latin1");

/** Physical volumes of LVM2. */
export const lvm = superblock({
  layout: labelLayout,
  places: () => [0, 1, 2, 3].map((sector) => sector * sectorBytes),
  read: async ({ magic, sector, headerBytes, type }, region, offsetBytes) => {
    const isPlaced = sector === BigInt(offsetBytes / sectorBytes);
    if (magic !== "LABELONE" || type !== "LVM2 001" || !isPlaced) return undefined;
    if (headerBytes > sectorBytes) return undefined;
    const bytes = await region.read(offsetBytes + headerBytes, headerLayout.size);
    if (!bytes) return undefined;
    const header = headerLayout.decode(bytes);
    return {
      kind: "LVM2_member",
      version: type,
      uuid: header.uuid.replace(
        /^(.{6})(.{4})(.{4})(.{4})(.{4})(.{4})(.{6})$/,
        "$1-$2-$3-$4-$5-$6-$7",
      ),
      group: await groupName(region, header),
      sizeBytes: header.deviceBytes,
    };
  },
});

/** The name of the volume group: the first word of the metadata. */
async function groupName(
  region: Region,
  { areas }: LayoutValue<typeof headerLayout>,
): Promise<string | undefined> {
  const dataEnd = areas.findIndex(({ placeBytes }) => placeBytes === 0n);
  const area = areas[dataEnd + 1];
  if (dataEnd < 0 || !area || area.placeBytes === 0n) return undefined;
  const start = Number(area.placeBytes);
  const bytes = await region.read(start, metadataLayout.size);
  const metadata = bytes && metadataLayout.decode(bytes);
  if (!metadata || !metadataMagic.equals(metadata.magic)) return undefined;
  if (metadata.textBytes === 0n) return undefined;
  const words = await region.read(start + Number(metadata.textBytes), sectorBytes);
  return (
    words && /^([A-Za-z0-9+_.-]{1,127}) \{/.exec(text(sectorBytes).read(viewOf(words), 0))?.[1]
  );
}
