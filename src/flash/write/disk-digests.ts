/** What a box says of its disk while it hashes it from one end to the other. */

import { digestBytes, digestsLength } from "../../block/index.ts";
import { unitBytes } from "../integrity/hasher.ts";
import type { DiskHashing, DiskRange } from "../target.ts";

interface Waiter {
  readonly toBytes: number;
  readonly known: PromiseWithResolvers<void>;
}

/** Digests of a range, to be had in any order as soon as they are there. */
export class DiskDigests {
  readonly #range: DiskRange;
  readonly #digests: Uint8Array;
  readonly #waiters = new Set<Waiter>();
  readonly #abort = new AbortController();
  readonly #clock: () => number;
  #knownBytes: number;
  #failure: unknown;
  #firstMs: number | undefined;
  #firstBytes = 0;
  #lastMs = 0;
  #isOver = false;
  #ended: Promise<void> = Promise.resolve();

  /** @param range from a multiple of `unitBytes` on, in whole blocks */
  constructor(range: DiskRange, clock: () => number) {
    this.#range = range;
    this.#clock = clock;
    this.#knownBytes = range.fromBytes;
    this.#digests = new Uint8Array(digestsLength(range.toBytes - range.fromBytes, unitBytes));
  }

  /** Lets the box begin. */
  start(hashing: DiskHashing, signal: AbortSignal | undefined): void {
    const { fromBytes, toBytes } = this.#range;
    const ends = signal ? AbortSignal.any([signal, this.#abort.signal]) : this.#abort.signal;
    const take = (offsetBytes: number, digests: Uint8Array) => this.#take(offsetBytes, digests);
    this.#ended = hashing
      .digest([{ fromBytes, toBytes }], unitBytes, take, { signal: ends })
      .then(() => {
        if (this.#knownBytes < toBytes) throw new Error("it ended before its end");
      })
      .catch((error: unknown) => this.#fail(error))
      .finally(() => {
        this.#isOver = true;
      });
  }

  /** Whether it will say something of the disk up to there. */
  covers(toBytes: number): boolean {
    return toBytes <= this.#range.toBytes;
  }

  /** Digests of a range of whole units; waits for them. Rejects when they will not come. */
  async of(fromBytes: number, toBytes: number): Promise<Uint8Array> {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#knownBytes < toBytes) {
      const waiter: Waiter = { toBytes, known: Promise.withResolvers() };
      this.#waiters.add(waiter);
      await waiter.known.promise;
    }
    const from = ((fromBytes - this.#range.fromBytes) / unitBytes) * digestBytes;
    return this.#digests.subarray(from, from + digestsLength(toBytes - fromBytes, unitBytes));
  }

  /** Bytes in a second, since the first answer; undefined until two seconds say it. */
  get bytesPerSecond(): number | undefined {
    if (this.#firstMs === undefined) return undefined;
    const tookMs = (this.#isOver ? this.#lastMs : this.#clock()) - this.#firstMs;
    if (tookMs < measureMs) return undefined;
    return ((this.#knownBytes - this.#firstBytes) / tookMs) * 1000;
  }

  /** Ends the hashing, where it is still under way. */
  async stop(): Promise<void> {
    if (!this.#isOver) this.#abort.abort(new Error("it is not wanted any more"));
    await this.#ended;
  }

  #take(offsetBytes: number, digests: Uint8Array): void {
    if (offsetBytes !== this.#knownBytes) throw new Error("digests came out of their order");
    const from = ((offsetBytes - this.#range.fromBytes) / unitBytes) * digestBytes;
    this.#digests.set(digests, from);
    const units = digests.byteLength / digestBytes;
    this.#knownBytes = Math.min(this.#range.toBytes, offsetBytes + units * unitBytes);
    this.#lastMs = this.#clock();
    if (this.#firstMs === undefined) {
      this.#firstMs = this.#lastMs;
      this.#firstBytes = this.#knownBytes;
    }
    for (const waiter of this.#waiters) {
      if (waiter.toBytes > this.#knownBytes) continue;
      this.#waiters.delete(waiter);
      waiter.known.resolve();
    }
  }

  #fail(error: unknown): void {
    this.#failure = error;
    for (const { known } of this.#waiters) known.reject(error);
    this.#waiters.clear();
  }
}

const measureMs = 2000;
