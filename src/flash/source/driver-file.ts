/** Files and standard input as sources. */

import type { BigIntStats } from "node:fs";
import { type FileHandle, open, stat } from "node:fs/promises";
import type { Readable } from "node:stream";
import type { CallOptions } from "../../block/index.ts";
import { FlashError, reasonOf } from "../error.ts";
import { type ByteSource, ChunkSource, type RandomSource } from "./byte-source.ts";
import { type DataRange, dataRangesOf } from "./driver-holes.ts";

/** What `blocks` of a stat counts in, whatever the file system's own blocks are. */
const statBlockBytes = 512;

/** A file that must stay as it is while it is read. */
export class FileSource implements RandomSource {
  readonly path: string;
  readonly sizeBytes: number;
  /** Node's threads that read files. */
  readonly readsMax = 4;
  readonly #file: FileHandle;
  readonly #modifiedNs: bigint;
  /** As `filePlaceOf` gives it. */
  get place(): string {
    return `file ${this.version.device}:${this.version.inode}`;
  }
  get state(): string {
    return JSON.stringify(this.version);
  }

  /** What tells this state of this file from any other. */
  readonly version: FileVersion;
  readonly #isSparse: boolean;
  /** All else is zeros; undefined as long as that is not known. */
  #data: readonly DataRange[] | undefined;
  /** Ranges of data before this one lie before `#at`. */
  #dataIndex = 0;
  #at = 0;
  #isOpen = true;

  private constructor(path: string, file: FileHandle, stat: BigIntStats) {
    this.path = path;
    this.#file = file;
    this.sizeBytes = Number(stat.size);
    this.#modifiedNs = stat.mtimeNs;
    this.#isSparse = Number(stat.blocks) * statBlockBytes < this.sizeBytes;
    this.version = versionOf(stat);
  }

  /** @throws FlashError `source-missing` when it cannot be read, or is not a file. */
  static async open(path: string): Promise<FileSource> {
    const scheme = /^[a-z][a-z0-9+.-]+:\/\//i.exec(path)?.[0];
    if (scheme !== undefined) {
      throw new FlashError(
        "source-missing",
        `Cannot read ${path}: ${scheme} is not known, only http:// and https://. Pipe it in with "-".`,
        { path },
      );
    }
    try {
      // Looked at before it is opened: to open a named pipe waits for whoever writes to it.
      const isFile = (await stat(path)).isFile();
      const file = isFile ? await open(path, "r") : undefined;
      if (file) return new FileSource(path, file, await file.stat({ bigint: true }));
    } catch (cause) {
      throw new FlashError(
        "source-missing",
        `Cannot read ${path || '""'}: ${reasonOf(cause)}. Check the path and its permissions.`,
        { path },
        { cause },
      );
    }
    throw new FlashError(
      "source-missing",
      `Cannot read ${path} as an image: it is not a file. Pipe other things in with "-".`,
      { path },
    );
  }

  async read(target: Uint8Array, options?: CallOptions): Promise<number> {
    const at = this.#at;
    const length = Math.min(target.byteLength, this.sizeBytes - at);
    this.#at += length;
    const count = await this.readAt(at, target.subarray(0, length), options);
    if (length === 0 || count < length) await this.refuseChange();
    return count;
  }

  async readAt(offsetBytes: number, target: Uint8Array, options?: CallOptions): Promise<number> {
    let done = 0;
    while (done < target.byteLength) {
      const count = await this.#readAt(offsetBytes + done, target.subarray(done), options);
      if (count === 0) break;
      done += count;
    }
    return done;
  }

  /** Finds out where its holes are, for `skipZeros`. */
  async findHoles(): Promise<void> {
    if (this.#isSparse) this.#data = await dataRangesOf(this.#file.fd);
  }

  skipZeros(lengthBytes: number): boolean {
    const end = this.#at + lengthBytes;
    if (!this.#data || end > this.sizeBytes) return false;
    while ((this.#data[this.#dataIndex]?.toBytes ?? end) <= this.#at) this.#dataIndex++;
    const next = this.#data[this.#dataIndex];
    if (next && next.fromBytes < end) return false;
    this.#at = end;
    return true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    await this.#file.close();
  }

  async #readAt(at: number, target: Uint8Array, options?: CallOptions): Promise<number> {
    options?.signal?.throwIfAborted();
    try {
      return (await this.#file.read(target, 0, target.byteLength, at)).bytesRead;
    } catch (cause) {
      throw new FlashError(
        "source-missing",
        `Cannot read ${this.path} at byte ${at}: ${reasonOf(cause)}.`,
        { path: this.path, offsetBytes: at },
        { cause },
      );
    }
  }

  async #isReplaced(): Promise<boolean> {
    const found = await stat(this.path, { bigint: true }).catch(() => undefined);
    return !found || JSON.stringify(versionOf(found)) !== this.state;
  }

  /** Looks whether the file is what it was; at its path lies the same one where that is asked. */
  async refuseChange({ isPathMeant = false } = {}): Promise<void> {
    const { size, mtimeNs } = await this.#file.stat({ bigint: true });
    const isSame = Number(size) === this.sizeBytes && mtimeNs === this.#modifiedNs;
    if (isSame && !(isPathMeant && (await this.#isReplaced()))) return;
    throw new FlashError(
      "source-changed",
      `Cannot go on with ${this.path}: it was changed while it was being read. ` +
        "Wait until whatever writes it is done, and start again.",
      { path: this.path, sizeBytes: this.sizeBytes, foundBytes: Number(size) },
    );
  }
}

/** One state of one file: as far as the file system tells, what was not written to since. */
export interface FileVersion {
  readonly device: string;
  readonly inode: string;
  readonly sizeBytes: number;
  readonly modifiedNs: string;
  readonly changedNs: string;
}

/** @see FileVersion */
function versionOf(stat: BigIntStats): FileVersion {
  return {
    device: `${stat.dev}`,
    inode: `${stat.ino}`,
    sizeBytes: Number(stat.size),
    modifiedNs: `${stat.mtimeNs}`,
    changedNs: `${stat.ctimeNs}`,
  };
}

/** A stream that comes in, such as standard input. */
export function streamSource(stream: Readable): ByteSource {
  const chunks = stream.iterator({ destroyOnReturn: true });
  return new ChunkSource(chunks, undefined, async () => {
    stream.destroy();
  });
}
