/** Memory for data on its way: buffers that are used again, and a budget for all of them. */

const smallestBytes = 4096;
/** Bytes of all buffers from which on none is kept that nobody uses. */
const bytesMax = 40 * 1024 * 1024;
/** While no more than this is in use, who can make use of a long buffer gets one. */
const plentyBytesMax = 12 * 1024 * 1024;
/**
 * Each buffer has so much more than it counts for: a read of a socket to its end brings the header
 * that follows along.
 */
export const slackBytes = 1024;

/** Buffers of one size. */
interface Shelf {
  readonly size: number;
  readonly buffers: Uint8Array[];
  /** When a buffer of the size was wanted last, in calls of `take`. */
  wanted: number;
}

/**
 * Buffers of sizes that are powers of two, and some slack. The one given back last is taken first;
 * where there are too many, the size goes that was not wanted for longest.
 */
export class BufferPool {
  readonly #shelves = new Map<number, Shelf>();
  #bytes = 0;
  #bytesInUse = 0;
  #takes = 0;

  /** Bytes of all buffers, in use or not. */
  get bytes(): number {
    return this.#bytes;
  }

  /** A buffer of `bytes` and slack or more; what it holds is of no meaning. */
  take(bytes: number): Uint8Array {
    const size = sizeFor(bytes);
    const shelf = this.#shelfOf(size);
    shelf.wanted = ++this.#takes;
    this.#bytesInUse += size;
    const buffer = shelf.buffers.pop();
    if (buffer) return buffer;
    while (this.#bytes + size > bytesMax && this.#dropOne());
    this.#bytes += size;
    return Buffer.allocUnsafeSlow(size + slackBytes);
  }

  /** As `take`: of `bytesMost` while there is plenty, of `bytesLeast` else. */
  takeBetween(bytesLeast: number, bytesMost: number): Uint8Array {
    const isPlenty = this.#bytesInUse + sizeFor(bytesMost) <= plentyBytesMax;
    return this.take(isPlenty ? bytesMost : bytesLeast);
  }

  /** Gives back what `take` gave. */
  give(buffer: Uint8Array): void {
    const size = sizeOf(buffer);
    this.#bytesInUse -= size;
    this.#shelfOf(size).buffers.push(buffer);
    if (this.#bytes > bytesMax) this.#dropOne();
  }

  #shelfOf(size: number): Shelf {
    let shelf = this.#shelves.get(size);
    if (!shelf) {
      shelf = { size, buffers: [], wanted: 0 };
      this.#shelves.set(size, shelf);
    }
    return shelf;
  }

  /** Frees a buffer that nobody uses; false when there is none. */
  #dropOne(): boolean {
    let least: Shelf | undefined;
    for (const shelf of this.#shelves.values()) {
      const isLess = shelf.wanted < (least?.wanted ?? Number.POSITIVE_INFINITY);
      if (shelf.buffers.length > 0 && isLess) least = shelf;
    }
    const buffer = least?.buffers.pop();
    if (!least || !buffer) return false;
    this.#bytes -= least.size;
    // Frees the memory now: the garbage collector comes when much more of it is lost.
    (buffer.buffer as ArrayBuffer).transfer(0);
    return true;
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
 * Bytes that all connections may hold together, or those of one host as a share of it. Who is
 * refused waits in line; room that is given back wakes one after the other, so that no connection
 * starves another.
 */
export class ByteBudget {
  readonly #bytesMax: number;
  /** What this is a share of. */
  readonly #whole: ByteBudget | undefined;
  #used = 0;
  readonly #waiting = new Set<() => void>();

  constructor(bytesMax: number, whole?: ByteBudget) {
    this.#bytesMax = bytesMax;
    this.#whole = whole;
  }

  /** Bytes that are held now. */
  get usedBytes(): number {
    return this.#used;
  }

  /**
   * Takes `bytes` if they are there, and always when nothing is held. Else `wake` is called once
   * there may be room; a second call with the same function is no second place in the line.
   */
  tryTake(bytes: number, wake: () => void): boolean {
    if (this.#used > 0 && this.#used + bytes > this.#bytesMax) {
      this.#waiting.add(wake);
      return false;
    }
    if (this.#whole && !this.#whole.tryTake(bytes, wake)) return false;
    this.#used += bytes;
    return true;
  }

  /** Takes `bytes` that are held already, room or not. */
  force(bytes: number): void {
    this.#used += bytes;
    this.#whole?.force(bytes);
  }

  /** Counts `bytes` that were taken of the whole already. */
  adopt(bytes: number): void {
    this.#used += bytes;
  }

  /** Gives `bytes` back, and wakes those who wait while there is room. */
  give(bytes: number): void {
    this.#used -= bytes;
    this.#whole?.give(bytes);
    if (this.#waiting.size === 0) return;
    const woken = [...this.#waiting];
    for (const wake of woken) {
      if (this.#used >= this.#bytesMax) return;
      this.#waiting.delete(wake);
      wake();
    }
  }

  /** Leaves the line. */
  leave(wake: () => void): void {
    this.#waiting.delete(wake);
    this.#whole?.leave(wake);
  }
}
