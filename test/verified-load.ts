/**
 * Verified I/O on a BlockDevice while connections come and go: every byte that was acknowledged is
 * known, and compared when it is read, until a flush says that it may be lost; then it is written
 * again. Workers write to ranges of their own, so that what lies there is known at any time.
 */

import assert from "node:assert/strict";
import { type BlockDevice, BlockError } from "../src/block/index.ts";
import { type ByteRange, InitiatorError } from "../src/initiator/index.ts";

/** What a load does. */
export interface LoadOptions {
  /** Where it may write: the first bytes of the disk. */
  readonly sizeBytes: number;
  readonly workers: number;
  readonly seed: number;
  /** Longest read or write; 256 KiB unless given. */
  readonly ioBytesMax?: number;
}

/** What a load has done. */
export interface LoadCounts {
  operations: number;
  flushes: number;
  /** Flushes that said that something may be lost. */
  losses: number;
}

/** A load under way. */
export class VerifiedLoad {
  readonly counts: LoadCounts = { operations: 0, flushes: 0, losses: 0 };
  readonly #disk: BlockDevice;
  readonly #known: Buffer;
  readonly #options: LoadOptions;
  readonly #workers: Promise<void>[];
  #isStopped = false;
  /** While a loss is made good, nobody else writes. */
  #repairing: Promise<void> | undefined;
  readonly #busy = new Set<Promise<void>>();

  /** Begins on a disk whose range is made zeros first. */
  static async start(disk: BlockDevice, options: LoadOptions): Promise<VerifiedLoad> {
    await disk.writeZeroes(0, options.sizeBytes);
    await disk.flush();
    return new VerifiedLoad(disk, options);
  }

  private constructor(disk: BlockDevice, options: LoadOptions) {
    this.#disk = disk;
    this.#options = options;
    this.#known = Buffer.alloc(options.sizeBytes);
    this.#workers = Array.from({ length: options.workers }, (_, n) => this.#work(n));
    for (const worker of this.#workers) worker.catch(() => {});
  }

  /** Resolves once so many more operations are done; rejects if a worker fails. */
  async progress(operations: number): Promise<void> {
    const wanted = this.counts.operations + operations;
    const failed = Promise.all(this.#workers);
    while (this.counts.operations < wanted) {
      await Promise.race([failed, new Promise((resolve) => setTimeout(resolve, 5))]);
    }
  }

  /** Ends it after what it is at, flushes, and compares all of the disk's range. */
  async finish(): Promise<Buffer> {
    this.#isStopped = true;
    await Promise.all(this.#workers);
    await this.#flush();
    const found = Buffer.alloc(this.#known.length);
    await this.#disk.read(0, found);
    compare(found, this.#known, 0);
    return this.#known;
  }

  async #work(worker: number): Promise<void> {
    const { sizeBytes, workers, seed, ioBytesMax = 256 * 1024 } = this.#options;
    const random = numbers(seed * 1000 + worker);
    const { blockSizeBytes } = this.#disk;
    const blocks = Math.floor(sizeBytes / workers / blockSizeBytes);
    while (!this.#isStopped) {
      await this.#repairing;
      const count = 1 + Math.floor((random() ** 3 * ioBytesMax) / blockSizeBytes);
      const length = Math.min(count, blocks) * blockSizeBytes;
      const first = Math.floor(random() * (blocks - length / blockSizeBytes + 1));
      const at = (worker * blocks + first) * blockSizeBytes;
      const doing = this.#operate(random, at, length);
      this.#busy.add(doing);
      try {
        await doing;
      } catch (error) {
        this.#isStopped = true;
        throw error;
      } finally {
        this.#busy.delete(doing);
      }
      this.counts.operations += 1;
      if (random() < 0.03) await this.#flush();
    }
  }

  async #operate(random: () => number, at: number, length: number): Promise<void> {
    const kind = random();
    if (kind < 0.35) {
      const found = Buffer.alloc(length);
      await this.#disk.read(at, found);
      compare(found, this.#known.subarray(at, at + length), at);
    } else if (kind < 0.4) {
      await this.#disk.writeZeroes(at, length);
      this.#known.fill(0, at, at + length);
    } else {
      const data = Buffer.alloc(length, `${Math.floor(random() * 2 ** 32)} at ${at};`);
      await this.#disk.write(at, data);
      this.#known.set(data, at);
    }
  }

  /** Flushes; what that says may be lost is written again, with all others at rest. */
  async #flush(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    while (this.#repairing) await this.#repairing;
    this.#repairing = promise;
    try {
      await Promise.allSettled([...this.#busy]);
      for (;;) {
        const lost = await flush(this.#disk);
        this.counts.flushes += 1;
        if (lost.length === 0) return;
        this.counts.losses += 1;
        for (const { offsetBytes, lengthBytes } of lost) {
          const data = this.#known.subarray(offsetBytes, offsetBytes + lengthBytes);
          await this.#disk.write(offsetBytes, data);
        }
      }
    } finally {
      this.#repairing = undefined;
      resolve();
    }
  }
}

/** Ranges that a flush says may be lost. */
async function flush(disk: BlockDevice): Promise<readonly ByteRange[]> {
  try {
    await disk.flush();
    return [];
  } catch (error) {
    if (!(error instanceof BlockError) || !(error.cause instanceof InitiatorError)) throw error;
    if (error.cause.code !== "volatile-writes-lost-possible") throw error;
    return error.cause.facts.ranges as readonly ByteRange[];
  }
}

function compare(found: Buffer, wanted: Buffer, at: number): void {
  if (found.equals(wanted)) return;
  const first = found.findIndex((byte, n) => byte !== wanted[n]);
  const text = (bytes: Buffer) => JSON.stringify(bytes.toString("latin1", first, first + 40));
  assert.fail(`at byte ${at + first} is ${text(found)}, not ${text(wanted)}`);
}

/** Numbers from 0 to below 1 that follow from a seed (mulberry32). */
export function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
