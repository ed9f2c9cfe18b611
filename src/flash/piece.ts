/**
 * An image cut into pieces: buffers of a fixed pool that the reading, the hashing and the disks
 * share. The pool is what bounds the memory, and what makes the reader wait for slow disks.
 */

import type { CallOptions } from "../block/index.ts";

/** Length of a piece, but for the last; the head that is written last is one piece. */
export const pieceBytes = 1024 * 1024;
/** Runs of zeros of this length and more, so aligned, are not written as data. */
const zeroRunBytes = 64 * 1024;

/** Where a part of the image lies. */
export type PiecePart = Pick<Piece, "offsetBytes" | "lengthBytes">;

/** A part of the image. Whoever holds it releases it once. */
export interface Piece {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  /** Undefined for a piece of nothing but zeros, which may be of any length, and where it is not read. */
  readonly data: Uint8Array | undefined;
  /** Reads a part of a piece that is not read yet; whoever calls releases what comes. */
  readonly load?: (part: PiecePart, pool: PiecePool, options?: CallOptions) => Promise<Piece>;
  /** One more holder. */
  retain(): void;
  release(): void;
}

/** A fixed number of buffers, handed out in the order in which they were asked for. */
export class PiecePool {
  readonly #free: Uint8Array[] = [];
  readonly #waiting: ((buffer: Uint8Array) => void)[] = [];
  #unmade: number;

  constructor(countMax: number) {
    this.#unmade = countMax;
  }

  /** A buffer of `pieceBytes`; waits until one is free. Give it back with `put`. */
  async take(signal?: AbortSignal): Promise<Uint8Array> {
    signal?.throwIfAborted();
    const free = this.#free.pop();
    if (free) return free;
    if (this.#unmade > 0) {
      this.#unmade--;
      // Shared memory, so that the hashing thread sees it without a copy.
      return new Uint8Array(new SharedArrayBuffer(pieceBytes));
    }
    return await this.#wait(signal);
  }

  put(buffer: Uint8Array): void {
    const first = this.#waiting.shift();
    if (first) first(buffer);
    else this.#free.push(buffer);
  }

  async #wait(signal: AbortSignal | undefined): Promise<Uint8Array> {
    const { promise, resolve, reject } = Promise.withResolvers<Uint8Array>();
    this.#waiting.push(resolve);
    const abort = () => {
      const at = this.#waiting.indexOf(resolve);
      if (at < 0) return;
      this.#waiting.splice(at, 1);
      reject(signal?.reason);
    };
    signal?.addEventListener("abort", abort, { once: true });
    try {
      return await promise;
    } finally {
      signal?.removeEventListener("abort", abort);
    }
  }
}

/** A piece in a buffer of the pool, which gets it back after the last holder. */
export function pooledPiece(
  pool: PiecePool,
  buffer: Uint8Array,
  offsetBytes: number,
  lengthBytes: number,
): Piece {
  let holders = 1;
  return {
    offsetBytes,
    lengthBytes,
    data: buffer.subarray(0, lengthBytes),
    retain() {
      holders++;
    },
    release() {
      if (--holders === 0) pool.put(buffer);
    },
  };
}

/** A piece of zeros. */
export function zeroPiece(offsetBytes: number, lengthBytes: number): Piece {
  return { offsetBytes, lengthBytes, data: undefined, retain() {}, release() {} };
}

const zeros = Buffer.alloc(zeroRunBytes);

/** Whether bytes are all zero; `length` must not exceed `zeroRunBytes`. */
function isZeroRun(data: Uint8Array, from: number, to: number): boolean {
  // Most data differs at once, and memcmp stops there.
  return zeros.compare(data, from, to, 0, to - from) === 0;
}

/** Whether all of `data` is zero. */
export function isAllZero(data: Uint8Array): boolean {
  for (let at = 0; at < data.byteLength; at += zeroRunBytes) {
    if (!isZeroRun(data, at, Math.min(at + zeroRunBytes, data.byteLength))) return false;
  }
  return true;
}

/** A run of zeros or of data within a piece. */
export interface Run {
  readonly from: number;
  readonly to: number;
  readonly isZero: boolean;
}

/** Cuts a piece into runs of zeros and of other data, at multiples of `zeroRunBytes`. */
export function runsOf(data: Uint8Array): Run[] {
  const runs: Run[] = [];
  for (let from = 0; from < data.byteLength; from += zeroRunBytes) {
    const to = Math.min(from + zeroRunBytes, data.byteLength);
    const isZero = isZeroRun(data, from, to);
    const last = runs.at(-1);
    if (last?.isZero === isZero) runs[runs.length - 1] = { ...last, to };
    else runs.push({ from, to, isZero });
  }
  return runs;
}
