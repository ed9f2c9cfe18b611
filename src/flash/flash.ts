/** Writing an image to disks: read once, written to each at its own pace, verified, made bootable. */

import type { CallOptions } from "../block/index.ts";
import { FlashError } from "./error.ts";
import type { Image, RandomImage, ReopenImage } from "./image.ts";
import type { Hasher } from "./integrity/hasher.ts";
import { type Piece, PiecePool } from "./piece.ts";
import { BottleneckFinder, type ModeEvent, type ProgressEvent } from "./progress.ts";
import { type DiskRange, lossesError, type Target } from "./target.ts";
import { Digests } from "./write/digests.ts";
import type { Mode } from "./write/mode.ts";
import { TargetRun } from "./write/run.ts";
import type { WriteCounts } from "./write/writer.ts";

/** A disk that its plan allows to be written. */
export interface FlashTarget {
  readonly target: Target;
  /** From the plan. */
  readonly isComparing: boolean;
}

/** What is written where, and how. */
export interface FlashRequest extends CallOptions {
  readonly image: Image;
  /** Opens the image once more, to write again what a lost connection may have lost. */
  readonly reopen?: ReopenImage;
  readonly targets: readonly FlashTarget[];
  readonly isVerified: boolean;
  readonly isGrown: boolean;
  readonly hasher: Hasher;
  readonly clock: () => number;
  readonly onEvent?: (event: ProgressEvent) => void;
  /** Something is about to be written to a disk; not called where nothing is. */
  readonly onBegin?: () => void;
  /** What was decided about a disk whose box can hash it, and when that changes. */
  readonly onMode?: (event: ModeEvent) => void;
}

/** How it ended for one disk. */
export interface TargetResult {
  readonly target: string;
  readonly outcome: "ok" | "failed";
  /** Why it failed. */
  readonly error: unknown;
  /** Something was written, or may have been: where it failed, the disk does not boot. */
  readonly hasBegun: boolean;
  readonly counts: WriteCounts;
  readonly isVerified: boolean;
  /** Where the disk's box can hash it: how it was written at last, and why so. */
  readonly mode?: Mode;
  readonly seconds: number;
  readonly notes: readonly string[];
}

/** How it ended. */
export interface FlashReport {
  readonly image: string;
  readonly imageBytes: number;
  readonly seconds: number;
  /** Names the contents, however they were packed; undefined when nothing was verified. */
  readonly contentSha256: string | undefined;
  readonly results: readonly TargetResult[];
}

/** Buffers that the reading and all disks share: what bounds the memory. */
const poolPieces = 24;

/**
 * Writes an image to all targets. A target that fails does not stop the others: its error is in
 * its result. Until its end, a disk does not boot.
 * @throws FlashError when the image itself is no good, or comes to an early end; the disks then do
 *   not boot. The signal's reason when it is aborted.
 */
export async function flashImage(request: FlashRequest): Promise<FlashReport> {
  const { image, targets, clock, signal } = request;
  const began = clock();
  const digests = new Digests();
  const pool = new PiecePool(poolPieces);
  const bottleneck = new BottleneckFinder(image.times, image.facts.packing.length > 0);
  const runs = targets.map((each) => new TargetRun(each, { request, digests, pool, bottleneck }));
  await Promise.all(runs.map((run) => run.begin()));
  let imageBytes = 0;
  try {
    imageBytes = await readOnce(request, runs, digests, pool);
  } catch (error) {
    for (const run of runs) run.abandon(error);
    await Promise.all(runs.map((run) => run.settle()));
    signal?.throwIfAborted();
    throw error;
  }
  const lost = await Promise.all(runs.map((run) => run.flushBody()));
  await rewriteLost(request, runs, lost, pool);
  await Promise.all(runs.map((run) => run.finish(imageBytes)));
  // What came when all disks were done interrupts nothing.
  if (runs.some((run) => !run.isLive)) signal?.throwIfAborted();
  return {
    image: image.facts.name,
    imageBytes,
    seconds: (clock() - began) / 1000,
    contentSha256: request.isVerified
      ? Buffer.from(digests.contentSha256(imageBytes)).toString("hex")
      : undefined,
    results: runs.map((run) => run.result()),
  };
}

/** Reads the image to its end and gives each piece to every disk that still goes on. */
async function readOnce(
  request: FlashRequest,
  runs: readonly TargetRun[],
  digests: Digests,
  pool: PiecePool,
): Promise<number> {
  const { random } = request.image;
  const live = runs.filter((run) => run.isLive);
  // Nothing is read but to be hashed, unless it turns out to be wanted.
  if (random && live.length > 0 && live.every((run) => run.isDelta)) {
    return await readDigests(request, random, runs, digests);
  }
  const needsDigests = request.isVerified || runs.some((run) => run.isDelta);
  return await readPieces(request, runs, needsDigests ? digests : undefined, pool);
}

async function readDigests(
  { signal }: FlashRequest,
  random: RandomImage,
  runs: readonly TargetRun[],
  known: Digests,
): Promise<number> {
  let imageBytes = 0;
  for await (const { piece, digests } of random.digested(signal ? { signal } : {})) {
    imageBytes = piece.offsetBytes + piece.lengthBytes;
    if (piece.load) known.set(piece.offsetBytes, digests);
    const live = runs.filter((run) => run.isLive);
    if (live.length === 0) break;
    for (const run of live) {
      run.accept(piece, Promise.resolve(digests));
      await run.room();
    }
  }
  return imageBytes;
}

async function readPieces(
  { image, hasher, signal }: FlashRequest,
  runs: readonly TargetRun[],
  known: Digests | undefined,
  pool: PiecePool,
): Promise<number> {
  const hashing = new Set<Promise<unknown>>();
  let failure: unknown;
  let imageBytes = 0;
  const hash = (piece: Piece, data: Uint8Array): Promise<Uint8Array> => {
    piece.retain();
    const digests = hasher.digestUnits(data);
    const step = digests
      .then((units) => known?.set(piece.offsetBytes, units))
      .catch((error: unknown) => {
        failure ??= error;
      })
      .finally(() => {
        piece.release();
        hashing.delete(step);
      });
    hashing.add(step);
    return digests;
  };
  try {
    for await (const piece of image.pieces(pool, signal ? { signal } : {})) {
      const { offsetBytes, lengthBytes, data } = piece;
      imageBytes = Math.max(imageBytes, offsetBytes + lengthBytes);
      const digests = known && data ? hash(piece, data) : undefined;
      const live = runs.filter((run) => run.isLive);
      for (const run of live) {
        piece.retain();
        run.accept(piece, digests);
      }
      piece.release();
      if (live.length === 0 || failure !== undefined) break;
    }
  } finally {
    await Promise.all(hashing);
  }
  if (failure !== undefined) throw failure;
  return imageBytes;
}

/** So often what is written again may be lost again. */
const rewritesMax = 3;

/** Writes again, from another reading, what a lost connection may have taken with it. */
async function rewriteLost(
  request: FlashRequest,
  runs: readonly TargetRun[],
  found: readonly (readonly DiskRange[])[],
  pool: PiecePool,
): Promise<void> {
  let lost = found;
  for (let tries = 1; ; tries++) {
    const isAffected = (run: TargetRun, n: number) => run.isLive && (lost[n]?.length ?? 0) > 0;
    const affected = runs.filter(isAffected);
    if (affected.length === 0) return;
    if (tries > rewritesMax) {
      for (const run of affected) run.abandon(lossesError(run.target, tries));
      return;
    }
    if (!(await rewrite(request, runs, lost, pool))) {
      for (const run of affected) run.abandon(unreadableAgain(run, request.image));
      return;
    }
    lost = await Promise.all(
      runs.map((run, n) => (isAffected(run, n) ? run.flushBody() : Promise.resolve([]))),
    );
  }
}

function unreadableAgain({ name }: TargetRun, { facts }: Image): FlashError {
  return new FlashError(
    "disk-gone",
    `Cannot vouch for ${name}: its connection was lost and came back, what was written ` +
      `shortly before may be lost, and ${facts.name} cannot be read a second time. ` +
      "Run the same command again.",
    { target: name },
  );
}

/** False when the image cannot be read again, or is another one now. */
async function rewrite(
  { reopen, image, signal }: FlashRequest,
  runs: readonly TargetRun[],
  lost: readonly (readonly DiskRange[])[],
  pool: PiecePool,
): Promise<boolean> {
  if (!reopen) return false;
  const call: CallOptions = signal ? { signal } : {};
  await using again = await reopen(call);
  if (again.state !== image.state) return false;
  for await (const piece of again.pieces(pool, call)) {
    const end = piece.offsetBytes + piece.lengthBytes;
    for (const [n, run] of runs.entries()) {
      const isLost = lost[n]?.some((r) => r.fromBytes < end && r.toBytes > piece.offsetBytes);
      if (!isLost || !run.isLive) continue;
      piece.retain();
      run.accept(piece);
    }
    piece.release();
  }
  return true;
}
