/** A raw image in a file: hashed by threads that read it for themselves, any part of it at hand. */

import { type CallOptions, Digester, digestBytes, digestsLength } from "../block/index.ts";
import { FlashError } from "./error.ts";
import type { DigestedPiece, RandomImage } from "./image.ts";
import type { DigestCache } from "./integrity/driver-digest-cache.ts";
import { unitBytes } from "./integrity/hasher.ts";
import { type Piece, type PiecePool, pieceBytes, pooledPiece, zeroPiece } from "./piece.ts";
import type { FileSource } from "./source/driver-file.ts";

/** What an image in a file is made from. */
export interface FileImageParts {
  readonly file: FileSource;
  /** Where digests are kept. */
  readonly cache: DigestCache | undefined;
  /** Reads the file to its end, where what lies beside it vouches for it; rejects when that is wrong. */
  readonly check: (() => Promise<void>) | undefined;
  /** Is told what was read of the file. */
  readonly onRead: (bytes: number) => void;
}

/** Over a file that is the image itself. */
export class FileImage implements RandomImage {
  readonly #file: FileSource;
  readonly #cache: DigestCache | undefined;
  readonly #check: (() => Promise<void>) | undefined;
  readonly #onRead: (bytes: number) => void;

  constructor({ file, cache, check, onRead }: FileImageParts) {
    this.#file = file;
    this.#cache = cache;
    this.#check = check;
    this.#onRead = onRead;
  }

  async *digested(options: CallOptions = {}): AsyncGenerator<DigestedPiece> {
    const checked = this.#check?.();
    checked?.catch(() => undefined);
    yield* this.#digested(options);
    await checked;
  }

  async *#digested(options: CallOptions): AsyncGenerator<DigestedPiece> {
    const { sizeBytes } = this.#file;
    const known = await this.#cache?.load(this.#file, options);
    if (known) {
      yield* this.#piecesOf(0, sizeBytes, known);
      await this.#file.refuseChange({ isPathMeant: true });
      return;
    }
    const all = new Uint8Array(digestsLength(sizeBytes, unitBytes));
    // What was built a moment ago is in memory: no reason to read it from the disk.
    await using digester = new Digester(this.#file.path, { isDirect: false });
    const ranges = [{ offsetBytes: 0, lengthBytes: sizeBytes }];
    try {
      for await (const found of digester.digest(ranges, unitBytes, options)) {
        const { offsetBytes, lengthBytes, digests } = found;
        all.set(digests, (offsetBytes / unitBytes) * digestBytes);
        this.#onRead(lengthBytes);
        yield* this.#piecesOf(offsetBytes, lengthBytes, digests);
      }
    } catch (error) {
      options.signal?.throwIfAborted();
      // A file that became shorter is a changed one.
      await this.#file.refuseChange({ isPathMeant: true });
      throw error;
    }
    await this.#file.refuseChange({ isPathMeant: true });
    await this.#cache?.save(this.#file, all);
  }

  async readAt(offsetBytes: number, target: Uint8Array, options?: CallOptions): Promise<void> {
    const count = await this.#file.readAt(offsetBytes, target, options);
    this.#onRead(count);
    if (count === target.byteLength) return;
    await this.#file.refuseChange();
    throw new FlashError("truncated", `Cannot read ${this.#file.path}: it ends too early.`, {
      path: this.#file.path,
      offsetBytes: offsetBytes + count,
    });
  }

  *#piecesOf(fromBytes: number, lengthBytes: number, all: Uint8Array): Generator<DigestedPiece> {
    for (let done = 0; done < lengthBytes; done += pieceBytes) {
      const length = Math.min(pieceBytes, lengthBytes - done);
      const at = (done / unitBytes) * digestBytes;
      const digests = all.subarray(at, at + digestsLength(length, unitBytes));
      const offsetBytes = fromBytes + done;
      // The head stays data even when it is zero: it is written by itself.
      const isZero = offsetBytes > 0 && digests.every((byte) => byte === 0);
      const piece = isZero ? zeroPiece(offsetBytes, length) : this.#unread(offsetBytes, length);
      yield { piece, digests };
    }
  }

  #unread(offsetBytes: number, lengthBytes: number): Piece {
    return {
      offsetBytes,
      lengthBytes,
      data: undefined,
      load: async (pool: PiecePool, options?: CallOptions) => {
        const buffer = await pool.take(options?.signal);
        try {
          await this.readAt(offsetBytes, buffer.subarray(0, lengthBytes), options);
        } catch (error) {
          pool.put(buffer);
          throw error;
        }
        return pooledPiece(pool, buffer, offsetBytes, lengthBytes);
      },
      retain() {},
      release() {},
    };
  }
}
