/** Comparing a disk with an image, without writing anything. */

import type { CallOptions } from "../block/index.ts";
import type { DigestedPiece, Image, RandomImage } from "./image.ts";
import { isAllZero, type Piece, PiecePool, pieceBytes } from "./piece.ts";
import { Meter, type ProgressEvent } from "./progress.ts";
import { type DiskHashing, type DiskRange, type Target, targetError } from "./target.ts";
import { mergeRanges } from "./write/digests.ts";
import { DiskDigests } from "./write/disk-digests.ts";
import { planEnds, tailStart } from "./write/ends.ts";
import { differingBlocks } from "./write/verify.ts";

/** What is compared with what. */
export interface CompareRequest extends CallOptions {
  readonly image: Image;
  readonly target: Target;
  readonly clock: () => number;
  readonly onEvent?: (event: ProgressEvent) => void;
}

/** How they differ. */
export interface CompareReport {
  readonly imageBytes: number;
  /** In whole blocks; empty when the disk holds the image. */
  readonly ranges: readonly DiskRange[];
  /** The partition table is the image's, moved or grown to fit the disk. */
  readonly isTableFitted: boolean;
  readonly seconds: number;
}

const imagePieces = 24;
const diskPieces = 16;

/**
 * Compares all of an image with a disk. A partition table counts as the same when it differs only
 * as `flashImage` fits it to the disk.
 * @throws FlashError as the image's iteration does, and `disk-gone` or `disk-failed`.
 */
export async function compareImage(request: CompareRequest): Promise<CompareReport> {
  const { image, target, clock, signal } = request;
  const began = clock();
  const run = new Comparison(request);
  const call: CallOptions = signal ? { signal } : {};
  const pool = new PiecePool(imagePieces);
  const { random } = image;
  let imageBytes = 0;
  try {
    if (random && target.hashing) {
      imageBytes = await compareDigests(run, random, target.hashing, request);
    } else {
      for await (const piece of image.pieces(pool, call)) {
        imageBytes = piece.offsetBytes + piece.lengthBytes;
        run.take(piece);
        if (run.failure !== undefined) break;
      }
    }
  } finally {
    await run.settle();
  }
  if (run.failure !== undefined) {
    signal?.throwIfAborted();
    throw targetError(run.failure, target, "read");
  }
  const { ranges, isTableFitted } = await run.compareEnds(imageBytes);
  return {
    imageBytes,
    ranges: mergeRanges([...run.ranges, ...ranges]),
    isTableFitted,
    seconds: (clock() - began) / 1000,
  };
}

/** Takes only pieces whose digests differ from what the box says of the disk, or all if it fails. */
async function compareDigests(
  run: Comparison,
  random: RandomImage,
  hashing: DiskHashing,
  { image, target, clock, signal }: CompareRequest,
): Promise<number> {
  const { disk } = target;
  const call: CallOptions = signal ? { signal } : {};
  const pool = new PiecePool(imagePieces);
  const blocks = Math.floor((image.facts.sizeBytes ?? 0) / disk.blockSizeBytes);
  const toBytes = Math.min(blocks * disk.blockSizeBytes, tailStart(disk));
  let digests: DiskDigests | undefined;
  if (toBytes > pieceBytes) {
    digests = new DiskDigests({ fromBytes: pieceBytes, toBytes }, clock);
    digests.start(hashing, signal);
  }
  const isSame = async ({ piece, digests: wanted }: DigestedPiece): Promise<boolean> => {
    const end = piece.offsetBytes + piece.lengthBytes;
    // Whatever else there is beside the body is compared byte by byte.
    if (!digests || piece.offsetBytes < pieceBytes || end > toBytes) return false;
    try {
      return Buffer.compare(await digests.of(piece.offsetBytes, end), wanted) === 0;
    } catch {
      signal?.throwIfAborted();
      return false;
    }
  };
  let imageBytes = 0;
  try {
    for await (const each of random.digested(call)) {
      const { piece } = each;
      imageBytes = piece.offsetBytes + piece.lengthBytes;
      if (await isSame(each)) run.pass(piece);
      else run.take(piece.load ? await piece.load(pool, call) : piece);
      if (run.failure !== undefined) break;
    }
  } finally {
    await digests?.stop();
  }
  return imageBytes;
}

class Comparison {
  readonly ranges: DiskRange[] = [];
  failure: unknown;
  readonly #request: CompareRequest;
  readonly #pool = new PiecePool(diskPieces);
  readonly #checks = new Set<Promise<void>>();
  readonly #tail: Uint8Array;
  readonly #tailStart: number;
  readonly #meter: Meter;
  #doneBytes = 0;

  constructor(request: CompareRequest) {
    const { disk } = request.target;
    this.#request = request;
    this.#tailStart = tailStart(disk);
    this.#tail = new Uint8Array(disk.sizeBytes - this.#tailStart);
    this.#meter = new Meter(request.clock);
  }

  /** Takes a piece over; it is released when it was compared. */
  take(piece: Piece): void {
    const { disk } = this.#request.target;
    const end = piece.offsetBytes + piece.lengthBytes;
    const beyond = Math.max(piece.offsetBytes, disk.sizeBytes);
    if (end > disk.sizeBytes) this.ranges.push({ fromBytes: beyond, toBytes: end });
    if (piece.data && piece.offsetBytes >= this.#tailStart && end <= disk.sizeBytes) {
      this.#tail.set(piece.data, piece.offsetBytes - this.#tailStart);
    }
    const last = Math.min(end, this.#tailStart);
    const jobs: Promise<void>[] = [];
    for (let at = Math.max(piece.offsetBytes, pieceBytes); at < last; at += pieceBytes) {
      jobs.push(this.#compare(piece, at, Math.min(pieceBytes, last - at)));
    }
    const check = Promise.all(jobs)
      .then(() => undefined)
      .catch((error: unknown) => {
        this.failure ??= error;
      })
      .finally(() => {
        piece.release();
        this.#checks.delete(check);
        this.#doneBytes += piece.lengthBytes;
        this.#report();
      });
    this.#checks.add(check);
  }

  /** A piece is the same. */
  pass(piece: Piece): void {
    piece.release();
    this.#doneBytes += piece.lengthBytes;
    this.#report();
  }

  async settle(): Promise<void> {
    await Promise.all(this.#checks);
  }

  /** The ends may be as the image has them, or as flashing fits them; the nearest counts. */
  async compareEnds(imageBytes: number) {
    const { image, target, signal } = this.#request;
    const { disk } = target;
    const call: CallOptions = signal ? { signal } : {};
    const head = new Uint8Array(Math.min(pieceBytes, disk.sizeBytes));
    const tail = new Uint8Array(this.#tail.byteLength);
    try {
      await disk.read(0, head, call);
      if (tail.byteLength > 0) await disk.read(this.#tailStart, tail, call);
    } catch (error) {
      throw targetError(error, target, "read");
    }
    const whole = Math.min(imageBytes, disk.sizeBytes);
    const tailLength = Math.max(0, whole - this.#tailStart);
    const compare = (wantedHead: Uint8Array, wantedTail: Uint8Array) => [
      ...differingBlocks(
        0,
        wantedHead.subarray(0, whole),
        head.subarray(0, Math.min(whole, wantedHead.byteLength)),
        disk.blockSizeBytes,
      ),
      ...differingBlocks(
        this.#tailStart,
        wantedTail.subarray(0, tailLength),
        tail.subarray(0, tailLength),
        disk.blockSizeBytes,
      ),
    ];
    const plainHead = image.head.subarray(0, head.byteLength);
    let best = { ranges: compare(plainHead, this.#tail), isTableFitted: false };
    for (const isGrown of [false, true]) {
      if (best.ranges.length === 0) break;
      const found = { head: image.head, tail: this.#tail, sizeBytes: imageBytes };
      const ends = await planEnds(found, disk, { isGrown });
      const ranges = compare(ends.head, ends.tail);
      const isNearer = bytesOf(ranges) < bytesOf(best.ranges);
      if (isNearer) best = { ranges, isTableFitted: true };
    }
    return best;
  }

  async #compare(piece: Piece, at: number, lengthBytes: number): Promise<void> {
    const { target, signal } = this.#request;
    const { blockSizeBytes } = target.disk;
    const call: CallOptions = signal ? { signal } : {};
    const buffer = await this.#pool.take(signal);
    try {
      const whole = Math.ceil(lengthBytes / blockSizeBytes) * blockSizeBytes;
      await target.disk.read(at, buffer.subarray(0, whole), call);
      const found = buffer.subarray(0, lengthBytes);
      const from = at - piece.offsetBytes;
      const wanted = piece.data?.subarray(from, from + lengthBytes);
      if (!wanted && isAllZero(found)) return;
      const against = wanted ?? new Uint8Array(lengthBytes);
      this.ranges.push(...differingBlocks(at, against, found, blockSizeBytes));
    } finally {
      this.#pool.put(buffer);
    }
  }

  #report(): void {
    const { image, target, onEvent } = this.#request;
    if (!onEvent || !this.#meter.isDue) return;
    const total = image.facts.sizeBytes;
    onEvent({
      event: "progress",
      target: target.name,
      phase: "compare",
      bytes: this.#doneBytes,
      total,
      ...this.#meter.measure(this.#doneBytes, total),
      bottleneck: undefined,
    });
  }
}

function bytesOf(ranges: readonly DiskRange[]): number {
  return ranges.reduce((sum, { fromBytes, toBytes }) => sum + toBytes - fromBytes, 0);
}
