/** The loads of the NVMe/TCP bench, and what is measured of one run of one load. */

/** One pattern of reads or writes. */
export interface Load {
  readonly title: string;
  readonly kind: "read" | "write";
  readonly blockBytes: number;
  /** Requests under way at a time, on one connection. */
  readonly depth: number;
  /** At random offsets; one after another otherwise. */
  readonly isRandom: boolean;
}

/** The loads of the table in the report. */
export const loads: readonly Load[] = [
  { title: "4 KiB random read, depth 1", ...random("read", 1) },
  { title: "4 KiB random read, depth 32", ...random("read", 32) },
  { title: "4 KiB random read, depth 128", ...random("read", 128) },
  { title: "4 KiB random write, depth 32", ...random("write", 32) },
  { title: "128 KiB read, depth 32", ...sequential("read", 128, 32) },
  { title: "128 KiB write, depth 32", ...sequential("write", 128, 32) },
  { title: "1 MiB read, depth 8", ...sequential("read", 1024, 8) },
  { title: "1 MiB write, depth 8", ...sequential("write", 1024, 8) },
];

function random(kind: Load["kind"], depth: number): Omit<Load, "title"> {
  return { kind, blockBytes: 4096, depth, isRandom: true };
}

function sequential(kind: Load["kind"], kibibytes: number, depth: number): Omit<Load, "title"> {
  return { kind, blockBytes: kibibytes * 1024, depth, isRandom: false };
}

/** What one run gave. */
export interface Measured {
  readonly operations: number;
  readonly seconds: number;
  /** User and system time of all threads of the server meanwhile. */
  readonly serverCpuMs: number;
}

/** What the generator of load is told, as JSON in its argument. */
export interface LoadOrder extends Pick<Load, "kind" | "blockBytes" | "depth" | "isRandom"> {
  readonly port: number;
  /** The server's process, whose processor time is read. */
  readonly pid: number;
  readonly connections: number;
  readonly hasDigests: boolean;
  readonly warmUpMs: number;
  readonly durationMs: number;
}

/** What the program that copies is told, as JSON in its argument. */
export interface CopyOrder {
  readonly port: number;
  /** Read the remote disk and forget it, or write this file to it. */
  readonly kind: "read" | "write";
  readonly path: string;
}

/** Name of the subsystem that the bench serves. */
export const benchNqn = "nqn.2026-11.org.example:bench";
/** Entries of the queues that the bench's target offers: depth 128 needs one more than 128. */
export const queueEntries = 256;
/** Longest write that goes in its capsule. */
export const capsuleDataBytesMax = 16 * 1024;

/** The value in the middle, or the mean of the two. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const half = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2;
}
