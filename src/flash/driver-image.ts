/** Opening an image: finding what it is, what lies beside it, and putting the stages together. */

import { readFile, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import type { Readable } from "node:stream";
import type { CallOptions } from "../block/index.ts";
import { inspectHead } from "./contents.ts";
import { FileImage } from "./driver-random-image.ts";
import { FlashError, reasonOf } from "./error.ts";
import type { Image, ImageFacts, ReadTimes } from "./image.ts";
import { DigestCache } from "./integrity/driver-digest-cache.ts";
import type { Hasher } from "./integrity/hasher.ts";
import {
  type FetchBeside,
  findSidecars,
  type Sidecars,
  type TrustedKey,
} from "./integrity/sidecars.ts";
import { FileChecks, WatchedSource } from "./integrity/watch.ts";
import { type Piece, type PiecePool, pieceBytes } from "./piece.ts";
import { ImageReader, refuseCutOff } from "./reader.ts";
import { parseSavedNote, type SavedNote, savedNoteSuffix } from "./saved-note.ts";
import {
  type ByteSource,
  isRandom,
  PeekedSource,
  type RandomSource,
  readFully,
} from "./source/byte-source.ts";
import { decodeSource } from "./source/driver-decode.ts";
import { FileSource, streamSource } from "./source/driver-file.ts";
import {
  detectFormat,
  detectFormatByTail,
  type Format,
  formatHeadBytes,
  type PackedFormat,
  zstdContentBytes,
} from "./source/format.ts";
import { decodeInThread } from "./source/thread/driver-decode-thread.ts";

/** How an image is opened. */
export interface OpenImageOptions extends CallOptions {
  readonly hasher: Hasher;
  /** Milliseconds from any start. */
  readonly clock: () => number;
  /** Where `-` is read from. */
  readonly stdin?: Readable;
  /** Signatures are demanded, and must be by this key. */
  readonly key?: TrustedKey;
  /** Take zstd windows up to 2 GiB. */
  readonly hasLongWindows?: boolean;
  /** Folder in which digests of images are kept; none are kept unless given. */
  readonly digestCache?: string;
  /** Pauses before a server is asked again; those of `openHttpSource` unless given. */
  readonly retryDelaysMs?: readonly number[];
}

const zstdWindowLogLong = 31;
const packingsMax = 2;

/**
 * Opens an image by its path, URL, or `-`.
 * @throws FlashError `source-missing`, `network`, `format`, `sidecar`, `signature`, and what the
 *   decoders throw on the first bytes.
 */
export async function openImage(location: string, options: OpenImageOptions): Promise<Image> {
  const { source, name, fetchBeside } = await openLocation(location, options);
  try {
    return await arrange(source, name, fetchBeside, options);
  } catch (error) {
    await source[Symbol.asyncDispose]();
    throw error;
  }
}

/** Whether an image can be opened again: not one that comes through a pipe. */
export function isReopenable(location: string): boolean {
  return location !== "-";
}

interface Located {
  readonly source: ByteSource;
  readonly name: string;
  readonly fetchBeside: FetchBeside;
}

async function openLocation(location: string, options: OpenImageOptions): Promise<Located> {
  if (location === "-") {
    if (!options.stdin) throw new TypeError("Reading - takes a stream.");
    const nothing = () => Promise.resolve(undefined);
    return { source: streamSource(options.stdin), name: "standard input", fetchBeside: nothing };
  }
  const { signal, retryDelaysMs } = options;
  if (/^https?:\/\//i.test(location)) {
    const http = { ...(signal ? { signal } : {}), ...(retryDelaysMs ? { retryDelaysMs } : {}) };
    const name = nameInUrl(location);
    const { fetchSmallFile, openHttpSource } = await import("./source/driver-http.ts");
    return {
      source: await openHttpSource(location, http),
      name,
      fetchBeside: (beside, bytesMax) =>
        fetchSmallFile(new URL(encodeURIComponent(beside), location).href, bytesMax, http),
    };
  }
  const folder = dirname(location);
  return {
    source: await FileSource.open(location),
    name: basename(location),
    fetchBeside: (beside, bytesMax) => readSmallFile(join(folder, beside), bytesMax),
  };
}

/** The last part of an address, as people write it. */
function nameInUrl(location: string): string {
  const url = URL.parse(location);
  if (!url) {
    throw new FlashError(
      "source-missing",
      `Cannot read ${location}: it is no address of a file. Check it.`,
      { url: location },
    );
  }
  const last = basename(url.pathname);
  try {
    return decodeURIComponent(last) || "image";
  } catch {
    // A per cent sign that stands for itself.
    return last;
  }
}

async function readSmallFile(path: string, bytesMax: number): Promise<Uint8Array | undefined> {
  try {
    if ((await stat(path)).size > bytesMax) {
      throw new FlashError("sidecar", `Cannot use ${path}: it is longer than ${bytesMax} bytes.`);
    }
    return await readFile(path);
  } catch (cause) {
    if (cause instanceof FlashError) throw cause;
    const code = cause instanceof Error && "code" in cause ? cause.code : undefined;
    if (code === "ENOENT" || code === "ENOTDIR" || code === "EISDIR") return undefined;
    throw new FlashError("sidecar", `Cannot read ${path}: ${reasonOf(cause)}.`, {}, { cause });
  }
}

async function arrange(
  stored: ByteSource,
  name: string,
  fetchBeside: FetchBeside,
  options: OpenImageOptions,
): Promise<Image> {
  const { hasher, key, signal } = options;
  const call: CallOptions = signal ? { signal } : {};
  const sidecars = await findSidecars(name, fetchBeside, key, hasher);
  const note = await fetchBeside(`${name}${savedNoteSuffix}`, 1024 * 1024);
  const times: ReadTimes = { sourceMs: 0, readMs: 0, bufferMs: 0 };
  const counted = new CountedSource(stored, times, options.clock);
  const checks = new FileChecks(name, sidecars, hasher);
  const watched = checks.isIdle ? counted : new WatchedSource(counted, checks);
  const unpacked = await unpack(watched, counted, name, checks, options);
  const { source } = unpacked;
  try {
    const head = new Uint8Array(pieceBytes);
    const length = await readFully(source, head, call);
    if (length === 0) {
      throw new FlashError("length", `Cannot use ${name}: it is empty. Fetch it again.`, { name });
    }
    const found = { name, ...unpacked, sidecars, note };
    const place = stored instanceof FileSource ? { place: stored.place } : {};
    const facts = { ...(await factsOf(head.subarray(0, length), source, found)), ...place };
    const parts = { facts, hasher, times, clock: options.clock, bmap: sidecars.bmap };
    const peeked = new PeekedSource(head.subarray(0, length), source);
    const checked = checks.isIdle ? undefined : checks;
    if (stored instanceof FileSource) await stored.findHoles();
    const reader = new ImageReader({ ...parts, source: peeked, checks: checked });
    // A block map says more of an image than its bytes do.
    const isRandom = unpacked.packing.length === 0 && !sidecars.bmap;
    const check = checked && (() => readToEnd(peeked, checked, call));
    const random = isRandom ? openRandom(stored, counted, check, options.digestCache) : undefined;
    return {
      facts,
      head: head.subarray(0, length),
      times,
      state: stored.state,
      ...(random ? { random } : {}),
      get storedBytes() {
        return counted.readBytes;
      },
      pieces: (pool: PiecePool, o?: CallOptions): AsyncGenerator<Piece> => reader.pieces(pool, o),
      [Symbol.asyncDispose]: () => Promise.resolve(source[Symbol.asyncDispose]()),
    };
  } catch (error) {
    await source[Symbol.asyncDispose]();
    throw error;
  }
}

/** For a file of this machine. */
function openRandom(
  file: ByteSource,
  counted: CountedSource,
  check: (() => Promise<void>) | undefined,
  digestCache: string | undefined,
): FileImage | undefined {
  if (!(file instanceof FileSource)) return undefined;
  const cache = digestCache === undefined ? undefined : new DigestCache(digestCache);
  const onRead = (bytes: number) => {
    counted.readBytes += bytes;
  };
  return new FileImage({ file, cache, check, onRead });
}

/** Everything passes by what checks it. */
async function readToEnd(source: ByteSource, checks: FileChecks, call: CallOptions): Promise<void> {
  const chunk = new Uint8Array(pieceBytes);
  while ((await source.read(chunk, call)) > 0);
  await checks.finish();
}

interface Unpacked {
  readonly source: ByteSource;
  readonly packing: Exclude<PackedFormat, "raw">[];
  /** Least length of the image, by the packed data's own words. */
  readonly announcedBytes: number;
}

/** Unwraps what is packed, by its content, until there is an image. */
async function unpack(
  watched: ByteSource,
  stored: CountedSource,
  name: string,
  checks: FileChecks,
  options: OpenImageOptions,
): Promise<Unpacked> {
  const call: CallOptions = options.signal ? { signal: options.signal } : {};
  const packing: Exclude<PackedFormat, "raw">[] = [];
  let source = watched;
  let announcedBytes = 0;
  try {
    for (;;) {
      const isStored = packing.length === 0;
      const first = new Uint8Array(formatHeadBytes);
      const length = await readFully(source, first, call);
      const tail = isStored ? await tailFormat(stored, call) : undefined;
      const found = tail ?? detectFormat(first.subarray(0, length));
      const format = refuseForeign(found, name);
      source = new PeekedSource(first.subarray(0, length), source);
      if (format === "raw") return { source, packing, announcedBytes };
      refuseDeepPacking(name, packing, format);
      packing.push(format);
      announcedBytes = format === "zstd" ? (zstdContentBytes(first) ?? 0) : 0;
      source =
        format === "zip"
          ? await openZip(stored, source, name, isStored, checks)
          : decode(source, format, name, options);
    }
  } catch (error) {
    // A decoder has a thread, which would live on.
    await source[Symbol.asyncDispose]();
    throw error;
  }
}

function refuseDeepPacking(
  name: string,
  packing: readonly PackedFormat[],
  format: PackedFormat,
): void {
  if (packing.length < packingsMax) return;
  throw new FlashError(
    "format",
    `Cannot use ${name}: it is packed more than ${packingsMax} times (${packing.join(", ")}, ` +
      `${format}). Unpack it first.`,
    { name, packing },
  );
}

function decode(
  source: ByteSource,
  format: Exclude<PackedFormat, "raw" | "zip">,
  name: string,
  { signal, hasLongWindows }: OpenImageOptions,
): ByteSource {
  const call: CallOptions = signal ? { signal } : {};
  const windows = hasLongWindows ? { zstdWindowLogMax: zstdWindowLogLong } : {};
  const options = { ...call, ...windows, name };
  // bzip2 has a thread of its own kind.
  if (format === "bzip2") return decodeSource(source, format, options);
  return decodeInThread(source, format, options);
}

/** An archive's directory is at its end: it needs all of the file first, or any part of it. */
async function openZip(
  stored: CountedSource,
  source: ByteSource,
  name: string,
  isStored: boolean,
  checks: FileChecks,
): Promise<ByteSource> {
  const random = isStored ? stored.random : undefined;
  if (!random) {
    throw new FlashError(
      "format",
      `Cannot use ${name}: a zip archive can be read from a file, or from a server with ranges, ` +
        "not as it comes. Save it to a file first.",
      { name },
    );
  }
  if (!checks.isIdle) {
    // Its parts are read in another order than the checks take them.
    const chunk = new Uint8Array(pieceBytes);
    while ((await source.read(chunk)) > 0);
  }
  const { openZipEntry } = await import("./source/driver-zip.ts");
  return await openZipEntry(random, name);
}

async function tailFormat(stored: CountedSource, call: CallOptions): Promise<Format | undefined> {
  const { random } = stored;
  if (!random || random.sizeBytes < 512) return undefined;
  const tail = new Uint8Array(512);
  await random.readAt(random.sizeBytes - 512, tail, call);
  return detectFormatByTail(tail);
}

function refuseForeign(found: Format, name: string): PackedFormat {
  if (found.kind === "packed") return found.format;
  throw new FlashError(
    "format",
    `Cannot write ${name}: it is a ${found.format} file, wanted a raw image, or one packed by ` +
      `gzip, xz, zstd, bzip2 or zip. ${found.wayOut}`,
    { name, format: found.format },
  );
}

async function factsOf(
  head: Uint8Array,
  source: ByteSource,
  found: {
    readonly name: string;
    readonly packing: ImageFacts["packing"];
    readonly announcedBytes: number;
    readonly sidecars: Sidecars;
    readonly note: Uint8Array | undefined;
  },
): Promise<ImageFacts> {
  const { name, packing, announcedBytes, sidecars, note } = found;
  const { sha256, bmap, signature } = sidecars;
  // A head that is not full is the whole image.
  const known = head.byteLength < pieceBytes ? head.byteLength : source.sizeBytes;
  const sizeBytes = known ?? bmap?.map.imageBytes;
  if (bmap && known !== undefined && known !== bmap.map.imageBytes) {
    throw new FlashError(
      "length",
      `Cannot use ${name}: it has ${known} bytes, and ${bmap.sidecar} says ` +
        `${bmap.map.imageBytes}. Fetch both again.`,
      { name, foundBytes: known, wantedBytes: bmap.map.imageBytes },
    );
  }
  const inspected = await inspectHead(head, sizeBytes ?? head.byteLength * 2);
  if (sizeBytes !== undefined) refuseCutOff(name, sizeBytes, inspected.sizeBytesMin);
  const saved: SavedNote | undefined = note && parseSavedNote(note, `${name}${savedNoteSuffix}`);
  return {
    name,
    packing,
    sizeBytes,
    sizeBytesMin: sizeBytes ?? Math.max(inspected.sizeBytesMin, head.byteLength, announcedBytes),
    expectedBytes: sizeBytes ?? (announcedBytes > 0 ? announcedBytes : undefined),
    dataBytes: bmap?.map.ranges.reduce((sum, range) => sum + range.toBytes - range.fromBytes, 0),
    sectorSizeBytes: inspected.sectorSizeBytes,
    diskGuid: inspected.diskGuid,
    contents: inspected.contents,
    checkedBy: [sha256?.sidecar, bmap?.sidecar, signature?.sidecar].filter(
      (each) => each !== undefined,
    ),
    notes: sidecars.notes,
    savedBlockBytes: saved?.blockSizeBytes,
  };
}

/** The file as it is stored, with what it cost. */
class CountedSource implements ByteSource {
  readonly sizeBytes: number | undefined;
  readonly readsMax: number;
  readonly #source: ByteSource;
  readonly #times: ReadTimes;
  readonly #clock: () => number;
  readBytes = 0;

  constructor(source: ByteSource, times: ReadTimes, clock: () => number) {
    this.#source = source;
    this.#times = times;
    this.#clock = clock;
    this.sizeBytes = source.sizeBytes;
    this.readsMax = source.readsMax ?? 1;
  }

  get random(): RandomSource | undefined {
    return isRandom(this.#source) ? this.#source : undefined;
  }

  async read(target: Uint8Array, options?: CallOptions): Promise<number> {
    const began = this.#clock();
    const count = await this.#source.read(target, options);
    this.#times.sourceMs += this.#clock() - began;
    this.readBytes += count;
    return count;
  }

  skipZeros(lengthBytes: number): boolean {
    const isSkipped = this.#source.skipZeros?.(lengthBytes) ?? false;
    if (isSkipped) this.readBytes += lengthBytes;
    return isSkipped;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve(this.#source[Symbol.asyncDispose]());
  }
}
