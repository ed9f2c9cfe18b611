/**
 * One disk while an image is written to it: first its ends are cleared, then comes the body as
 * fast as the disk takes it, and last the ends, so that it never boots half an image.
 */

import type { CallOptions } from "../../block/index.ts";
import { FlashError } from "../error.ts";
import { type Piece, pieceBytes, runsOf } from "../piece.ts";
import { formatSize } from "../size.ts";
import {
  confirmIdentity,
  type DiskRange,
  lostRanges,
  type Target,
  targetError,
} from "../target.ts";
import { Depth } from "./depth.ts";
import { tailStart } from "./ends.ts";
import { encodeUnfinished } from "./unfinished.ts";

/** What a writer is told besides its target. */
export interface WriterOptions extends CallOptions {
  readonly imageName: string;
  readonly imageBytes: number | undefined;
  /** Read first and write only what differs, as long as that pays. */
  readonly isComparing: boolean;
  readonly clock: () => number;
  /** Something was written or skipped. */
  readonly onProgress: () => void;
}

/** What happened to a disk's body so far, in bytes. */
export interface WriteCounts {
  /** Image bytes that are done, in whatever way. */
  done: number;
  written: number;
  zeroed: number;
  /** Were there already. */
  skipped: number;
}

/** After so much that differed in a row, comparing is given up: it would only cost time. */
const comparedInVainMax = 32 * pieceBytes;
/** A flush in between bounds what must be written again after a cut. */
const flushEveryBytes = 1024 * pieceBytes;

/** Writes the body of an image to one disk. */
export class BodyWriter {
  readonly target: Target;
  readonly counts: WriteCounts = { done: 0, written: 0, zeroed: 0, skipped: 0 };
  /** What of the image lies in the disk's last sectors; held back. */
  readonly tail: Uint8Array;
  /** Something was written, or may have been: the disk does not boot until its end is reached. */
  hasBegun = false;
  readonly #options: WriterOptions;
  readonly #tailStart: number;
  readonly #depth = new Depth();
  readonly #queue: Piece[] = [];
  readonly #lost: DiskRange[] = [];
  #inFlight = 0;
  #isComparing: boolean;
  #differedBytes = 0;
  #unflushedBytes = 0;
  #flushing: Promise<void> | undefined;
  #failure: unknown;
  #idle: PromiseWithResolvers<void> | undefined;

  constructor(target: Target, options: WriterOptions) {
    this.target = target;
    this.#options = options;
    this.#isComparing = options.isComparing;
    this.#tailStart = tailStart(target.disk);
    this.tail = new Uint8Array(target.disk.sizeBytes - this.#tailStart);
  }

  /** Why it cannot go on; undefined as long as it can. */
  get failure(): unknown {
    return this.#failure;
  }

  /** Clears both ends and says on the disk what is going on. */
  async begin(): Promise<void> {
    const { disk } = this.target;
    const { signal, imageName, imageBytes } = this.#options;
    const call: CallOptions = signal ? { signal } : {};
    await confirmIdentity(this.target, call);
    await this.#attempt("clear its first and last sectors", async () => {
      this.hasBegun = true;
      const head = Math.min(pieceBytes, disk.sizeBytes);
      await disk.writeZeroes(0, head, call);
      await disk.writeZeroes(this.#tailStart, this.tail.byteLength, call);
      const what = { imageName, sizeBytes: imageBytes };
      await disk.write(0, encodeUnfinished(what, disk.blockSizeBytes), call);
      await this.#flushOnce();
    });
  }

  /** Takes a piece over, and releases it when it is done. The head is not for here. */
  accept(piece: Piece): void {
    if (this.#failure !== undefined) {
      piece.release();
      return;
    }
    const { sizeBytes } = this.target.disk;
    if (piece.offsetBytes + piece.lengthBytes > sizeBytes) {
      piece.release();
      this.fail(
        new FlashError(
          "too-small",
          `Cannot write to ${this.target.name}: the disk has ${formatSize(sizeBytes)}, and the ` +
            "image is longer. The disk does not boot; choose a larger one.",
          { target: this.target.name, sizeBytes },
        ),
      );
      return;
    }
    this.#queue.push(piece);
    this.#next();
  }

  /** Gives up; what is under way ends by itself. */
  fail(error: unknown): void {
    this.#failure ??= error;
    for (const piece of this.#queue.splice(0)) piece.release();
    this.#settle();
  }

  /** Waits until nothing is under way. */
  async drain(): Promise<void> {
    while (this.#inFlight > 0 || this.#queue.length > 0) {
      this.#idle ??= Promise.withResolvers();
      await this.#idle.promise;
    }
    await this.#flushing;
  }

  /**
   * Waits until all is on the medium. What a reconnect may have lost is returned, to be written
   * again.
   * @throws what made it fail.
   */
  async flush(): Promise<readonly DiskRange[]> {
    await this.drain();
    if (this.#failure === undefined) {
      await this.#attempt("flush", () => this.#flushOnce());
    }
    if (this.#failure !== undefined) throw this.#failure;
    return this.#lost.splice(0);
  }

  #next(): void {
    while (this.#failure === undefined && this.#inFlight < this.#depth.limit) {
      const piece = this.#queue.shift();
      if (!piece) break;
      this.#inFlight++;
      void this.#run(piece);
    }
    this.#settle();
  }

  async #run(piece: Piece): Promise<void> {
    const { clock, onProgress } = this.#options;
    const began = clock();
    try {
      await this.#put(piece);
      this.counts.done += piece.lengthBytes;
      this.#depth.completed(clock() - began, this.#inFlight);
      this.#flushSometimes(piece.lengthBytes);
    } catch (error) {
      this.fail(targetError(error, this.target, `write at byte ${piece.offsetBytes}`));
    } finally {
      piece.release();
      this.#inFlight--;
      this.#next();
    }
    onProgress();
  }

  async #put({ offsetBytes, lengthBytes, data }: Piece): Promise<void> {
    const end = offsetBytes + lengthBytes;
    if (data && offsetBytes >= this.#tailStart) {
      this.tail.set(data, offsetBytes - this.#tailStart);
    } else if (data) {
      await this.#putData(offsetBytes, data);
    } else {
      await this.#zero(offsetBytes, this.#padded(Math.min(end, this.#tailStart) - offsetBytes));
    }
  }

  async #putData(offsetBytes: number, data: Uint8Array): Promise<void> {
    const whole = this.#padded(data.byteLength);
    let bytes = data;
    if (whole !== data.byteLength) {
      bytes = new Uint8Array(whole);
      bytes.set(data);
    }
    if (this.#isComparing && (await this.#holds(offsetBytes, bytes))) {
      this.counts.skipped += bytes.byteLength;
      return;
    }
    const { disk } = this.target;
    const call = this.#call;
    await Promise.all(
      runsOf(bytes).map(async ({ from, to, isZero }) => {
        if (isZero) return this.#zero(offsetBytes + from, to - from);
        await disk.write(offsetBytes + from, bytes.subarray(from, to), call);
        this.counts.written += to - from;
      }),
    );
  }

  async #zero(offsetBytes: number, lengthBytes: number): Promise<void> {
    if (lengthBytes <= 0) return;
    await this.target.disk.writeZeroes(offsetBytes, lengthBytes, this.#call);
    this.counts.zeroed += lengthBytes;
  }

  async #holds(offsetBytes: number, bytes: Uint8Array): Promise<boolean> {
    const found = new Uint8Array(bytes.byteLength);
    await this.target.disk.read(offsetBytes, found, this.#call);
    const isSame = Buffer.compare(found, bytes) === 0;
    this.#differedBytes = isSame ? 0 : this.#differedBytes + bytes.byteLength;
    if (this.#differedBytes >= comparedInVainMax) this.#isComparing = false;
    return isSame;
  }

  #flushSometimes(lengthBytes: number): void {
    this.#unflushedBytes += lengthBytes;
    if (this.#unflushedBytes < flushEveryBytes || this.#flushing) return;
    this.#unflushedBytes = 0;
    this.#flushing = this.#attempt("flush", () => this.#flushOnce()).finally(() => {
      this.#flushing = undefined;
    });
    this.#flushing.catch(() => undefined);
  }

  async #flushOnce(): Promise<void> {
    try {
      await this.target.disk.flush(this.#call);
    } catch (error) {
      const lost = lostRanges(error);
      if (!lost) throw error;
      this.#lost.push(...lost);
      await this.target.disk.flush(this.#call);
    }
  }

  async #attempt(doing: string, step: () => Promise<void>): Promise<void> {
    try {
      await step();
    } catch (error) {
      this.fail(targetError(error, this.target, doing));
      throw this.#failure;
    }
  }

  get #call(): CallOptions {
    const { signal } = this.#options;
    return signal ? { signal } : {};
  }

  #padded(lengthBytes: number): number {
    const { blockSizeBytes } = this.target.disk;
    return Math.ceil(lengthBytes / blockSizeBytes) * blockSizeBytes;
  }

  #settle(): void {
    if (this.#inFlight > 0 || this.#queue.length > 0) return;
    this.#idle?.resolve();
    this.#idle = undefined;
  }
}
