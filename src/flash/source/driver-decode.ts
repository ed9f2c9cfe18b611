/** Decompression as it flows: each decoder is a ByteSource over a ByteSource. */

import { finished } from "node:stream";
import { constants, createGunzip, createZstdDecompress, type Gunzip } from "node:zlib";
import type { CallOptions } from "../../block/index.ts";
import { type ByteSource, ChunkSource, chunksOf } from "./byte-source.ts";
import { unbzip2 } from "./bzip2/driver-bzip2.ts";
import { decodeError, trailingError } from "./decode-error.ts";
import type { PackedFormat } from "./format.ts";

/** What a decoder may use, and how messages name its source. */
export interface DecodeOptions extends CallOptions {
  readonly name: string;
  /** Largest window of zstd, as a power of two: 27 (128 MiB) unless told, up to 31 (2 GiB). */
  readonly zstdWindowLogMax?: number;
}

/** Formats that are decoded as a stream; a zip archive needs its directory first. */
export type StreamFormat = Exclude<PackedFormat, "zip">;

const inputBytes = 1024 * 1024;
const outputBytes = 1024 * 1024;
/** Decoded bytes that wait for their reader: decoding and writing overlap. */
const decodedAheadBytes = 2 * 1024 * 1024;
const windowLogDefault = 27;

/**
 * The decoded bytes of `source`, which it owns from here on.
 * Reading throws FlashError `truncated`, `trailing` or `corrupt` besides the source's own.
 */
export function decodeSource(
  source: ByteSource,
  format: StreamFormat,
  options: DecodeOptions,
): ByteSource {
  if (format === "raw") return source;
  const decoders = { gzip: gunzip, zstd: unzstd, xz: unxz, bzip2: unbzip2 };
  const chunks = decoders[format](source, options);
  return new ChunkSource(chunks, undefined, async () => {
    // A decoder that waits for a source that stalls ends with the source.
    await source[Symbol.asyncDispose]();
    await chunks.return(undefined).catch(() => undefined);
  });
}

function gunzip(source: ByteSource, options: DecodeOptions) {
  const buffers = { chunkSize: outputBytes, readableHighWaterMark: decodedAheadBytes };
  const make = () => createGunzip(buffers);
  return decodeFrames(source, make, { ...options, format: "gzip", hasFrames: false });
}

function unzstd(source: ByteSource, options: DecodeOptions) {
  const windowLogMax = options.zstdWindowLogMax ?? windowLogDefault;
  const params = { [constants.ZSTD_d_windowLogMax]: windowLogMax };
  const buffers = { chunkSize: outputBytes, readableHighWaterMark: decodedAheadBytes };
  const make = () => createZstdDecompress({ ...buffers, params });
  return decodeFrames(source, make, { ...options, format: "zstd", hasFrames: true });
}

type Zlib = Pick<Gunzip, "bytesWritten"> & ReturnType<typeof createZstdDecompress>;

interface FrameOptions extends DecodeOptions {
  readonly format: string;
  /** The decoder ends with each frame, and the next one needs a new decoder. */
  readonly hasFrames: boolean;
}

/**
 * Runs a decoder of node:zlib, one for each frame. What it leaves of the input, which it does not
 * report by itself, must be another frame.
 */
async function* decodeFrames(
  source: ByteSource,
  make: () => Zlib,
  options: FrameOptions,
): AsyncGenerator<Uint8Array> {
  const input = new FrameInput(source, options);
  for (let isFirst = true; ; isFirst = false) {
    if (!isFirst && !(await input.hasMore())) return;
    if (!isFirst && !options.hasFrames) throw trailingError(options);
    const decoder = make();
    try {
      yield* through(decoder, input);
    } catch (error) {
      throw input.failure ?? decodeError(error, options);
    } finally {
      decoder.destroy();
    }
    input.endFrame(decoder.bytesWritten);
  }
}

/** The input of all frames, read ahead by one chunk. */
class FrameInput {
  readonly #source: ByteSource;
  readonly #options: CallOptions;
  readonly #buffers = [1, 2, 3].map(() => new Uint8Array(inputBytes));
  #reads = 0;
  /** Comes before what is read next. */
  #rest: Uint8Array<ArrayBuffer> = new Uint8Array();
  #ahead: Promise<Uint8Array<ArrayBuffer>> | undefined;
  #last: Uint8Array<ArrayBuffer> = new Uint8Array();
  /** What the decoder of this frame was given. */
  givenBytes = 0;
  /** What the source threw. */
  failure: unknown;

  constructor(source: ByteSource, { signal }: CallOptions) {
    this.#source = source;
    this.#options = signal ? { signal } : {};
  }

  async hasMore(): Promise<boolean> {
    if (this.#rest.byteLength === 0) {
      this.#rest = await (this.#ahead ?? this.#read());
      this.#ahead = undefined;
    }
    return this.#rest.byteLength > 0;
  }

  async take(): Promise<Uint8Array | undefined> {
    if (!(await this.hasMore())) return undefined;
    this.#last = this.#rest;
    this.#rest = new Uint8Array();
    this.givenBytes += this.#last.byteLength;
    this.#ahead ??= this.#read();
    this.#ahead.catch(() => undefined);
    return this.#last;
  }

  /** What the decoder did not want of its last chunk belongs to the next frame. */
  endFrame(consumedBytes: number): void {
    const left = this.givenBytes - consumedBytes;
    if (left > 0) this.#rest = this.#last.subarray(this.#last.byteLength - left);
    this.givenBytes = 0;
  }

  async #read(): Promise<Uint8Array<ArrayBuffer>> {
    // One is being decoded, or left over from it; one is being read; one is free.
    const chunk = this.#buffers[this.#reads++ % this.#buffers.length] ?? new Uint8Array(inputBytes);
    try {
      return chunk.subarray(0, await this.#source.read(chunk, this.#options));
    } catch (error) {
      this.failure = error;
      throw error;
    }
  }
}

/** Output of one decoder: it is fed when it wants more, and ends where its frame does. */
async function* through(decoder: Zlib, input: FrameInput): AsyncGenerator<Uint8Array> {
  let hasEnded = false;
  const { promise: ending, resolve: end } = Promise.withResolvers<void>();
  const stop = finished(decoder, { writable: false }, () => {
    hasEnded = true;
    end();
  });
  const feed = async () => {
    while (!hasEnded) {
      const chunk = await input.take();
      if (chunk === undefined) break;
      await Promise.race([ending, new Promise<void>((done) => decoder.write(chunk, () => done()))]);
      // What is left of a chunk says that the frame has ended, and its output will.
      if (decoder.bytesWritten < input.givenBytes) return;
    }
    if (!hasEnded) decoder.end();
  };
  const feeding = feed().catch((error: unknown) => {
    decoder.destroy(error instanceof Error ? error : new Error(String(error)));
  });
  try {
    for await (const chunk of decoder as AsyncIterable<Buffer<ArrayBuffer>>) {
      yield chunk;
      letGo(chunk);
    }
  } finally {
    stop();
    hasEnded = true;
    end();
    decoder.destroy();
    await feeding;
  }
}

/**
 * Frees the memory of an output buffer that was read to its end; the decoder has a new one then.
 * Left to the garbage collector, they pile up to 60 MiB, and fresh pages cost a quarter of the time.
 */
function letGo({ buffer, byteOffset, byteLength }: Buffer<ArrayBuffer>): void {
  const isWhole = byteOffset + byteLength === buffer.byteLength;
  if (isWhole && buffer.byteLength === outputBytes) buffer.transfer(0);
}

async function* unxz(source: ByteSource, options: DecodeOptions): AsyncGenerator<Uint8Array> {
  const { xz } = await import("@napi-rs/lzma");
  let failure: unknown;
  const input = chunksOf(source, inputBytes, options.signal ? { signal: options.signal } : {});
  const web = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const { done, value } = await input.next();
          if (done) return controller.close();
          controller.enqueue(value);
        } catch (error) {
          failure = error;
          controller.error(error);
        }
      },
    },
    { highWaterMark: 1 },
  );
  try {
    for await (const chunk of xz.decompressStream(web)) yield chunk;
  } catch (error) {
    throw failure ?? decodeError(error, { name: options.name, format: "xz" });
  }
}
