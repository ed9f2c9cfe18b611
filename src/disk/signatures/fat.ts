/** FAT12, FAT16 and FAT32 volumes, whoever made them. Microsoft FAT specification 1.03. */

import { viewOf } from "../../bytes/index.ts";
import { clusterBounds } from "../fat/geometry.ts";
import { directoryEntry, fat16Boot, fat32Boot, fatMarks } from "../fat/layout.ts";
import { serialText, text } from "./fields.ts";
import { superblock } from "./signature.ts";

const jumps = [0xeb, 0xe9];
const extendedMarks: readonly number[] = [0x28, fatMarks.extendedBoot];
const directoryBytesMax = 32 * 1024;
const label = text(11);

/** A FAT volume; the label is that of the root directory, as everyone shows it. */
export const vfat = superblock({
  layout: fat32Boot,
  places: () => [0],
  read: async (wide, region) => {
    const { bios, signature } = wide;
    const { sectorSizeBytes, clusterSectors, reservedSectors, fatCount, rootEntries, media } = bios;
    if (
      signature !== fatMarks.boot ||
      !jumps.includes(bios.jump[0]!) ||
      ![512, 1024, 2048, 4096].includes(sectorSizeBytes) ||
      clusterSectors === 0 ||
      !Number.isInteger(Math.log2(clusterSectors)) ||
      fatCount === 0 ||
      reservedSectors === 0 ||
      (media < fatMarks.mediaFixed && media !== 0xf0)
    ) {
      return undefined;
    }
    const isWide = bios.fatSectors16 === 0;
    const fatSectors = isWide ? wide.fatSectors32 : bios.fatSectors16;
    const sectors = bios.sectors16 || bios.sectors32;
    const rootSector = reservedSectors + fatCount * fatSectors;
    const dataSector = rootSector + Math.ceil((rootEntries * 32) / sectorSizeBytes);
    if (fatSectors === 0 || dataSector >= sectors) return undefined;
    const clusters = Math.floor((sectors - dataSector) / clusterSectors);
    const narrow = clusters < clusterBounds.fat16.min ? "FAT12" : "FAT16";
    const rootBytes = isWide ? clusterSectors * sectorSizeBytes : rootEntries * 32;
    const rootAt = isWide ? dataSector + (wide.rootCluster - 2) * clusterSectors : rootSector;
    const root = await region.read(
      rootAt * sectorSizeBytes,
      Math.min(rootBytes, directoryBytesMax),
    );
    const start = await region.read(0, fat16Boot.size);
    const extended = isWide || !start ? wide.extended : fat16Boot.decode(start).extended;
    return {
      kind: "vfat",
      version: isWide ? "FAT32" : narrow,
      label: root && labelIn(root),
      uuid: extendedMarks.includes(extended.bootSignature)
        ? serialText(extended.volumeId)
        : undefined,
      sizeBytes: sectors * sectorSizeBytes,
    };
  },
});

function labelIn(root: Uint8Array): string | undefined {
  for (let at = 0; at + directoryEntry.size <= root.byteLength; at += directoryEntry.size) {
    const { name, attributes } = directoryEntry.decode(root, at);
    if (name[0] === 0) return undefined;
    const isPiece = attributes.readOnly && attributes.hidden && attributes.system;
    if (!attributes.volumeLabel || attributes.directory || isPiece || name[0] === 0xe5) continue;
    return label.read(viewOf(name), 0);
  }
  return undefined;
}
