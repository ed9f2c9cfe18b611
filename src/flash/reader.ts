/** Turns the bytes of an image into pieces, checking what a block map says on the way. */

import type { CallOptions } from "../block/index.ts";
import { FlashError } from "./error.ts";
import type { ImageFacts, ReadTimes } from "./image.ts";
import type { Bmap, BmapRange } from "./integrity/bmap.ts";
import type { Hasher, HashStream } from "./integrity/hasher.ts";
import type { FileChecks } from "./integrity/watch.ts";
import {
  isAllZero,
  type Piece,
  type PiecePool,
  pieceBytes,
  pooledPiece,
  zeroPiece,
} from "./piece.ts";
import type { ByteSource } from "./source/byte-source.ts";

/** What an image is read from, and with. */
export interface ReaderParts {
  readonly source: ByteSource;
  readonly facts: ImageFacts;
  /** Over the file as it is stored; finished after its end. */
  readonly checks: FileChecks | undefined;
  readonly bmap: { readonly map: Bmap; readonly sidecar: string } | undefined;
  readonly hasher: Hasher;
  readonly times: ReadTimes;
  readonly clock: () => number;
}

/** Longest piece of zeros, so that progress moves. */
const zeroPieceBytesMax = 32 * pieceBytes;

/** With a source that takes one read at a time: one buffer is filled, one waits its turn. */
const fillsAheadMin = 2;

/** A buffer of the pool with what was read into it, which its holder gives back; none for a hole. */
interface Fill {
  readonly buffer: Uint8Array | undefined;
  readonly length: number;
}

/** One pass over an image. */
export class ImageReader {
  readonly #parts: ReaderParts;

  constructor(parts: ReaderParts) {
    this.#parts = parts;
  }

  /** See `Image.pieces`. */
  async *pieces(pool: PiecePool, options: CallOptions = {}): AsyncGenerator<Piece> {
    const { facts, checks, bmap, hasher } = this.#parts;
    const ranges = bmap && new RangeChecks(bmap.map.ranges, hasher, facts.name, bmap.sidecar);
    let offsetBytes = 0;
    let zeroBytes = 0;
    for await (const { buffer, length } of this.#fills(pool, options)) {
      let piece: Piece | undefined;
      try {
        const data = buffer?.subarray(0, length);
        // Only the map's blocks are vouched for; whatever lies between them is a hole.
        if (ranges && data && length > 0) await ranges.check(offsetBytes, data);
        // The head stays data even when it is zero: it is written by itself.
        const isData = data && length > 0 && (offsetBytes === 0 || !isAllZero(data));
        if (isData) piece = pooledPiece(pool, buffer!, offsetBytes, length);
      } finally {
        if (!piece && buffer) pool.put(buffer);
      }
      const isLast = length < pieceBytes;
      if (!piece) zeroBytes += length;
      if (zeroBytes > 0 && (piece || isLast || zeroBytes >= zeroPieceBytesMax)) {
        const end = piece ? offsetBytes : offsetBytes + length;
        yield zeroPiece(end - zeroBytes, zeroBytes);
        zeroBytes = 0;
      }
      offsetBytes += length;
      if (isLast) this.#refuseLength(offsetBytes);
      if (piece) yield piece;
      if (isLast) break;
    }
    await ranges?.finish(offsetBytes);
    await checks?.finish();
  }

  /**
   * Filled buffers in their order, the one that is not full being the last. While one is looked at,
   * the next are filled: as many at a time as the source allows, or one.
   */
  async *#fills(pool: PiecePool, options: CallOptions): AsyncGenerator<Fill> {
    const readsMax = this.#parts.source.readsMax ?? 1;
    const ahead: Promise<Fill>[] = [];
    let turn: Promise<unknown> = Promise.resolve();
    let isFirst = true;
    const start = () => {
      const maySkip = !isFirst;
      isFirst = false;
      // Buffers are taken, and reads begun, in their order; the reads themselves may overlap.
      const begun = turn.then(() => this.#begin(pool, maySkip, options));
      const fill = begun.then(({ filling }) => filling);
      fill.catch(() => undefined);
      turn = readsMax > 1 ? begun : fill;
      ahead.push(fill);
    };
    try {
      for (;;) {
        while (ahead.length < Math.max(readsMax, fillsAheadMin)) start();
        const [next] = ahead;
        if (!next) return;
        const fill = await orAborted(next, options.signal);
        void ahead.shift();
        yield fill;
      }
    } finally {
      // A source may stall for long: nobody waits for what is not wanted any more.
      for (const fill of ahead)
        fill.then(({ buffer }) => buffer && pool.put(buffer)).catch(() => undefined);
    }
  }

  /** Waits for a buffer, and lets the source begin to fill it; a hole needs neither. */
  async #begin(
    pool: PiecePool,
    maySkip: boolean,
    options: CallOptions,
  ): Promise<{ filling: Promise<Fill> }> {
    const { source, bmap, times, clock } = this.#parts;
    // A map's ranges are hashed, holes among them.
    if (maySkip && !bmap && source.skipZeros?.(pieceBytes)) {
      return { filling: Promise.resolve({ buffer: undefined, length: pieceBytes }) };
    }
    const began = clock();
    const buffer = await pool.take(options.signal);
    times.bufferMs += clock() - began;
    return { filling: this.#fill(buffer, pool, options) };
  }

  async #fill(buffer: Uint8Array, pool: PiecePool, options: CallOptions): Promise<Fill> {
    const { source, times, clock } = this.#parts;
    const began = clock();
    let length = 0;
    try {
      while (length < pieceBytes) {
        const count = await source.read(buffer.subarray(length), options);
        if (count === 0) break;
        length += count;
      }
    } catch (error) {
      pool.put(buffer);
      throw error;
    }
    times.readMs += clock() - began;
    return { buffer, length };
  }

  #refuseLength(foundBytes: number): void {
    const { name, sizeBytes, sizeBytesMin } = this.#parts.facts;
    // A pipe ends the same way whether its writer has finished or failed.
    if (sizeBytes === undefined) refuseCutOff(name, foundBytes, sizeBytesMin);
    if (sizeBytes === undefined || sizeBytes === foundBytes) return;
    throw new FlashError(
      foundBytes < sizeBytes ? "truncated" : "length",
      `Cannot use ${name}: it has ${foundBytes} bytes, wanted ${sizeBytes}. Fetch it again.`,
      { name, foundBytes, wantedBytes: sizeBytes },
    );
  }
}

/**
 * An image that ends before what its partition table speaks of is a part of one: it would be
 * written, verified and booted without the rest.
 * @throws FlashError `truncated`
 */
export function refuseCutOff(name: string, foundBytes: number, wantedBytes: number): void {
  if (foundBytes >= wantedBytes) return;
  throw new FlashError(
    "truncated",
    `Cannot use ${name}: it has ${foundBytes} bytes, and by its partition table at least ` +
      `${wantedBytes}. It was cut off; fetch it again.`,
    { name, foundBytes, wantedBytes },
  );
}

/** What the promise brings, or the signal's reason where that comes first. */
async function orAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return await promise;
  signal.throwIfAborted();
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const abort = () => reject(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

/** The hashes of a block map's ranges, as the bytes come. */
class RangeChecks {
  readonly #ranges: readonly BmapRange[];
  readonly #hasher: Hasher;
  readonly #name: string;
  readonly #sidecar: string;
  #index = 0;
  #hash: HashStream | undefined;

  constructor(ranges: readonly BmapRange[], hasher: Hasher, name: string, sidecar: string) {
    this.#ranges = ranges;
    this.#hasher = hasher;
    this.#name = name;
    this.#sidecar = sidecar;
  }

  /** Hashes what is mapped of `data`, and makes the rest of it zero. */
  async check(offsetBytes: number, data: Uint8Array): Promise<void> {
    const endBytes = offsetBytes + data.byteLength;
    for (let at = offsetBytes; at < endBytes; ) {
      const range = this.#ranges[this.#index];
      const holeEnd = Math.min(endBytes, range?.fromBytes ?? endBytes);
      if (at < holeEnd) {
        data.fill(0, at - offsetBytes, holeEnd - offsetBytes);
        at = holeEnd;
        continue;
      }
      if (!range) return;
      const end = Math.min(endBytes, range.toBytes);
      this.#hash ??= this.#hasher.begin("sha256");
      await this.#hash.update(data.subarray(at - offsetBytes, end - offsetBytes));
      at = end;
      if (end === range.toBytes) await this.#finishRange(range);
    }
  }

  async finish(imageBytes: number): Promise<void> {
    const range = this.#ranges[this.#index];
    if (!range) return;
    throw new FlashError(
      "length",
      `Cannot use ${this.#name}: it ends at byte ${imageBytes}, and ${this.#sidecar} has ` +
        `blocks up to ${range.toBytes}. Fetch both again.`,
      { name: this.#name, foundBytes: imageBytes, wantedBytes: range.toBytes },
    );
  }

  async #finishRange(range: BmapRange): Promise<void> {
    const found = await this.#hash?.digest();
    this.#hash = undefined;
    this.#index++;
    if (found === range.sha256) return;
    throw new FlashError(
      "checksum",
      `Cannot use ${this.#name}: bytes ${range.fromBytes} to ${range.toBytes} have the SHA-256 ` +
        `${found}, and ${this.#sidecar} says ${range.sha256}. Fetch both again.`,
      { name: this.#name, found, wanted: range.sha256, sidecar: this.#sidecar },
    );
  }
}
