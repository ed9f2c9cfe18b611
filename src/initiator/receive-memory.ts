/**
 * Where a socket's bytes are received that have no place of their own, and how many at a time.
 *
 *   long ──it was filled, or data landed──► short ──it was filled, and nothing landed──► long
 *
 * The data of a long read lands in its caller's buffer, but not the start of it that comes with its
 * header: while such data comes, as little as possible is to be received in here and copied. A
 * receive that fills the long memory is such data too, which it would cut just where what is left
 * of it is too short to land, again and again.
 */

/** So much at a time, where answers and short data come. */
const longBytes = 256 * 1024;
/** And so much between data that lands: a header, and what has to come with it. */
const shortBytes = 8 * 1024;

/** The memory of one socket, used again and again. */
export class ReceiveMemory {
  readonly #long = Buffer.allocUnsafeSlow(longBytes);
  readonly #short = this.#long.subarray(0, shortBytes);
  #own: Uint8Array = this.#long;

  /** Where the next bytes go: to `landing`, if there is such a place. */
  next(landing: Uint8Array | undefined): Uint8Array {
    return landing ?? this.#own;
  }

  /** `lengthBytes` went to `buffer`, which `next` gave. */
  received(lengthBytes: number, buffer: Uint8Array): void {
    const isFull = lengthBytes === buffer.byteLength;
    if (buffer === this.#short) this.#own = isFull ? this.#long : this.#short;
    else this.#own = isFull || buffer !== this.#long ? this.#short : this.#long;
  }
}
