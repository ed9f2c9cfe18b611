/**
 * Segments: the pieces that the initrd is a concatenation of. Each is a cpio archive, compressed
 * or as it is, with a listing, so that later steps know what is in it without unpacking it.
 */

import { constants, zstdCompressSync } from "node:zlib";
import { paddingOf } from "../../bytes/index.ts";
import type { Entry } from "../entry.ts";
import type { MaintainerScript } from "../lock.ts";
import type { Captured } from "../unpack/index.ts";
import { writeCpio } from "./cpio.ts";

/**
 * How a segment is compressed. `codecsOf` has the levels in use; above 19 windows exceed the 8 MiB
 * that are sensible at boot. `store` suits contents that are compressed already, such as `.ko.xz`.
 */
export type Codec = { readonly kind: "zstd"; readonly level: number } | { readonly kind: "store" };

/** An entry without its contents. */
export interface ListedEntry {
  readonly path: string;
  readonly type: Entry["type"];
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Length of a file's contents; 0 for everything else. */
  readonly sizeBytes: number;
  /** What a symlink or hard link names. */
  readonly target?: string;
  /** Device numbers, of devices only. */
  readonly device?: readonly [major: number, minor: number];
}

/** What is in a segment, and what else is worth knowing of the package that it was made from. */
export interface SegmentListing {
  readonly entries: readonly ListedEntry[];
  /** Contents of the files that the rules asked for, by path, filtered ones included. */
  readonly captured: Readonly<Record<string, Captured>>;
  /** Fields of the package's control file; empty when it is no .deb. */
  readonly control: Readonly<Record<string, string>>;
  /** SHA-256 of each maintainer script in lower-case hex, as in the lock. */
  readonly scripts: Readonly<Partial<Record<MaintainerScript, string>>>;
}

/** A finished piece of the initrd. No bytes at all when it has no entries. */
export interface Segment {
  readonly codec: Codec;
  readonly bytes: Uint8Array;
  readonly listing: SegmentListing;
}

const zstdLevelMax = 19;

/** What a listing has beside the entries. */
export type ListingFacts = Partial<Omit<SegmentListing, "entries">>;

/** Makes the segment of `entries`, which are sorted by path and have all their parents. */
export function makeSegment(
  entries: readonly Entry[],
  codec: Codec,
  facts: ListingFacts = {},
): Segment {
  const listing = {
    captured: {},
    control: {},
    scripts: {},
    ...facts,
    entries: entries.map(listEntry),
  };
  if (entries.length === 0) return { codec, listing, bytes: new Uint8Array(0) };
  return { codec, listing, bytes: compress(writeCpio(entries), codec) };
}

/**
 * `archive` under `codec`: one zstd frame with its content size, without long-distance matching,
 * dictionary or checksum. The kernel would check a checksum, at the cost of time at every boot;
 * a truncated image is told by the stamp file in the last segment.
 * @throws RangeError when the level is not 1 to 19.
 */
function compress(archive: Uint8Array, codec: Codec): Uint8Array {
  if (codec.kind === "store") return archive;
  if (!Number.isInteger(codec.level) || codec.level < 1 || codec.level > zstdLevelMax) {
    throw new RangeError(`A zstd level is 1 to ${zstdLevelMax}, not ${codec.level}.`);
  }
  return zstdCompressSync(archive, {
    params: {
      [constants.ZSTD_c_compressionLevel]: codec.level,
      [constants.ZSTD_c_checksumFlag]: 0,
      [constants.ZSTD_c_enableLongDistanceMatching]: 0,
    },
    pledgedSrcSize: archive.length,
    // Room for all of it at once: the output does not depend on how it is cut, and nothing is
    // collected in small pieces. The formula is that of ZSTD_compressBound.
    chunkSize: archive.length + Math.ceil(archive.length / 256) + 64 * 1024,
  });
}

function listEntry(entry: Entry): ListedEntry {
  const { path, type, mode, uid, gid } = entry;
  const listed = { path, type, mode, uid, gid, sizeBytes: 0 };
  switch (entry.type) {
    case "file":
      return { ...listed, sizeBytes: entry.data.length };
    case "symlink":
    case "hardlink":
      return { ...listed, target: entry.target };
    case "character":
    case "block":
      return { ...listed, device: [entry.major, entry.minor] };
    default:
      return listed;
  }
}

/**
 * The initrd as chunks: the segments one after the other, in the caller's own buffers. The kernel
 * takes compressed ones at any offset, but an uncompressed archive only at a multiple of 4, so
 * NULs fill the gap before each stored one and at the very end, where the stub may append archives
 * of its own.
 */
export function concatenateSegments(
  segments: readonly Pick<Segment, "codec" | "bytes">[],
): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  let end = 0;
  const push = (bytes: Uint8Array) => {
    if (bytes.length > 0) chunks.push(bytes);
    end += bytes.length;
  };
  for (const { codec, bytes } of segments) {
    if (codec.kind === "store") push(new Uint8Array(paddingOf(end, 4)));
    push(bytes);
  }
  push(new Uint8Array(paddingOf(end, 4)));
  return chunks;
}
