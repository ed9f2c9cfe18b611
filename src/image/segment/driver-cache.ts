/**
 * The segment cache: `KEY.seg` with a segment's bytes and `KEY.json` with what it is, in one
 * directory. The .json is written last and holds the checksums of both, so that a crash or a full disk
 * leaves either a whole entry or one that is seen to be damaged, thrown away and made again. Damage
 * is not malice: bytes are looked through by CRC-32, in a third of the time of SHA-256.
 */

import { createHash, randomUUID } from "node:crypto";
import { mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import { ImageError } from "../error.ts";
import { type CacheHeader, parseHeader, parseListing } from "./cache-form.ts";
import { segmentFormat } from "./cache-key.ts";
import type { Segment, SegmentListing } from "./segment.ts";

/** What happened to the cache that a user may want to know. */
export type SegmentEvent = "segment-damaged";
/** Takes events with their facts; libraries never print. */
export type SegmentLog = (event: SegmentEvent, fields: Readonly<Record<string, unknown>>) => void;

/** A segment that lies in the cache. */
export interface CachedSegment extends Segment {
  readonly key: string;
  /** The file that holds the segment's bytes. */
  readonly path: string;
  /** SHA-256 of the bytes, lower-case hex. */
  readonly sha256: string;
}

/** A directory of segments by key; several threads and processes may use it at once. */
export class SegmentCache {
  readonly #directory: string;
  readonly #log: SegmentLog;

  constructor(directory: string, log: SegmentLog = () => {}) {
    this.#directory = directory;
    this.#log = log;
  }

  /**
   * The segment of `key` with its bytes verified, or nothing when it is not there. A damaged one
   * is reported as `segment-damaged`, removed, and not there.
   * @throws ImageError `io` when the directory cannot be read.
   */
  async find(key: string): Promise<CachedSegment | undefined> {
    const { json, seg } = this.#paths(key);
    const text = await readIfThere(json);
    if (text === undefined) return undefined;
    const bytes = await readIfThere(seg);
    const found = judge(key, text, bytes);
    if (typeof found !== "string") {
      const { codec, sha256 } = found.header;
      return { key, codec, path: seg, sha256, bytes: found.bytes, listing: found.listing };
    }
    this.#log("segment-damaged", { key, path: seg, damage: found });
    await rm(json, { force: true });
    await rm(seg, { force: true });
    return undefined;
  }

  /**
   * Puts a segment under `key`.
   * @throws ImageError `disk-full` or `io`; the cache is then as before.
   */
  async store(key: string, segment: Segment): Promise<CachedSegment> {
    const { json, seg } = this.#paths(key);
    const { codec, bytes, listing } = segment;
    const listingJson = JSON.stringify(listing);
    const header: CacheHeader = {
      format: segmentFormat,
      key,
      codec,
      sizeBytes: bytes.length,
      sha256: createHash("sha256").update(bytes).digest("hex"),
      crc32: crc32(bytes),
      listingCrc32: crc32(listingJson),
    };
    await mkdir(this.#directory, { recursive: true }).catch((cause) => {
      throw writeFailure(this.#directory, cause);
    });
    await writeAtomically(seg, bytes);
    await writeAtomically(json, `${JSON.stringify(header)}\n${listingJson}`);
    return { ...segment, key, path: seg, sha256: header.sha256 };
  }

  #paths(key: string): { json: string; seg: string } {
    return {
      json: join(this.#directory, `${key}.json`),
      seg: join(this.#directory, `${key}.seg`),
    };
  }
}

/** An entry of the cache that is whole, or what is wrong with it. */
function judge(key: string, text: Uint8Array, bytes: Uint8Array | undefined): Whole | string {
  const [first = "", second = ""] = new TextDecoder().decode(text).split("\n", 2);
  const header = parseHeader(first);
  if (header === undefined) return "its header cannot be read";
  if (header.format !== segmentFormat || header.key !== key) return "its header is of another";
  if (header.listingCrc32 !== crc32(second)) return "its listing has another checksum";
  if (bytes === undefined) return "its bytes are missing";
  if (header.sizeBytes !== bytes.length) return `it has ${bytes.length} bytes`;
  if (header.crc32 !== crc32(bytes)) return "its bytes have another checksum";
  const listing = parseListing(second);
  return listing === undefined ? "its listing is of another form" : { header, listing, bytes };
}

interface Whole {
  readonly header: CacheHeader;
  readonly listing: SegmentListing;
  readonly bytes: Uint8Array;
}

async function readIfThere(path: string): Promise<Uint8Array | undefined> {
  try {
    return await readFile(path);
  } catch (cause) {
    if (codeOf(cause) === "ENOENT") return undefined;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new ImageError(
      "io",
      `Cannot read the segment cache at ${path}: ${reason}. Make it readable or remove it.`,
      { path },
      { cause },
    );
  }
}

/** No reader ever sees a part of the file, whoever else writes the same one. */
async function writeAtomically(path: string, data: Uint8Array | string): Promise<void> {
  const temporary = `${path}.${randomUUID()}.tmp`;
  try {
    await writeFile(temporary, data);
    await rename(temporary, path);
  } catch (cause) {
    await rm(temporary, { force: true }).catch(() => {});
    throw writeFailure(path, cause);
  }
}

/** What a failed write to the cache is reported as: `disk-full` or `io`. */
export function writeFailure(path: string, cause: unknown): ImageError {
  const isFull = ["ENOSPC", "EDQUOT"].includes(codeOf(cause) ?? "");
  const reason = cause instanceof Error ? cause.message : String(cause);
  const advice = isFull ? "Free some space and build again." : "Make it writable and build again.";
  const message = `Cannot write the segment cache at ${path}: ${reason}. ${advice}`;
  return new ImageError(isFull ? "disk-full" : "io", message, { path }, { cause });
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && "code" in error ? String(error.code) : undefined;
}
