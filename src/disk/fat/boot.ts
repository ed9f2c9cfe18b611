/** A FAT boot sector of any origin, checked, as the measures that a reader needs. */

import { clusterBounds } from "./geometry.ts";
import { biosParameters, fat16Boot, fat32Boot, fatMarks } from "./layout.ts";

/** A volume's measures in bytes from its start, and its names. */
export interface FatBoot {
  readonly kind: "fat16" | "fat32";
  readonly sectorSizeBytes: number;
  /** Of the whole volume. */
  readonly sizeBytes: number;
  readonly clusterBytes: number;
  readonly clusters: number;
  readonly fatOffset: number;
  /** 2 or 4. */
  readonly entryBytes: number;
  /** Table entries from here on end a chain. */
  readonly endMark: number;
  /** FAT16's root directory; in FAT32 0 bytes long, and `rootCluster` is used. */
  readonly rootOffset: number;
  readonly rootBytes: number;
  /** 0 in FAT16. */
  readonly rootCluster: number;
  readonly dataOffset: number;
  readonly volumeId: number;
  readonly label: string;
}

/** Reads the first 512 bytes of a volume; any bytes will do. FAT12 is not read. */
export function decodeFatBoot(sector: Uint8Array): FatBoot | { readonly reason: string } {
  if (sector.byteLength < fat32Boot.size) return { reason: "too short" };
  const wide = fat32Boot.decode(sector);
  const bios = biosParameters.decode(sector);
  if (wide.signature !== fatMarks.boot) return { reason: "no signature 55 AA" };
  const { sectorSizeBytes, clusterSectors, fatCount, reservedSectors } = bios;
  if (![512, 1024, 2048, 4096].includes(sectorSizeBytes)) {
    return { reason: `sectors of ${sectorSizeBytes} bytes` };
  }
  if (clusterSectors === 0 || !Number.isInteger(Math.log2(clusterSectors))) {
    return { reason: `clusters of ${clusterSectors} sectors` };
  }
  if (fatCount === 0 || reservedSectors === 0) return { reason: "no FAT" };
  const sectors = bios.sectors16 || bios.sectors32;
  const fatSectors = bios.fatSectors16 || wide.fatSectors32;
  const rootSectors = Math.ceil((bios.rootEntries * 32) / sectorSizeBytes);
  const before = reservedSectors + fatCount * fatSectors + rootSectors;
  const clusters = Math.floor((sectors - before) / clusterSectors);
  if (clusters < clusterBounds.fat16.min) return { reason: `${clusters} clusters` };
  if (clusters > clusterBounds.fat32.max) return { reason: `${clusters} clusters` };
  const isWide = clusters > clusterBounds.fat16.max;
  const entryBytes = isWide ? 4 : 2;
  if (fatSectors * sectorSizeBytes < (clusters + 2) * entryBytes) {
    return { reason: `${fatSectors} sectors of FAT for ${clusters} clusters` };
  }
  const { volumeId, label } = isWide ? wide.extended : fat16Boot.decode(sector).extended;
  return {
    kind: isWide ? "fat32" : "fat16",
    sectorSizeBytes,
    sizeBytes: sectors * sectorSizeBytes,
    clusterBytes: clusterSectors * sectorSizeBytes,
    clusters,
    fatOffset: reservedSectors * sectorSizeBytes,
    entryBytes,
    endMark: isWide ? 0x0fff_fff8 : 0xfff8,
    rootOffset: (reservedSectors + fatCount * fatSectors) * sectorSizeBytes,
    rootBytes: isWide ? 0 : bios.rootEntries * 32,
    rootCluster: isWide ? wide.rootCluster : 0,
    dataOffset: before * sectorSizeBytes,
    volumeId,
    label,
  };
}
