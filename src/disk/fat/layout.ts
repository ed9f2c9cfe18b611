/**
 * The structures of FAT16 and FAT32.
 *
 * Microsoft FAT specification 1.03 ("fatgen103"), which UEFI 2.10 section 13.3 builds on.
 */

import {
  ascii,
  bits,
  bytes,
  flag,
  layout,
  repeat,
  reserved,
  u8,
  u16le,
  u32le,
} from "../../bytes/index.ts";

/** What both kinds of boot sector begin with. */
export const biosParameters = layout("FAT BIOS parameter block", 36, {
  jump: bytes(3),
  oemName: ascii(8, " "),
  sectorSizeBytes: u16le,
  clusterSectors: u8,
  reservedSectors: u16le,
  fatCount: u8,
  /** Entries of the fixed root directory; 0 in FAT32. */
  rootEntries: u16le,
  /** 0 when it stands in `sectors32`. */
  sectors16: u16le,
  media: u8,
  /** 0 in FAT32. */
  fatSectors16: u16le,
  trackSectors: u16le,
  heads: u16le,
  /** Sectors of the disk before the volume. */
  hiddenSectors: u32le,
  sectors32: u32le,
});

/** Ends both kinds of boot sector. */
const extendedBoot = layout("FAT extended boot record", 26, {
  driveNumber: u8,
  reserved1: reserved(1),
  bootSignature: u8,
  volumeId: u32le,
  label: ascii(11, " "),
  typeName: ascii(8, " "),
});

/** Boot sector of FAT16, its first 512 bytes. */
export const fat16Boot = layout("FAT16 boot sector", 512, {
  bios: biosParameters,
  extended: extendedBoot,
  bootCode: bytes(448),
  signature: u16le,
});

/** Boot sector of FAT32, its first 512 bytes. */
export const fat32Boot = layout("FAT32 boot sector", 512, {
  bios: biosParameters,
  fatSectors32: u32le,
  /** 0: all FATs are kept alike. */
  flags: u16le,
  version: u16le,
  rootCluster: u32le,
  infoSector: u16le,
  backupSector: u16le,
  reserved52: reserved(12),
  extended: extendedBoot,
  bootCode: bytes(420),
  signature: u16le,
});

/** Free space as FAT32 remembers it; a hint only. */
export const fsInfo = layout("FAT32 FSInfo", 512, {
  lead: u32le,
  reserved4: reserved(480),
  structure: u32le,
  freeClusters: u32le,
  nextFree: u32le,
  reserved496: reserved(12),
  trail: u32le,
});

/** The fixed words of the structures above. */
export const fatMarks = {
  boot: 0xaa55,
  extendedBoot: 0x29,
  infoLead: 0x4161_5252,
  infoStructure: 0x6141_7272,
  infoTrail: 0xaa55_0000,
  mediaFixed: 0xf8,
} as const;

/** A cluster's entry in a FAT32 table. */
export const fat32Entry = bits(4, { next: 28, reserved28: 4 });

/** Bits of an entry's attribute byte; all four lowest set mark a piece of a long name. */
export const attributes = bits(1, {
  readOnly: flag,
  hidden: flag,
  system: flag,
  volumeLabel: flag,
  directory: flag,
  archive: flag,
  reserved6: 2,
});

const time = bits(2, { twoSeconds: 5, minutes: 6, hours: 5 });
const date = bits(2, { day: 5, month: 4, yearsSince1980: 7 });

/** A file, directory or label in a directory. */
export const directoryEntry = layout("FAT directory entry", 32, {
  name: bytes(11),
  attributes,
  /** Windows' lower-case flags. */
  caseFlags: bits(1, { reserved0: 3, lowerBase: flag, lowerExtension: flag, reserved5: 3 }),
  createdHundredths: u8,
  createdTime: time,
  createdDate: date,
  accessedDate: date,
  clusterHigh: u16le,
  writtenTime: time,
  writtenDate: date,
  clusterLow: u16le,
  sizeBytes: u32le,
});

/** 13 units of a long name; they stand before their entry, last piece first. */
export const longNameEntry = layout("FAT long name entry", 32, {
  order: bits(1, { index: 6, last: flag, reserved7: 1 }),
  units1: repeat(u16le, 5),
  attributes,
  kind: u8,
  checksum: u8,
  units2: repeat(u16le, 6),
  cluster: u16le,
  units3: repeat(u16le, 2),
});
