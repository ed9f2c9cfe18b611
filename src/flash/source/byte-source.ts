/** Where bytes come from: the contract between files, servers, decoders and what reads them. */

import type { CallOptions } from "../../block/index.ts";

/** Bytes in their order, once. One read at a time, unless `readsMax` says more. */
export interface ByteSource extends AsyncDisposable {
  /** Length of all that it will bring, where that is known for certain. */
  readonly sizeBytes: number | undefined;
  /**
   * Reads that may be under way at a time, where it is more than one. Each brings what follows the
   * one that was asked for before it, and all that it was asked for but at the end.
   */
  readonly readsMax?: number;
  /** Tells this state of what is read from any other, where something does. */
  readonly state?: string | undefined;
  /**
   * Puts the next bytes into `target`, which must not be empty, and says how many; 0 only at the
   * end. Fewer than asked for means nothing.
   * @throws FlashError, or the signal's reason.
   */
  read(target: Uint8Array, options?: CallOptions): Promise<number>;
  /**
   * Leaves out the next `lengthBytes` where it is known without reading that they are there and are
   * all zeros; false where they are to be read.
   */
  skipZeros?(lengthBytes: number): boolean;
}

/** A ByteSource that any part can be had of, in any order. */
export interface RandomSource extends ByteSource {
  readonly sizeBytes: number;
  /**
   * Puts bytes from `offsetBytes` on into `target`; fewer only at the end. Calls may overlap, and do
   * not move what `read` brings next.
   */
  readAt(offsetBytes: number, target: Uint8Array, options?: CallOptions): Promise<number>;
}

/** Whether any part of a source can be had. */
export function isRandom(source: ByteSource): source is RandomSource {
  return "readAt" in source;
}

/** Fills `target` as far as the source goes; the length is shorter only at its end. */
export async function readFully(
  source: ByteSource,
  target: Uint8Array,
  options?: CallOptions,
): Promise<number> {
  let done = 0;
  while (done < target.byteLength) {
    const count = await source.read(target.subarray(done), options);
    if (count === 0) break;
    done += count;
  }
  return done;
}

/** A source whose first bytes were read already, to look at them: `head`, then the rest. */
export class PeekedSource implements ByteSource {
  readonly sizeBytes: number | undefined;
  readonly readsMax: number;
  readonly #head: Uint8Array;
  readonly #rest: ByteSource;
  #at = 0;

  constructor(head: Uint8Array, rest: ByteSource) {
    this.#head = head;
    this.#rest = rest;
    this.sizeBytes = rest.sizeBytes;
    this.readsMax = rest.readsMax ?? 1;
  }

  async read(target: Uint8Array, options?: CallOptions): Promise<number> {
    if (this.#at === this.#head.byteLength) return this.#rest.read(target, options);
    const length = Math.min(target.byteLength, this.#head.byteLength - this.#at);
    target.set(this.#head.subarray(this.#at, this.#at + length));
    this.#at += length;
    if (length === target.byteLength || this.readsMax === 1) return length;
    return length + (await this.#rest.read(target.subarray(length), options));
  }

  skipZeros(lengthBytes: number): boolean {
    if (this.#at < this.#head.byteLength) return false;
    return this.#rest.skipZeros?.(lengthBytes) ?? false;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#rest[Symbol.asyncDispose]();
  }
}

/** A source over an async iterator of chunks, such as a stream's. */
export class ChunkSource implements ByteSource {
  readonly sizeBytes: number | undefined;
  readonly #chunks: AsyncIterator<Uint8Array>;
  readonly #close: () => Promise<void>;
  #chunk: Uint8Array = new Uint8Array();

  constructor(
    chunks: AsyncIterator<Uint8Array>,
    sizeBytes: number | undefined,
    close: () => Promise<void>,
  ) {
    this.#chunks = chunks;
    this.sizeBytes = sizeBytes;
    this.#close = close;
  }

  async read(target: Uint8Array, options?: CallOptions): Promise<number> {
    while (this.#chunk.byteLength === 0) {
      options?.signal?.throwIfAborted();
      const next = await this.#chunks.next();
      if (next.done) return 0;
      this.#chunk = next.value;
    }
    const length = Math.min(target.byteLength, this.#chunk.byteLength);
    target.set(this.#chunk.subarray(0, length));
    this.#chunk = this.#chunk.subarray(length);
    return length;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#close();
  }
}

/** The chunks of a source, each a buffer of its own. */
export async function* chunksOf(
  source: ByteSource,
  chunkBytes: number,
  options?: CallOptions,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  for (;;) {
    const chunk = new Uint8Array(chunkBytes);
    const length = await source.read(chunk, options);
    if (length === 0) return;
    yield chunk.subarray(0, length);
  }
}
