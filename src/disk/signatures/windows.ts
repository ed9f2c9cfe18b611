/**
 * NTFS, exFAT and BitLocker.
 *
 * Sources: Linux's fs/ntfs3/ntfs.h, Microsoft's exFAT file system specification, libbde's
 * "BitLocker Drive Encryption (BDE) format".
 */

import {
  ascii,
  bytes,
  layout,
  reserved,
  u8,
  u16le,
  u32le,
  u64le,
  viewOf,
} from "../../bytes/index.ts";
import { guid } from "../guid.ts";
import { serialText, text16 } from "./fields.ts";
import type { Region } from "./region.ts";
import { superblock } from "./signature.ts";

const atStart = () => [0];

const ntfsLayout = layout("NTFS boot sector", 512, {
  jump: bytes(3),
  magic: ascii(8, " "),
  sectorSizeBytes: u16le,
  clusterSectors: u8,
  reserved14: reserved(26),
  sectors: u64le,
  mftCluster: u64le,
  mirrorCluster: u64le,
  recordClusters: u8,
  reserved65: reserved(7),
  serial: u64le,
  reserved80: reserved(432),
});

/** NTFS; its label stands in the file `$Volume`. */
export const ntfs = superblock({
  layout: ntfsLayout,
  places: atStart,
  read: async ({ magic, sectorSizeBytes, sectors, serial, mftCluster, ...found }, region) => {
    if (magic !== "NTFS" || ![512, 1024, 2048, 4096].includes(sectorSizeBytes)) return undefined;
    const clusterBytes = scaled(found.clusterSectors, sectorSizeBytes, sectorSizeBytes);
    const recordBytes = scaled(found.recordClusters, clusterBytes, 1);
    const mftBytes = Number(mftCluster) * clusterBytes;
    return {
      kind: "ntfs",
      label: await ntfsLabel(region, mftBytes, recordBytes),
      uuid: serial.toString(16).toUpperCase().padStart(16, "0"),
      sizeBytes: sectors * BigInt(sectorSizeBytes),
    };
  },
});

/** NTFS counts units up to 128; above, 256 less the power of two of smaller units. */
function scaled(count: number, unitBytes: number, smallerBytes: number): number {
  return count <= 128 ? count * unitBytes : 2 ** (256 - count) * smallerBytes;
}

const recordLayout = layout("MFT record", 48, {
  magic: ascii(4, "\0"),
  fixupsAt: u16le,
  fixups: u16le,
  reserved8: reserved(12),
  attributesAt: u16le,
  reserved22: reserved(26),
});
const attributeLayout = layout("MFT attribute", 24, {
  type: u32le,
  lengthBytes: u32le,
  isElsewhere: u8,
  reserved9: reserved(7),
  valueBytes: u32le,
  valueAt: u16le,
  reserved22: reserved(2),
});

const volumeRecord = 3;
const volumeName = 0x60;
const fixupStep = 512;
const labelUnitsMax = 128;

/** The attribute VOLUME_NAME of the file `$Volume`. */
async function ntfsLabel(
  region: Region,
  mftBytes: number,
  recordBytes: number,
): Promise<string | undefined> {
  if (recordBytes < fixupStep || recordBytes > 65536) return undefined;
  const found = await region.read(mftBytes + volumeRecord * recordBytes, recordBytes);
  if (!found) return undefined;
  const record = found.slice();
  const { magic, fixupsAt, fixups, attributesAt } = recordLayout.decode(record);
  if (magic !== "FILE") return undefined;
  // The last two bytes of each 512 are kept in the fixups, after the number that stands there.
  for (let step = 1; step < fixups && step * fixupStep <= recordBytes; step++) {
    const kept = fixupsAt + 2 * step;
    if (kept + 2 > recordBytes) return undefined;
    record.copyWithin(step * fixupStep - 2, kept, kept + 2);
  }
  for (let at = attributesAt; at + attributeLayout.size <= recordBytes; ) {
    const attribute = attributeLayout.decode(record, at);
    const { type, lengthBytes, isElsewhere, valueBytes, valueAt } = attribute;
    if (lengthBytes < attributeLayout.size || type > volumeName) return undefined;
    const units = Math.min(Math.floor(valueBytes / 2), labelUnitsMax);
    const isWhole = at + valueAt + 2 * units <= recordBytes;
    if (type === volumeName && isElsewhere === 0 && isWhole) {
      return text16(units, "le").read(viewOf(record), at + valueAt);
    }
    at += lengthBytes;
  }
  return undefined;
}

const exfatLayout = layout("exFAT boot sector", 512, {
  jump: bytes(3),
  magic: ascii(8, " "),
  zeros: bytes(53),
  reserved64: reserved(8),
  sectors: u64le,
  fatSector: u32le,
  fatSectors: u32le,
  heapSector: u32le,
  clusters: u32le,
  rootCluster: u32le,
  serial: u32le,
  minor: u8,
  major: u8,
  flags: u16le,
  sectorSizeLog: u8,
  clusterSectorsLog: u8,
  reserved110: reserved(400),
  signature: u16le,
});

const exfatLabel = layout("exFAT label entry", 32, {
  type: u8,
  units: u8,
  label: text16(11, "le"),
  reserved24: reserved(8),
});
const labelEntry = 0x83;
const lastEntry = 0;
const directoryBytesMax = 32 * 1024;

/** exFAT; its label stands in the root directory's first cluster, as everyone writes it. */
export const exfat = superblock({
  layout: exfatLayout,
  places: atStart,
  read: async ({ magic, zeros, signature, ...found }, region) => {
    if (magic !== "EXFAT" || signature !== 0xaa55 || zeros.some((byte) => byte !== 0)) {
      return undefined;
    }
    const { sectorSizeLog, clusterSectorsLog, heapSector, rootCluster } = found;
    if (sectorSizeLog < 9 || sectorSizeLog > 12 || clusterSectorsLog > 16) return undefined;
    const sectorBytes = 2 ** sectorSizeLog;
    const clusterBytes = sectorBytes * 2 ** clusterSectorsLog;
    const rootAt = heapSector * sectorBytes + (rootCluster - 2) * clusterBytes;
    const root = await region.read(rootAt, Math.min(clusterBytes, directoryBytesMax));
    return {
      kind: "exfat",
      version: `${found.major}.${found.minor}`,
      label: root && exfatLabelIn(root),
      uuid: serialText(found.serial),
      sizeBytes: found.sectors * BigInt(sectorBytes),
    };
  },
});

function exfatLabelIn(root: Uint8Array): string | undefined {
  for (let at = 0; at + exfatLabel.size <= root.byteLength; at += exfatLabel.size) {
    const { type, units, label } = exfatLabel.decode(root, at);
    if (type === labelEntry) return label.slice(0, units);
    if (type === lastEntry) return undefined;
  }
  return undefined;
}

const bitlockerLayout = layout("BitLocker boot sector", 512, {
  jump: bytes(3),
  magic: ascii(8, "\0"),
  reserved11: reserved(149),
  /** Fixed disks since Windows 7; removable ones have it at 424. */
  fixedGuid: guid,
  reserved176: reserved(248),
  removableGuid: guid,
  reserved440: reserved(72),
});

const bitlockerGuids = [
  "4967d63b-2e29-4ad8-8399-f6a339e3d001",
  // Only the used space is encrypted.
  "92a84d3b-dd80-4d0e-9e4e-b1e3284eaed8",
];

/** BitLocker, on fixed disks and (with a boot sector that looks like FAT) on removable ones. */
export const bitlocker = superblock({
  layout: bitlockerLayout,
  places: atStart,
  read: ({ magic, removableGuid }) => {
    const isRemovable = magic === "MSWIN4.1" && bitlockerGuids.includes(removableGuid);
    return magic === "-FVE-FS-" || isRemovable ? { kind: "BitLocker" } : undefined;
  },
});
