/**
 * What was found on disks, remembered until somebody writes: looking takes a program's start and a
 * hundred reads for each disk, and whoever lists boxes asks for it every time.
 */
import type { DiskView } from "../rpc/index.ts";

/** What a look finds; null when the disk does not answer. */
export type Contents = DiskView["contents"];

/** What the memory is made from. */
export interface KnownContentsOptions {
  readonly look: (name: string) => Promise<Contents>;
  /** Says how far a disk, and all that may be the same one, has been written; null: nobody knows. */
  readonly writes: (name: string) => string | null;
  readonly monotonicMs: () => number;
}

/** A disk with cables to two machines may be written by the other one, which nobody tells us. */
const ageMsMax = 10 * 60 * 1000;
/** More disks than that are looked at each time. */
const disksMax = 256;

interface Known {
  readonly contents: Contents;
  readonly writes: string;
  readonly atMs: number;
}

/** Looks at disks, and not again at those that are as they were. */
export class KnownContents {
  readonly #options: KnownContentsOptions;
  readonly #known = new Map<string, Known>();

  constructor(options: KnownContentsOptions) {
    this.#options = options;
  }

  /** What is on the disk. */
  async of(name: string): Promise<Contents> {
    const { look, writes, monotonicMs } = this.#options;
    const before = writes(name);
    const known = this.#known.get(name);
    if (known?.writes === before && monotonicMs() - known.atMs < ageMsMax) return known.contents;
    this.#known.delete(name);
    const atMs = monotonicMs();
    const contents = await look(name);
    // What ended after the look has been counted since, and what ended before it has been seen.
    if (contents !== null && before !== null && this.#known.size < disksMax) {
      this.#known.set(name, { contents, writes: before, atMs });
    }
    return contents;
  }
}

/**
 * Counts of what has been written to every disk, from /proc/diskstats (Documentation/admin-guide/
 * iostats.rst): writes, their sectors, discards, and theirs. Of every disk, since one that hangs on
 * two cables is two for the kernel.
 * @param name of the disk that is meant
 * @returns null where it has no counts
 */
export function readWriteCounts(diskstats: string, name: string): string | null {
  const rows = diskstats
    .trim()
    .split("\n")
    .map((line) => line.trim().split(/\s+/));
  if (!rows.some((fields) => fields[2] === name && fields.length > discards.sectors)) return null;
  const columns = [2, writes.calls, writes.sectors, discards.calls, discards.sectors];
  return rows.map((fields) => columns.map((column) => fields[column]).join(" ")).join("\n");
}

const writes = { calls: 7, sectors: 9 };
const discards = { calls: 14, sectors: 16 };
