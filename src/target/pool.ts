/** Memory for data on its way: buffers that are used again, and a budget for all of them. */

const smallestBytes = 4096;
/** Buffers of one size that are kept while nobody uses them. */
const keptMax = 64;
/** Bytes of one size that are kept. */
const keptBytesMax = 8 * 1024 * 1024;
/**
 * Each buffer has so much more than it counts for: a read of a socket to its end brings the header
 * that follows along.
 */
export const slackBytes = 1024;

/** Buffers of sizes that are powers of two, and some slack. The one given back last is taken first. */
export class BufferPool {
  readonly #free = new Map<number, Uint8Array[]>();

  /** A buffer of `bytes` and slack or more; what it holds is of no meaning. */
  take(bytes: number): Uint8Array {
    const size = sizeFor(bytes);
    return this.#free.get(size)?.pop() ?? Buffer.allocUnsafeSlow(size + slackBytes);
  }

  /** Gives back what `take` gave. */
  give(buffer: Uint8Array): void {
    const size = sizeOf(buffer);
    let free = this.#free.get(size);
    if (!free) {
      free = [];
      this.#free.set(size, free);
    }
    if (free.length < Math.min(keptMax, keptBytesMax / size)) free.push(buffer);
  }
}

/** How much a buffer for `bytes` takes of a budget. */
export function sizeFor(bytes: number): number {
  return bytes <= smallestBytes ? smallestBytes : 2 ** Math.ceil(Math.log2(bytes));
}

/** How much a buffer of `take` takes of a budget. */
export function sizeOf(buffer: Uint8Array): number {
  return buffer.length - slackBytes;
}

/**
 * Bytes that all connections may hold together. Who is refused waits in line; room that is given
 * back wakes one after the other, so that no connection starves another.
 */
export class ByteBudget {
  readonly #bytesMax: number;
  #used = 0;
  readonly #waiting = new Set<() => void>();

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** Bytes that are held now. */
  get usedBytes(): number {
    return this.#used;
  }

  /** Takes `bytes` if they are there, and always when nothing is held. */
  tryTake(bytes: number): boolean {
    if (this.#used > 0 && this.#used + bytes > this.#bytesMax) return false;
    this.#used += bytes;
    return true;
  }

  /** Takes `bytes` that are held already, room or not. */
  force(bytes: number): void {
    this.#used += bytes;
  }

  /** Gives `bytes` back, and wakes those who wait while there is room. */
  give(bytes: number): void {
    this.#used -= bytes;
    if (this.#waiting.size === 0) return;
    const woken = [...this.#waiting];
    for (const wake of woken) {
      if (this.#used >= this.#bytesMax) return;
      this.#waiting.delete(wake);
      wake();
    }
  }

  /** Calls `wake` once there may be room; a second call with the same function is no second place. */
  await(wake: () => void): void {
    this.#waiting.add(wake);
  }

  /** Leaves the line. */
  leave(wake: () => void): void {
    this.#waiting.delete(wake);
  }
}
