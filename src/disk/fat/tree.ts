/** The files and directories that go onto a FAT volume, with their names and clusters settled. */

import { DiskError } from "../error.ts";
import { clusterBytes, type FatGeometry } from "./geometry.ts";
import { asShortName, checkName, encodeLongName, makeShortName, nameKey } from "./names.ts";

/** A file; its contents may come in pieces, which are not copied. */
export interface FatFile {
  readonly type: "file";
  readonly name: string;
  readonly chunks: readonly Uint8Array[];
}

/** A directory. */
export interface FatDirectory {
  readonly type: "directory";
  readonly name: string;
  readonly children: readonly FatNode[];
}

/** What a directory holds. */
export type FatNode = FatFile | FatDirectory;

/** A run of clusters; `first` is 0 when there are none. */
export interface ClusterRun {
  readonly first: number;
  readonly count: number;
}

/** A file or directory with its place. */
export type PlacedNode = {
  readonly shortName: Uint8Array;
  /** Entries of the long name, before the entry itself; none when the short name says it. */
  readonly longName: readonly Uint8Array[];
  readonly run: ClusterRun;
} & (
  | { readonly type: "file"; readonly sizeBytes: number; readonly chunks: readonly Uint8Array[] }
  | { readonly type: "directory"; readonly children: readonly PlacedNode[] }
);

/** The whole tree in its place. */
export interface PlacedTree {
  readonly children: readonly PlacedNode[];
  /** Of the root directory; no clusters in FAT16. */
  readonly root: ClusterRun;
  readonly clustersUsed: number;
}

const fileBytesMax = 0xffff_ffff;
const directoryEntriesMax = 65536;
/** The volume label in the root directory; `.` and `..` elsewhere. */
const rootOwnEntries = 1;
const ownEntries = 2;

/**
 * Settles names and gives each node its clusters in one run: directories first, then files, each
 * in the order given.
 * @throws DiskError `name` for a name that cannot be, or that two nodes of a directory share;
 *   `does-not-fit` for a file above 4 GiB − 1 or a directory with too many entries. Whether the
 *   volume has so many clusters is for the caller to see.
 */
export function placeTree(root: readonly FatNode[], geometry: FatGeometry): PlacedTree {
  const named = nameChildren(root, "");
  let next = 2;
  const take = (bytes: number): ClusterRun => {
    const count = Math.ceil(bytes / clusterBytes(geometry));
    const first = count === 0 ? 0 : next;
    next += count;
    return { first, count };
  };
  const rootEntries = countEntries(named) + rootOwnEntries;
  if (geometry.kind === "fat16" && rootEntries > geometry.rootEntries) {
    throw tooMany("the root directory", rootEntries, geometry.rootEntries);
  }
  const rootRun = take(geometry.kind === "fat32" ? rootEntries * 32 : 0);
  const runs = new Map<NamedNode, ClusterRun>();
  const visit = (nodes: readonly NamedNode[], type: FatNode["type"]): void => {
    for (const node of nodes) {
      if (node.type === type) runs.set(node, take(contentBytes(node)));
      if (node.type === "directory") visit(node.children, type);
    }
  };
  visit(named, "directory");
  visit(named, "file");
  const place = (node: NamedNode): PlacedNode => {
    const run = runs.get(node)!;
    return node.type === "file"
      ? { ...node, run }
      : { ...node, run, children: node.children.map(place) };
  };
  return { children: named.map(place), root: rootRun, clustersUsed: next - 2 };
}

type NamedNode = {
  readonly shortName: Uint8Array;
  readonly longName: readonly Uint8Array[];
} & (
  | { readonly type: "file"; readonly sizeBytes: number; readonly chunks: readonly Uint8Array[] }
  | { readonly type: "directory"; readonly children: readonly NamedNode[] }
);

function nameChildren(nodes: readonly FatNode[], path: string): NamedNode[] {
  const seen = new Set<string>();
  const taken = new Set<string>();
  for (const { name } of nodes) {
    checkName(name);
    if (seen.has(nameKey(name))) {
      throw new DiskError(
        "name",
        `Cannot put "${path}/${name}" on a FAT volume: another name differs in case only.`,
        { name },
      );
    }
    seen.add(nameKey(name));
    const short = asShortName(name);
    if (short) taken.add(String.fromCharCode(...short));
  }
  return nodes.map((node): NamedNode => {
    const exact = asShortName(node.name);
    const shortName = exact ?? makeShortName(node.name, taken);
    const longName = exact ? [] : encodeLongName(node.name, shortName);
    const names = { shortName, longName };
    const here = `${path}/${node.name}`;
    if (node.type === "file") {
      return { type: "file", ...names, chunks: node.chunks, sizeBytes: sizeOf(node, here) };
    }
    const children = nameChildren(node.children, here);
    const entries = countEntries(children) + ownEntries;
    if (entries > directoryEntriesMax) throw tooMany(here, entries, directoryEntriesMax);
    return { type: "directory", ...names, children };
  });
}

function sizeOf(file: FatFile, path: string): number {
  const sizeBytes = file.chunks.reduce((sum, { byteLength }) => sum + byteLength, 0);
  if (sizeBytes > fileBytesMax) {
    throw new DiskError(
      "does-not-fit",
      `Cannot put "${path}" on a FAT volume: it has ${sizeBytes} bytes, and a file may have ` +
        `${fileBytesMax}.`,
      { path, sizeBytes },
    );
  }
  return sizeBytes;
}

function contentBytes(node: NamedNode): number {
  if (node.type === "file") return node.sizeBytes;
  return (countEntries(node.children) + ownEntries) * 32;
}

function countEntries(nodes: readonly NamedNode[]): number {
  return nodes.reduce((sum, { longName }) => sum + longName.length + 1, 0);
}

function tooMany(path: string, entries: number, entriesMax: number): DiskError {
  return new DiskError(
    "does-not-fit",
    `Cannot make ${path} on a FAT volume: it would have ${entries} entries, and may have ` +
      `${entriesMax}.`,
    { path, entries, entriesMax },
  );
}
