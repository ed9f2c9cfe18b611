/** Where the parts of a FAT volume lie, and which of FAT16 and FAT32 a size makes it. */

import { paddingOf } from "../../bytes/index.ts";
import { DiskError } from "../error.ts";
import type { SectorSize } from "../gpt.ts";

/** A volume's measures; sectors count from the volume's start. */
export interface FatGeometry {
  readonly kind: "fat16" | "fat32";
  readonly sectorSizeBytes: SectorSize;
  readonly sectors: number;
  readonly clusterSectors: number;
  readonly reservedSectors: number;
  readonly fatSectors: number;
  /** Entries of FAT16's fixed root directory; 0 in FAT32. */
  readonly rootEntries: number;
  /** Clusters of data; they are numbered from 2. */
  readonly clusters: number;
}

/** The kind of a volume is the number of its clusters and nothing else. fatgen103, "FAT type". */
export const clusterBounds = {
  fat16: { min: 4085, max: 65524 },
  fat32: { min: 65525, max: 0x0fff_fff5 },
} as const;

/** The specification asks to stay so far away from the bounds, since others get them wrong. */
const distance = 16;
const fat16RootEntries = 512;
const dataAlignmentBytes = 4096;

/** Byte offset of the first FAT, the root directory of FAT16, and cluster 2. */
export function fatOffsets(geometry: FatGeometry): {
  readonly fat: number;
  readonly secondFat: number;
  readonly root: number;
  readonly data: number;
} {
  const { sectorSizeBytes, reservedSectors, fatSectors } = geometry;
  const fat = reservedSectors * sectorSizeBytes;
  const secondFat = fat + fatSectors * sectorSizeBytes;
  const root = secondFat + fatSectors * sectorSizeBytes;
  return { fat, secondFat, root, data: root + geometry.rootEntries * 32 };
}

/** Bytes of one cluster. */
export function clusterBytes(geometry: FatGeometry): number {
  return geometry.clusterSectors * geometry.sectorSizeBytes;
}

/**
 * Chooses kind and cluster size for a volume of `sizeBytes`: FAT32 wherever the size gives it
 * enough clusters, with the largest clusters up to 4 KiB (larger only for large volumes, as the
 * specification's table has it), else FAT16.
 * @throws DiskError `does-not-fit` below about 2 MiB (16 MiB with sectors of 4096 bytes), where
 *   only FAT12 would be left, and above 2 TiB (16 TiB).
 */
export function chooseFatGeometry(sizeBytes: number, sectorSizeBytes: SectorSize): FatGeometry {
  const sectors = Math.floor(sizeBytes / sectorSizeBytes);
  if (sectors <= 0xffff_ffff) {
    for (let bytes = largestCluster(sizeBytes); bytes >= sectorSizeBytes; bytes /= 2) {
      const found = measure("fat32", sectors, sectorSizeBytes, bytes / sectorSizeBytes);
      if (found) return found;
    }
    for (let clusterSectors = 1; clusterSectors <= 8; clusterSectors *= 2) {
      const found = measure("fat16", sectors, sectorSizeBytes, clusterSectors);
      if (found) return found;
    }
  }
  throw new DiskError(
    "does-not-fit",
    `Cannot make a FAT volume of ${sizeBytes} bytes in sectors of ${sectorSizeBytes}: ` +
      `it would be too ${sectors > 0xffff ? "large" : "small"}. Choose another size.`,
    { sizeBytes, sectorSizeBytes },
  );
}

function largestCluster(sizeBytes: number): number {
  const gibibyte = 2 ** 30;
  if (sizeBytes > 32 * gibibyte) return 32768;
  if (sizeBytes > 16 * gibibyte) return 16384;
  return sizeBytes > 8 * gibibyte ? 8192 : 4096;
}

/** The measures with these clusters, or `undefined` when they would be too few or too many. */
function measure(
  kind: FatGeometry["kind"],
  sectors: number,
  sectorSizeBytes: SectorSize,
  clusterSectors: number,
): FatGeometry | undefined {
  const rootEntries = kind === "fat16" ? fat16RootEntries : 0;
  const rootSectors = (rootEntries * 32) / sectorSizeBytes;
  const entryBytes = kind === "fat16" ? 2 : 4;
  const leastReserved = kind === "fat16" ? 1 : 32;
  // An upper bound of the clusters sizes the tables: at most a few sectors more than needed.
  const most = Math.floor((sectors - leastReserved - rootSectors) / clusterSectors);
  const fatSectors = Math.ceil(((most + 2) * entryBytes) / sectorSizeBytes);
  const alignment = Math.max(dataAlignmentBytes / sectorSizeBytes, 1);
  const before = leastReserved + 2 * fatSectors + rootSectors;
  const reservedSectors = leastReserved + paddingOf(before, alignment);
  const data = sectors - reservedSectors - 2 * fatSectors - rootSectors;
  const clusters = Math.floor(data / clusterSectors);
  const { min, max } = clusterBounds[kind];
  if (clusters < min + distance || clusters > max - distance) return undefined;
  return {
    kind,
    sectorSizeBytes,
    sectors,
    clusterSectors,
    reservedSectors,
    fatSectors,
    rootEntries,
    clusters,
  };
}
