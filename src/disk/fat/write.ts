/** A new FAT volume as a list of extents: the same input gives the same bytes. */

import { roundUp, viewOf } from "../../bytes/index.ts";
import { DiskError } from "../error.ts";
import type { Extent } from "../extent.ts";
import type { SectorSize } from "../gpt.ts";
import {
  chooseFatGeometry,
  clusterBounds,
  clusterBytes,
  type FatGeometry,
  fatOffsets,
} from "./geometry.ts";
import { directoryEntry, fat16Boot, fat32Boot, fatMarks, fsInfo } from "./layout.ts";
import { type ClusterRun, type FatNode, type PlacedNode, placeTree } from "./tree.ts";

/** A volume that is to be made. */
export interface WantedFat {
  readonly sizeBytes: number;
  readonly sectorSizeBytes: SectorSize;
  /** Sectors of the disk before the partition; 0 for a volume without a partition table. */
  readonly hiddenSectors: number;
  /** 32 bits; shown as `1234-ABCD`. */
  readonly volumeId: number;
  /** Up to 11 ASCII characters, upper case. */
  readonly label: string;
  /** Time of every entry, in seconds since 1970; before 1980 it becomes 1980. */
  readonly epochSeconds: number;
  readonly root: readonly FatNode[];
}

/** A volume as it is to be written; what no extent covers is zeros. */
export interface FatPlan {
  readonly geometry: FatGeometry;
  /** Offsets count from the volume's start. File contents are the caller's own buffers. */
  readonly extents: readonly Extent[];
  readonly freeBytes: number;
}

/**
 * Lays out a volume.
 * @throws DiskError `does-not-fit` or `name`; RangeError for a label or id that does not fit.
 */
export function planFat(wanted: WantedFat): FatPlan {
  const geometry = chooseFatGeometry(wanted.sizeBytes, wanted.sectorSizeBytes);
  const { children, root, clustersUsed } = placeTree(wanted.root, geometry);
  const freeClusters = geometry.clusters - clustersUsed;
  if (freeClusters < 0) {
    throw new DiskError(
      "does-not-fit",
      `Cannot put ${clustersUsed * clusterBytes(geometry)} bytes of files onto a FAT volume of ` +
        `${wanted.sizeBytes}. Use a larger one.`,
      { sizeBytes: wanted.sizeBytes, missingBytes: -freeClusters * clusterBytes(geometry) },
    );
  }
  const offsets = fatOffsets(geometry);
  const place = (run: ClusterRun) => offsets.data + (run.first - 2) * clusterBytes(geometry);
  const contents: Extent[] = [];
  const runs: ClusterRun[] = [root];
  const stamp = dosTime(wanted.epochSeconds);
  const visit = (nodes: readonly PlacedNode[], parent: ClusterRun): void => {
    for (const node of nodes) {
      runs.push(node.run);
      if (node.type === "file") {
        let offsetBytes = place(node.run);
        for (const bytes of node.chunks) {
          if (bytes.byteLength > 0) contents.push({ offsetBytes, bytes });
          offsetBytes += bytes.byteLength;
        }
      } else {
        // `..` of a directory in the root names cluster 0, whatever the root's cluster is.
        const above = parent === root ? 0 : parent.first;
        const own = [dotEntry(".", node.run.first, stamp), dotEntry("..", above, stamp)];
        const bytes = Buffer.concat([...own, ...encodeChildren(node.children, stamp)]);
        contents.push({ offsetBytes: place(node.run), bytes });
        visit(node.children, node.run);
      }
    }
  };
  const rootBytes = Buffer.concat([
    labelEntry(wanted.label, stamp),
    ...encodeChildren(children, stamp),
  ]);
  const rootOffset = geometry.kind === "fat32" ? place(root) : offsets.root;
  contents.push({ offsetBytes: rootOffset, bytes: rootBytes });
  visit(children, root);
  const table = encodeTable(geometry.kind, runs, clustersUsed);
  const extents = [
    ...bootExtents(wanted, geometry, freeClusters),
    { offsetBytes: offsets.fat, bytes: table },
    { offsetBytes: offsets.secondFat, bytes: table },
    ...contents,
  ];
  return { geometry, extents, freeBytes: freeClusters * clusterBytes(geometry) };
}

/**
 * Least size, in whole MiB, of a volume that holds `root` and has `freeBytes` left.
 * @throws DiskError as `planFat` does.
 */
export function fatSize(
  root: readonly FatNode[],
  sectorSizeBytes: SectorSize,
  freeBytes: number,
): number {
  const step = 1024 * 1024;
  // Tables and reserved sectors take less than a step next to the least number of clusters.
  const least = roundUp((clusterBounds.fat16.min + 16) * sectorSizeBytes, step);
  for (let sizeBytes = least; ; ) {
    const geometry = chooseFatGeometry(sizeBytes, sectorSizeBytes);
    const { clustersUsed } = placeTree(root, geometry);
    const wanted = clustersUsed * clusterBytes(geometry) + freeBytes;
    const missing = wanted - geometry.clusters * clusterBytes(geometry);
    if (missing <= 0) return sizeBytes;
    sizeBytes += roundUp(missing, step);
  }
}

function bootExtents(wanted: WantedFat, geometry: FatGeometry, freeClusters: number): Extent[] {
  const at = (sector: number, bytes: Uint8Array): Extent => ({
    offsetBytes: sector * geometry.sectorSizeBytes,
    bytes,
  });
  const boot = encodeBoot(wanted, geometry);
  if (geometry.kind === "fat16") return [at(0, boot)];
  const info = fsInfo.encode({
    lead: fatMarks.infoLead,
    structure: fatMarks.infoStructure,
    freeClusters,
    nextFree: geometry.clusters - freeClusters + 2,
    trail: fatMarks.infoTrail,
  });
  return [at(0, boot), at(infoSector, info), at(backupSector, boot), at(backupSector + 1, info)];
}

const infoSector = 1;
const backupSector = 6;

function encodeBoot(wanted: WantedFat, geometry: FatGeometry): Uint8Array {
  const { kind, sectors, fatSectors } = geometry;
  const isShort = kind === "fat16" && sectors <= 0xffff;
  const bios = {
    jump: Uint8Array.of(0xeb, kind === "fat32" ? 0x58 : 0x3c, 0x90),
    // The name that the specification recommends, since some systems look for it.
    oemName: "MSWIN4.1",
    sectorSizeBytes: geometry.sectorSizeBytes,
    clusterSectors: geometry.clusterSectors,
    reservedSectors: geometry.reservedSectors,
    fatCount: 2,
    rootEntries: geometry.rootEntries,
    sectors16: isShort ? sectors : 0,
    media: fatMarks.mediaFixed,
    fatSectors16: kind === "fat16" ? fatSectors : 0,
    trackSectors: 63,
    heads: 255,
    hiddenSectors: wanted.hiddenSectors,
    sectors32: isShort ? 0 : sectors,
  };
  const extended = {
    driveNumber: 0x80,
    bootSignature: fatMarks.extendedBoot,
    volumeId: wanted.volumeId,
    label: wanted.label,
    typeName: kind === "fat32" ? "FAT32" : "FAT16",
  };
  // HLT and a jump back to it: a firmware without EFI that starts this stops here.
  const halt = [0xf4, 0xeb, 0xfd];
  const code = (size: number) => Uint8Array.from({ length: size }, (_, i) => halt[i] ?? 0);
  const signature = fatMarks.boot;
  if (kind === "fat16") {
    return fat16Boot.encode({ bios, extended, bootCode: code(448), signature });
  }
  return fat32Boot.encode({
    bios,
    fatSectors32: fatSectors,
    flags: 0,
    version: 0,
    rootCluster: 2,
    infoSector,
    backupSector,
    extended,
    bootCode: code(420),
    signature,
  });
}

/** The used beginning of a FAT: every chain is one run. */
function encodeTable(
  kind: FatGeometry["kind"],
  runs: readonly ClusterRun[],
  clustersUsed: number,
): Uint8Array {
  const entryBytes = kind === "fat32" ? 4 : 2;
  const end = kind === "fat32" ? 0x0fff_ffff : 0xffff;
  const table = new Uint8Array((clustersUsed + 2) * entryBytes);
  const view = viewOf(table);
  const put = (cluster: number, next: number) =>
    kind === "fat32"
      ? view.setUint32(cluster * 4, next, true)
      : view.setUint16(cluster * 2, next, true);
  // Entry 0 repeats the media byte; entry 1 says "unmounted cleanly, no errors".
  put(0, end - 0xff + fatMarks.mediaFixed);
  put(1, end);
  for (const { first, count } of runs) {
    for (let i = 0; i < count; i++) put(first + i, i + 1 < count ? first + i + 1 : end);
  }
  return table;
}

function encodeChildren(children: readonly PlacedNode[], stamp: DosTime): Uint8Array[] {
  return children.flatMap((node) => [
    ...node.longName,
    encodeEntry(node.shortName, node.type, node.run.first, stamp, {
      sizeBytes: node.type === "file" ? node.sizeBytes : 0,
    }),
  ]);
}

function dotEntry(name: "." | "..", cluster: number, stamp: DosTime): Uint8Array {
  return encodeEntry(padded(name), "directory", cluster, stamp);
}

function labelEntry(label: string, stamp: DosTime): Uint8Array {
  return encodeEntry(padded(label), "label", 0, stamp);
}

function padded(name: string): Uint8Array {
  return Uint8Array.from(name.padEnd(11), (character) => character.charCodeAt(0));
}

function encodeEntry(
  name: Uint8Array,
  type: "file" | "directory" | "label",
  cluster: number,
  { time, date, hundredths }: DosTime,
  { sizeBytes = 0 } = {},
): Uint8Array {
  return directoryEntry.encode({
    name,
    attributes: {
      readOnly: false,
      hidden: false,
      system: false,
      volumeLabel: type === "label",
      directory: type === "directory",
      archive: type === "file",
    },
    caseFlags: { lowerBase: false, lowerExtension: false },
    createdHundredths: hundredths,
    createdTime: time,
    createdDate: date,
    accessedDate: date,
    clusterHigh: Math.floor(cluster / 2 ** 16),
    writtenTime: time,
    writtenDate: date,
    clusterLow: cluster % 2 ** 16,
    sizeBytes,
  });
}

interface DosTime {
  readonly time: { twoSeconds: number; minutes: number; hours: number };
  readonly date: { day: number; month: number; yearsSince1980: number };
  readonly hundredths: number;
}

/** UTC, since an image has no time zone; 1980 to 2107 is what the fields can say. */
function dosTime(epochSeconds: number): DosTime {
  const earliest = Date.UTC(1980, 0, 1);
  const latest = Date.UTC(2107, 11, 31, 23, 59, 58);
  const at = new Date(Math.min(latest, Math.max(earliest, epochSeconds * 1000)));
  const seconds = at.getUTCSeconds();
  return {
    time: {
      twoSeconds: Math.floor(seconds / 2),
      minutes: at.getUTCMinutes(),
      hours: at.getUTCHours(),
    },
    date: {
      day: at.getUTCDate(),
      month: at.getUTCMonth() + 1,
      yearsSince1980: at.getUTCFullYear() - 1980,
    },
    hundredths: (seconds % 2) * 100,
  };
}
