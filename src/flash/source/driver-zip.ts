/** The one image in a zip archive. */

import { Readable } from "node:stream";
import { crc32 } from "node:zlib";
import { type Entry, fromRandomAccessReader, RandomAccessReader, type ZipFile } from "yauzl";
import { FlashError, reasonOf } from "../error.ts";
import { type ByteSource, ChunkSource, type RandomSource } from "./byte-source.ts";

const stepBytes = 256 * 1024;
const entriesMax = 10_000;

/**
 * Opens the archive's only file, which is then read as it is unpacked.
 * @throws FlashError `format` when there is none, or several, or it is encrypted; `corrupt`.
 */
export async function openZipEntry(source: RandomSource, name: string): Promise<ByteSource> {
  const archive = await openArchive(source, name);
  const entry = await onlyEntry(archive, name);
  const stream = await new Promise<Readable>((resolve, reject) => {
    archive.openReadStream(entry, (error, opened) => (error ? reject(error) : resolve(opened)));
  }).catch((error: unknown) => {
    throw broken(name, error);
  });
  return new ChunkSource(checked(stream, entry, name), entry.uncompressedSize, async () => {
    stream.destroy();
    await source[Symbol.asyncDispose]();
  });
}

function openArchive(source: RandomSource, name: string): Promise<ZipFile> {
  const options = { lazyEntries: true, autoClose: false, validateEntrySizes: true };
  return new Promise((resolve, reject) => {
    const reader = new SourceReader(source);
    fromRandomAccessReader(reader, source.sizeBytes, options, (error, archive) => {
      if (error) reject(broken(name, error));
      else resolve(archive);
    });
  });
}

/** Folders do not count, nor what macOS adds. */
async function onlyEntry(archive: ZipFile, name: string): Promise<Entry> {
  const files = await new Promise<Entry[]>((resolve, reject) => {
    const found: Entry[] = [];
    archive.on("entry", (entry: Entry) => {
      const isFile = !entry.fileName.endsWith("/") && !entry.fileName.startsWith("__MACOSX/");
      if (isFile && found.length < entriesMax) found.push(entry);
      archive.readEntry();
    });
    archive.on("end", () => resolve(found));
    archive.on("error", (error: unknown) => reject(broken(name, error)));
    archive.readEntry();
  });
  const [entry] = files;
  if (entry === undefined || files.length > 1) {
    const names = files.slice(0, 5).map(({ fileName }) => fileName);
    throw new FlashError(
      "format",
      `Cannot use ${name}: it holds ${files.length} files${names.length > 0 ? ` (${names.join(", ")})` : ""}, ` +
        "wanted one image and nothing else. Unpack it and give the image.",
      { name, files: names },
    );
  }
  if (!entry.canDecodeFileData()) {
    throw new FlashError(
      "format",
      `Cannot use ${name}: ${entry.fileName} is encrypted, or packed by method ` +
        `${entry.compressionMethod}, wanted deflate. Unpack it and give the image.`,
      { name, method: entry.compressionMethod },
    );
  }
  return entry;
}

/** The library checks lengths; the checksum is left to its users. */
async function* checked(stream: Readable, entry: Entry, name: string): AsyncGenerator<Uint8Array> {
  let crc = 0;
  try {
    for await (const chunk of stream as AsyncIterable<Uint8Array>) {
      crc = crc32(chunk, crc);
      yield chunk;
    }
  } catch (error) {
    throw error instanceof FlashError ? error : broken(name, error);
  }
  if (crc !== entry.crc32) throw broken(name, new Error("its checksum is another one"));
}

function broken(name: string, cause: unknown): FlashError {
  const reason = reasonOf(cause);
  const isCut = /End of central directory|unexpected end|not enough bytes|unexpected EOF/i;
  return new FlashError(
    isCut.test(reason) ? "truncated" : "corrupt",
    `Cannot use ${name}: the zip archive is ${isCut.test(reason) ? "cut off" : "broken"} ` +
      `(${reason}). Fetch the file again.`,
    { name, reason },
    { cause },
  );
}

/** The archive's bytes for the library. */
class SourceReader extends RandomAccessReader {
  readonly #source: RandomSource;

  constructor(source: RandomSource) {
    super();
    this.#source = source;
  }

  override _readStreamForRange(start: number, end: number): Readable {
    return Readable.from(rangeOf(this.#source, start, end), { objectMode: false });
  }

  override close(callback: (error: Error | null) => void): void {
    callback(null);
  }
}

async function* rangeOf(source: RandomSource, start: number, end: number) {
  for (let at = start; at < end; ) {
    const chunk = new Uint8Array(Math.min(stepBytes, end - at));
    const length = await source.readAt(at, chunk);
    if (length === 0) throw new Error("unexpected end of the archive");
    yield chunk.subarray(0, length);
    at += length;
  }
}
