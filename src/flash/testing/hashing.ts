/** Boxes that hash, and disks whose power is cut, made of values. */

import {
  type BlockDevice,
  BlockError,
  type CallOptions,
  digestsLength,
  digestUnits,
  MemoryDisk,
} from "../../block/index.ts";
import type { DiskHashing } from "../target.ts";

const stepUnits = 16;

/** Hashes a device as a box does: in order, some units at a time. */
export function hashingOf(
  device: BlockDevice,
  beforeStep: (offsetBytes: number) => Promise<void> = async () => {},
): DiskHashing {
  return {
    async digest(ranges, unitBytes, onDigests, options = {}) {
      for (const { fromBytes, toBytes } of ranges) {
        for (let at = fromBytes; at < toBytes; at += stepUnits * unitBytes) {
          options.signal?.throwIfAborted();
          await beforeStep(at);
          const data = new Uint8Array(Math.min(stepUnits * unitBytes, toBytes - at));
          await device.read(at, data);
          const digests = new Uint8Array(digestsLength(data.byteLength, unitBytes));
          digestUnits(data, unitBytes, digests, 0);
          onDigests(at, digests);
        }
      }
    },
  };
}

interface Unflushed {
  readonly offsetBytes: number;
  readonly data: Uint8Array;
}

/**
 * A disk with a cache that forgets: when its power is cut, any blocks of what was written since the
 * last flush are on the medium, and the others are not.
 */
export class CuttableDisk implements BlockDevice {
  readonly sizeBytes: number;
  readonly blockSizeBytes: number;
  readonly readOnly = false;
  /** What lies on the medium. */
  readonly medium: MemoryDisk;
  /** What reads see. */
  readonly #seen: MemoryDisk;
  readonly #random: () => number;
  #unflushed: Unflushed[] = [];
  #callsLeft = Number.POSITIVE_INFINITY;
  #isCut = false;

  /** @param random gives numbers from 0 to 1 */
  constructor(contents: Uint8Array, random: () => number, blockSizeBytes = 512) {
    this.sizeBytes = contents.byteLength;
    this.blockSizeBytes = blockSizeBytes;
    const shape = { sizeBytes: this.sizeBytes, blockSizeBytes, contents };
    this.medium = new MemoryDisk(shape);
    this.#seen = new MemoryDisk(shape);
    this.#random = random;
  }

  /** Calls that change something, so far. */
  changes = 0;

  get isCut(): boolean {
    return this.#isCut;
  }

  /** The power goes with the call after so many that change something. */
  cutAfter(changes: number): void {
    this.#callsLeft = changes;
  }

  async read(offsetBytes: number, target: Uint8Array, options?: CallOptions): Promise<void> {
    this.#refuseCut();
    await this.#seen.read(offsetBytes, target, options);
  }

  async write(offsetBytes: number, data: Uint8Array): Promise<void> {
    await this.#change(offsetBytes, data.slice());
  }

  async writeZeroes(offsetBytes: number, lengthBytes: number): Promise<void> {
    await this.#change(offsetBytes, new Uint8Array(lengthBytes));
  }

  async flush(): Promise<void> {
    this.#refuseCut();
    const settled = this.#unflushed.splice(0);
    for (const { offsetBytes, data } of settled) await this.medium.write(offsetBytes, data);
    await this.#count();
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  async #change(offsetBytes: number, data: Uint8Array): Promise<void> {
    this.#refuseCut();
    this.#unflushed.push({ offsetBytes, data });
    await this.#count();
    await this.#seen.write(offsetBytes, data);
  }

  async #count(): Promise<void> {
    this.changes++;
    if (this.#callsLeft-- > 0) return;
    this.#isCut = true;
    for (const { offsetBytes, data } of this.#unflushed.splice(0)) {
      for (let at = 0; at < data.byteLength; at += this.blockSizeBytes) {
        if (this.#random() < 0.5) continue;
        const block = data.subarray(at, at + this.blockSizeBytes);
        await this.medium.write(offsetBytes + at, block);
      }
    }
    this.#refuseCut();
  }

  #refuseCut(): void {
    if (this.#isCut) throw new BlockError("gone", "The power was cut.");
  }
}
