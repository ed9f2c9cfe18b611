/** Image files that are written: sparse, or packed by zstd; whole, or not there. */

import { type FileHandle, lstat, open, rename, rm, writeFile } from "node:fs/promises";
import { basename } from "node:path";
import { constants, createZstdCompress } from "node:zlib";
import { FlashError, reasonOf } from "./error.ts";
import type { Hasher, HashStream } from "./integrity/hasher.ts";
import type { SaveOutput } from "./save.ts";
import { savedNoteSuffix } from "./saved-note.ts";

/** How the file is stored. */
export type SaveFormat = "raw" | "zstd";

/** What is needed to make one. */
export interface SaveFileOptions {
  readonly format: SaveFormat;
  /** Of the image. */
  readonly sizeBytes: number;
  readonly hasher: Hasher;
}

const zstdLevel = 3;
const chunkBytes = 1024 * 1024;

/**
 * Opens `PATH.part`, which becomes `PATH` when all is there and goes away otherwise.
 * @throws FlashError `output`, from every method too.
 */
export async function openSaveFile(path: string, options: SaveFileOptions): Promise<SaveOutput> {
  const partPath = `${path}.part`;
  const file = await worldly(path, async () => {
    if (await isThere(path)) {
      throw new Error("it exists already; remove it, or choose another name");
    }
    if (await isThere(partPath)) {
      throw new Error(
        `${partPath} is of a backup under way, or cut off; if it is, remove that file`,
      );
    }
    return await open(partPath, "wx");
  });
  const sink = new StoredFile(path, file, options.hasher.begin("sha256"));
  return options.format === "zstd"
    ? new ZstdFile(path, partPath, sink, options.sizeBytes)
    : new RawFile(path, partPath, sink);
}

/** Whether anything has this name; what it is need not be readable, nor be a file. */
async function isThere(path: string): Promise<boolean> {
  return await lstat(path).then(
    () => true,
    () => false,
  );
}

/** Bytes of the file one after the other, hashed as they are stored. */
class StoredFile {
  readonly #path: string;
  readonly #file: FileHandle;
  readonly #hash: HashStream;
  #isOpen = true;
  at = 0;

  constructor(path: string, file: FileHandle, hash: HashStream) {
    this.#path = path;
    this.#file = file;
    this.#hash = hash;
  }

  async put(data: Uint8Array, isHole: boolean): Promise<void> {
    await Promise.all([this.#hash.update(data), isHole ? undefined : this.#write(data)]);
    this.at += data.byteLength;
  }

  async finish(): Promise<{ sha256: string; storedBytes: number }> {
    await worldly(this.#path, async () => {
      await this.#file.truncate(this.at);
      await this.#file.sync();
    });
    await this.close();
    return { sha256: await this.#hash.digest(), storedBytes: this.at };
  }

  async close(): Promise<void> {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    await this.#file.close();
  }

  #write(data: Uint8Array): Promise<void> {
    return worldly(this.#path, async () => {
      for (let done = 0; done < data.byteLength; ) {
        const left = data.byteLength - done;
        done += (await this.#file.write(data, done, left, this.at + done)).bytesWritten;
      }
    });
  }
}

abstract class SaveFile implements SaveOutput {
  readonly name: string;
  protected readonly path: string;
  protected readonly sink: StoredFile;
  readonly #partPath: string;
  readonly #beside: string[] = [];
  #isCommitted = false;

  constructor(path: string, partPath: string, sink: StoredFile) {
    this.path = path;
    this.name = basename(path);
    this.sink = sink;
    this.#partPath = partPath;
  }

  abstract put(data: Uint8Array, isZero: boolean): Promise<void>;
  abstract finish(): Promise<{ readonly sha256: string; readonly storedBytes: number }>;

  async commit({ checksum, note }: { checksum: string; note: string }): Promise<void> {
    await worldly(this.path, async () => {
      for (const [suffix, text] of [
        [".sha256", checksum],
        [savedNoteSuffix, note],
      ] as const) {
        // On a disk that is full, this may be what has no room.
        this.#beside.push(`${this.path}${suffix}`);
        await writeFile(`${this.path}${suffix}`, text, { flush: true });
      }
      await rename(this.#partPath, this.path);
    });
    this.#isCommitted = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.sink.close();
    if (this.#isCommitted) return;
    // By name they would be taken for those of whatever has that name next.
    for (const path of [...this.#beside, this.#partPath]) {
      await rm(path, { force: true }).catch(() => undefined);
    }
  }
}

class RawFile extends SaveFile {
  put(data: Uint8Array, isZero: boolean): Promise<void> {
    return this.sink.put(data, isZero);
  }

  finish(): Promise<{ sha256: string; storedBytes: number }> {
    return this.sink.finish();
  }
}

class ZstdFile extends SaveFile {
  readonly #packer;
  readonly #storing: Promise<void>;

  constructor(path: string, partPath: string, sink: StoredFile, sizeBytes: number) {
    super(path, partPath, sink);
    this.#packer = createZstdCompress({
      chunkSize: chunkBytes,
      pledgedSrcSize: sizeBytes,
      params: {
        [constants.ZSTD_c_compressionLevel]: zstdLevel,
        [constants.ZSTD_c_checksumFlag]: 1,
      },
    });
    this.#storing = this.#store();
    this.#storing.catch((error: unknown) => {
      this.#packer.destroy(error instanceof Error ? error : new Error(String(error)));
    });
  }

  async put(data: Uint8Array): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#packer.write(data, (error) => (error ? reject(error) : resolve()));
    });
  }

  async finish(): Promise<{ sha256: string; storedBytes: number }> {
    this.#packer.end();
    await this.#storing;
    return await this.sink.finish();
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    this.#packer.destroy();
    await this.#storing.catch(() => undefined);
    await super[Symbol.asyncDispose]();
  }

  async #store(): Promise<void> {
    for await (const chunk of this.#packer as AsyncIterable<Uint8Array>) {
      await this.sink.put(chunk, false);
    }
  }
}

async function worldly<T>(path: string, step: () => Promise<T>): Promise<T> {
  try {
    return await step();
  } catch (cause) {
    throw new FlashError(
      "output",
      `Cannot store ${path}: ${reasonOf(cause)}.`,
      { path },
      { cause },
    );
  }
}
