/**
 * One disk while an image is written to it: first its ends are cleared, then comes the body as
 * fast as the disk takes it, and last the ends, so that it never boots half an image.
 */

import {
  BlockError,
  type CallOptions,
  digestBytes,
  digestsLength,
  digestUnits,
} from "../../block/index.ts";
import { FlashError } from "../error.ts";
import { type Hasher, unitBytes } from "../integrity/hasher.ts";
import { type Piece, type PiecePool, pieceBytes, runsOf } from "../piece.ts";
import { formatSize } from "../size.ts";
import {
  confirmIdentity,
  type DiskRange,
  lossesError,
  lostRanges,
  type Target,
  targetError,
} from "../target.ts";
import { Depth } from "./depth.ts";
import { differingUnits, mergeRanges } from "./digests.ts";
import type { DiskDigests } from "./disk-digests.ts";
import { tailStart } from "./ends.ts";
import { encodeUnfinished } from "./unfinished.ts";
import type { PaddedUnit } from "./verify-on-box.ts";

/** What a writer is told besides its target. */
export interface WriterOptions extends CallOptions {
  readonly imageName: string;
  readonly imageBytes: number | undefined;
  /** Read first and write only what differs, as long as that pays. */
  readonly isComparing: boolean;
  readonly clock: () => number;
  /** Something was written or skipped. */
  readonly onProgress: () => void;
  /** For pieces that are not read yet. */
  readonly pool: PiecePool;
  readonly hasher: Hasher;
  /** A text of this run alone, in the disk's first sector while it is written. */
  readonly run: string;
  /** The first byte is about to be written. */
  readonly onBegin?: (() => void) | undefined;
  /** The ends were cleared, and this is the first sector now. */
  readonly onCleared?: (sector: Uint8Array) => Promise<void>;
  /** Data was compared with digests: so much, of which so much differs. */
  readonly onCompared?: (comparedBytes: number, differingBytes: number) => void;
  /** The disk's digests will not come. */
  readonly onCompareFailed?: (error: unknown) => void;
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
/** Pieces that wait; those that are read already are bounded by their pool before. */
const queueMax = 64;
/** What a reconnect may have lost is flushed, and the ends cleared, again so often. */
const triesMax = 3;
/** Ranges that were written are merged when there are so many. */
const notedMin = 4096;

interface Queued {
  readonly piece: Piece;
  readonly digests: Promise<Uint8Array> | undefined;
}

/** Writes the body of an image to one disk. */
export class BodyWriter {
  readonly target: Target;
  readonly counts: WriteCounts = { done: 0, written: 0, zeroed: 0, skipped: 0 };
  /** What of the image lies in the disk's last sectors; held back. */
  readonly tail: Uint8Array;
  /** Something was written, or may have been: the disk does not boot until its end is reached. */
  hasBegun = false;
  /** The unit that the image ends in, where its last block had to be filled up. */
  padded: PaddedUnit | undefined;
  readonly #options: WriterOptions;
  readonly #tailStart: number;
  readonly #depth = new Depth();
  readonly #queue: Queued[] = [];
  readonly #lost: DiskRange[] = [];
  #inFlight = 0;
  #isComparing: boolean;
  #digests: DiskDigests | undefined;
  #beginning: Promise<void> | undefined;
  #written: DiskRange[] = [];
  #notedMax = notedMin;
  #differedBytes = 0;
  #unflushedBytes = 0;
  #flushing: Promise<void> | undefined;
  #failure: unknown;
  #idle: PromiseWithResolvers<void> | undefined;
  #hasRoom: PromiseWithResolvers<void> | undefined;

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

  /** What was written or made zero, in whole units of `unitBytes` where digests were compared. */
  get written(): readonly DiskRange[] {
    this.#written = mergeRanges(this.#written);
    return this.#written;
  }

  /** From now on pieces are compared with what the box says of the disk; undefined ends that. */
  compareWith(digests: DiskDigests | undefined): void {
    this.#digests = digests;
  }

  /** Waits until there is room for another piece. */
  async room(): Promise<void> {
    while (this.#queue.length >= queueMax && this.#failure === undefined) {
      this.#hasRoom ??= Promise.withResolvers();
      await this.#hasRoom.promise;
    }
  }

  /** Clears both ends and says on the disk what is going on, once. */
  begin(): Promise<void> {
    this.#beginning ??= this.#begin();
    return this.#beginning;
  }

  async #begin(): Promise<void> {
    const { disk } = this.target;
    const { imageName, imageBytes, run, onBegin, onCleared } = this.#options;
    const call = this.#call;
    await confirmIdentity(this.target, call);
    await this.#attempt("clear its first and last sectors", async () => {
      this.hasBegun = true;
      onBegin?.();
      const head = Math.min(pieceBytes, disk.sizeBytes);
      const what = { imageName, sizeBytes: imageBytes, run };
      const sector = encodeUnfinished(what, disk.blockSizeBytes);
      for (let tries = 1; ; tries++) {
        await disk.writeZeroes(0, head, call);
        await disk.writeZeroes(this.#tailStart, this.tail.byteLength, call);
        await disk.write(0, sector, call);
        await this.#flushAll();
        // Nothing else was written so far, and with the old ends in place the disk would still boot.
        if (this.#lost.splice(0).length === 0) break;
        if (tries === triesMax) throw lossesError(this.target, tries);
      }
      await onCleared?.(sector);
    });
  }

  /**
   * Takes a piece over, and releases it when it is done. The head is not for here.
   * @param digests of its data, where they are made
   */
  accept(piece: Piece, digests?: Promise<Uint8Array>): void {
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
    this.#queue.push({ piece, digests });
    this.#next();
  }

  /** Gives up; what is under way ends by itself. */
  fail(error: unknown): void {
    this.#failure ??= error;
    // A box that is gone says nothing any more.
    void this.#digests?.stop();
    for (const { piece } of this.#queue.splice(0)) piece.release();
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
    // What is compared from here on was written before.
    this.#digests = undefined;
    if (this.#failure === undefined && this.hasBegun) {
      await this.#attempt("flush", () => this.#flushAll());
    }
    if (this.#failure !== undefined) throw this.#failure;
    return this.#lost.splice(0);
  }

  #next(): void {
    while (this.#failure === undefined && this.#inFlight < this.#depth.limit) {
      const queued = this.#queue.shift();
      if (!queued) break;
      this.#inFlight++;
      void this.#run(queued);
    }
    this.#settle();
  }

  async #run({ piece, digests }: Queued): Promise<void> {
    const { clock, onProgress } = this.#options;
    try {
      const different = await this.#differentRuns(piece, digests);
      const began = clock();
      await this.#put(piece, piece.load && (await digests), different);
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

  /** Where the disk's digests differ from the image's; undefined where they are not compared. */
  async #differentRuns(
    { offsetBytes, lengthBytes, data, load }: Piece,
    digests: Promise<Uint8Array> | undefined,
  ): Promise<readonly DiskRange[] | undefined> {
    const toBytes = Math.min(offsetBytes + lengthBytes, this.#tailStart);
    const isZero = !data && !load;
    if (!this.#digests || !(digests || isZero) || offsetBytes >= toBytes) return undefined;
    const end = offsetBytes + this.#padded(toBytes - offsetBytes);
    if (!this.#digests.covers(end)) return undefined;
    let found: Uint8Array;
    try {
      found = await this.#digests.of(offsetBytes, end);
    } catch (error) {
      this.#options.signal?.throwIfAborted();
      if (this.#failure !== undefined) throw this.#failure;
      this.#digests = undefined;
      this.#options.onCompareFailed?.(error);
      return undefined;
    }
    const wanted = isZero ? new Uint8Array(found.byteLength) : await digests;
    if (!wanted) return undefined;
    const runs = differingUnits(offsetBytes, toBytes - offsetBytes, wanted, found);
    const differing = runs.reduce((sum, run) => sum + run.toBytes - run.fromBytes, 0);
    this.counts.skipped += toBytes - offsetBytes - differing;
    if (!isZero) this.#options.onCompared?.(toBytes - offsetBytes, differing);
    return runs;
  }

  /** Puts a piece where it belongs, or of it only those runs. */
  async #put(
    piece: Piece,
    digests: Uint8Array | undefined,
    runs: readonly DiskRange[] | undefined,
  ): Promise<void> {
    if (runs?.length === 0) return;
    if (!piece.load) return await this.#putPiece(piece, runs);
    const loaded = await this.#load(piece, piece.load, digests, runs);
    try {
      await this.#putPiece(loaded, runs);
    } finally {
      loaded.release();
    }
  }

  /** What was hashed before must be what is read now. */
  async #load(
    piece: Piece,
    load: NonNullable<Piece["load"]>,
    digests: Uint8Array | undefined,
    runs: readonly DiskRange[] | undefined,
  ): Promise<Piece> {
    const { pool, hasher, imageName } = this.#options;
    const offsetBytes = runs?.[0]?.fromBytes ?? piece.offsetBytes;
    const toBytes = runs?.at(-1)?.toBytes ?? piece.offsetBytes + piece.lengthBytes;
    const part = { offsetBytes, lengthBytes: toBytes - offsetBytes };
    const loaded = await load(part, pool, this.#call);
    try {
      const at = ((offsetBytes - piece.offsetBytes) / unitBytes) * digestBytes;
      const wanted = digests?.subarray(at, at + digestsLength(part.lengthBytes, unitBytes));
      const found = loaded.data && (await hasher.digestUnits(loaded.data));
      if (!wanted || (found && Buffer.compare(found, wanted) === 0)) return loaded;
      throw new FlashError(
        "source-changed",
        `Cannot go on with ${imageName}: at byte ${offsetBytes} it is not what it was when it ` +
          "was hashed. Wait until whatever writes it is done, and start again.",
        { offsetBytes },
      );
    } catch (error) {
      loaded.release();
      throw error;
    }
  }

  async #putPiece(
    { offsetBytes, lengthBytes, data }: Piece,
    runs: readonly DiskRange[] | undefined,
  ): Promise<void> {
    const toBytes = Math.min(offsetBytes + lengthBytes, this.#tailStart);
    if (data && offsetBytes >= this.#tailStart) {
      this.tail.set(data, offsetBytes - this.#tailStart);
    } else if (data) {
      await this.#putData(offsetBytes, this.#fillUp(offsetBytes, data), runs);
    } else {
      for (const run of runs ?? [{ fromBytes: offsetBytes, toBytes }]) {
        await this.#zero(run.fromBytes, this.#padded(run.toBytes - run.fromBytes));
      }
    }
  }

  /** The data up to the end of its last block; zeros follow those of the image. */
  #fillUp(offsetBytes: number, data: Uint8Array): Uint8Array {
    const whole = this.#padded(data.byteLength);
    if (whole === data.byteLength) return data;
    const bytes = new Uint8Array(whole);
    bytes.set(data);
    const last = Math.floor((whole - 1) / unitBytes) * unitBytes;
    const digest = new Uint8Array(digestBytes);
    digestUnits(bytes.subarray(last), unitBytes, digest, 0);
    this.padded = { offsetBytes: offsetBytes + last, digest };
    return bytes;
  }

  async #putData(
    offsetBytes: number,
    bytes: Uint8Array,
    runs: readonly DiskRange[] | undefined,
  ): Promise<void> {
    if (this.#isComparing && (await this.#holds(offsetBytes, bytes))) {
      this.counts.skipped += bytes.byteLength;
      return;
    }
    const all = [{ fromBytes: offsetBytes, toBytes: offsetBytes + bytes.byteLength }];
    const puts = (runs ?? all).flatMap(({ fromBytes, toBytes }) => {
      const from = fromBytes - offsetBytes;
      // What fills the last block up belongs to the last run.
      const part = bytes.subarray(from, from + this.#padded(toBytes - fromBytes));
      return runsOf(part).map(async (run) => {
        if (run.isZero) return this.#zero(fromBytes + run.from, run.to - run.from);
        await this.#write(fromBytes + run.from, part.subarray(run.from, run.to));
      });
    });
    await Promise.all(puts);
  }

  async #write(offsetBytes: number, data: Uint8Array): Promise<void> {
    await this.begin();
    await this.target.disk.write(offsetBytes, data, this.#call);
    this.counts.written += data.byteLength;
    this.#note(offsetBytes, data.byteLength);
  }

  async #zero(offsetBytes: number, lengthBytes: number): Promise<void> {
    if (lengthBytes <= 0) return;
    await this.begin();
    await this.target.disk.writeZeroes(offsetBytes, lengthBytes, this.#call);
    this.counts.zeroed += lengthBytes;
    this.#note(offsetBytes, lengthBytes);
  }

  #note(fromBytes: number, lengthBytes: number): void {
    this.#written.push({ fromBytes, toBytes: fromBytes + lengthBytes });
    if (this.#written.length < this.#notedMax) return;
    this.#written = mergeRanges(this.#written);
    this.#notedMax = Math.max(notedMin, 2 * this.#written.length);
  }

  async #holds(offsetBytes: number, bytes: Uint8Array): Promise<boolean> {
    const found = new Uint8Array(bytes.byteLength);
    const isRead = await this.#readHere(offsetBytes, found);
    const isSame = isRead && Buffer.compare(found, bytes) === 0;
    this.#differedBytes = isSame ? 0 : this.#differedBytes + bytes.byteLength;
    if (this.#differedBytes >= comparedInVainMax) this.#isComparing = false;
    return isSame;
  }

  /** What cannot be read may well be written: a cut while a sector was written leaves it so. */
  async #readHere(offsetBytes: number, target: Uint8Array): Promise<boolean> {
    try {
      await this.target.disk.read(offsetBytes, target, this.#call);
      return true;
    } catch (error) {
      if (error instanceof BlockError && error.code === "medium") return false;
      throw error;
    }
  }

  #flushSometimes(lengthBytes: number): void {
    if (!this.hasBegun) return;
    this.#unflushedBytes += lengthBytes;
    if (this.#unflushedBytes < flushEveryBytes || this.#flushing) return;
    this.#unflushedBytes = 0;
    this.#flushing = this.#attempt("flush", () => this.#flushAll()).finally(() => {
      this.#flushing = undefined;
    });
    this.#flushing.catch(() => undefined);
  }

  /** What it could not vouch for is in `#lost`. */
  async #flushAll(): Promise<void> {
    for (let tries = 1; ; tries++) {
      try {
        return await this.target.disk.flush(this.#call);
      } catch (error) {
        const lost = lostRanges(error);
        if (!lost) throw error;
        this.#lost.push(...lost);
        if (tries === triesMax) throw lossesError(this.target, tries);
      }
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
    if (this.#queue.length < queueMax || this.#failure !== undefined) {
      this.#hasRoom?.resolve();
      this.#hasRoom = undefined;
    }
    if (this.#inFlight > 0 || this.#queue.length > 0) return;
    this.#idle?.resolve();
    this.#idle = undefined;
  }
}
