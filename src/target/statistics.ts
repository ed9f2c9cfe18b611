/** What was done for whom: operations, bytes, and how long they took, as data. */

/** Kinds of operations that are counted. */
export type OperationKind = "read" | "write" | "other";

/** Bucket n of a histogram counts what took from 2^(n−1) to 2^n µs; the last one all that is more. */
export const latencyBuckets = 24;

/** Counts of one kind of operation. */
export interface OperationCounts {
  readonly operations: number;
  readonly bytes: number;
  readonly failures: number;
  /** Operations by how long they took; see `latencyBuckets`. */
  readonly latencyUs: readonly number[];
}

/** A snapshot of counts by kind. */
export type StatisticsSnapshot = Readonly<Record<OperationKind, OperationCounts>>;

class Counter {
  operations = 0;
  bytes = 0;
  failures = 0;
  readonly latency = new Float64Array(latencyBuckets);

  add(bytes: number, tookMs: number): void {
    this.operations++;
    this.bytes += bytes;
    const bucket = 32 - Math.clz32(tookMs * 1000);
    this.latency[bucket < latencyBuckets ? bucket : latencyBuckets - 1]!++;
  }

  snapshot(): OperationCounts {
    const { operations, bytes, failures, latency } = this;
    return { operations, bytes, failures, latencyUs: [...latency] };
  }
}

/** Counts that only go up. */
export class Statistics {
  readonly read = new Counter();
  readonly write = new Counter();
  readonly other = new Counter();

  /** The counts as they are now. */
  snapshot(): StatisticsSnapshot {
    return {
      read: this.read.snapshot(),
      write: this.write.snapshot(),
      other: this.other.snapshot(),
    };
  }
}
