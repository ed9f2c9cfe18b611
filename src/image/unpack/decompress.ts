/** Whole buffers out of xz, zstd, gzip, or as they are, told apart by their first bytes. */

import { constants, gunzipSync, zstdDecompressSync } from "node:zlib";
import { xz } from "@napi-rs/lzma";
import { viewOf } from "../../bytes/index.ts";
import type { ImageError } from "../error.ts";
import { malformed } from "./malformed.ts";
import { isXz, readXzBlocks } from "./xz.ts";

/** How bytes are compressed. */
export type Compression = "xz" | "zstd" | "gzip" | "none";

/** What may come out of one compressed file unless the caller says otherwise: 2 GiB. */
const decompressedBytesMax = 2 * 1024 ** 3;

/** Output is collected in pieces of this size; the default of 16 KiB triples the time. */
const chunkBytes = 4 * 1024 * 1024;

/** One byte of deflated data becomes no more than this many (RFC 1951: 258 bytes for 2 bits). */
const deflateRatioMax = 1032;

/**
 * Room for the whole output of a gzip file as its last field has it (RFC 1952, ISIZE), so that
 * large ones are not joined from pieces; it is a hint that may be wrong.
 */
function gzipChunkBytes(file: Uint8Array, limitBytes: number): number {
  const size = file.length < 4 ? 0 : viewOf(file).getUint32(file.length - 4, true);
  return Math.max(chunkBytes, Math.min(size, limitBytes, file.length * deflateRatioMax));
}

/** What the first bytes say. */
export function compressionOf(file: Uint8Array): Compression {
  if (isXz(file)) return "xz";
  if (file[0] === 0x1f && file[1] === 0x8b) return "gzip";
  const isZstd = file[0] === 0x28 && file[1] === 0xb5 && file[2] === 0x2f && file[3] === 0xfd;
  return isZstd ? "zstd" : "none";
}

/**
 * Decompresses `file`; uncompressed bytes come back as they are, without a copy.
 * @param source names the file in messages.
 * @param limitBytes how long the result may be.
 * @throws ImageError `package` when the bytes are broken or the result would be longer.
 */
export function decompress(
  file: Uint8Array,
  source: string,
  limitBytes = decompressedBytesMax,
): Uint8Array {
  const compression = compressionOf(file);
  if (compression === "none") {
    if (file.length > limitBytes) throw tooLong(source, `${file.length} bytes`, limitBytes);
    return file;
  }
  if (compression === "xz") return decompressXz(file, source, limitBytes);
  try {
    if (compression === "gzip") {
      const chunkSize = gzipChunkBytes(file, limitBytes);
      return gunzipSync(file, { chunkSize, maxOutputLength: limitBytes });
    }
    const params = { [constants.ZSTD_d_windowLogMax]: 27 };
    return zstdDecompressSync(file, { chunkSize: chunkBytes, maxOutputLength: limitBytes, params });
  } catch (cause) {
    if (cause instanceof RangeError) throw tooLong(source, "more", limitBytes);
    throw broken(source, compression, cause);
  }
}

/** The decoder takes no limit, but the file's index says beforehand how long the result is. */
function decompressXz(file: Uint8Array, source: string, limitBytes: number): Uint8Array {
  const total = readXzBlocks(file, source).reduce((sum, block) => sum + block.outputBytes, 0);
  if (total > limitBytes) throw tooLong(source, `${total} bytes`, limitBytes);
  let output: Uint8Array;
  try {
    output = xz.decompressSync(file);
  } catch (cause) {
    throw broken(source, "xz", cause);
  }
  if (output.length === total) return output;
  const found = `${output.length} bytes`;
  throw malformed({ source, part: "its contents", found, wanted: `${total} bytes` });
}

function tooLong(source: string, found: string, limitBytes: number): ImageError {
  const wanted = `at most ${limitBytes} bytes`;
  return malformed({ source, part: "its contents", found, wanted });
}

function broken(source: string, compression: Compression, cause: unknown): ImageError {
  const found = `broken (${cause instanceof Error ? cause.message : cause})`;
  return malformed({ source, part: `the ${compression} data`, found, wanted: "intact", cause });
}
