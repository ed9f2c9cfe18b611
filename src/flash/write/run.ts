/** One disk's way through a flash, from the first look to the last sector. */

import { randomBytes } from "node:crypto";
import type { CallOptions } from "../../block/index.ts";
import { writeExtents } from "../../disk/index.ts";
import { FlashError } from "../error.ts";
import type { FlashRequest, FlashTarget, TargetResult } from "../flash.ts";
import { type Piece, type PiecePool, pieceBytes } from "../piece.ts";
import { type BottleneckFinder, Meter, type Phase } from "../progress.ts";
import { formatSize } from "../size.ts";
import {
  confirmAlone,
  confirmIdentity,
  type DiskRange,
  lossesError,
  lostRanges,
  type Target,
  targetError,
} from "../target.ts";
import { bytesOf, Comparison } from "./comparison.ts";
import { type Digests, formatRanges, mergeRanges } from "./digests.ts";
import { type DiskEnds, holdsEnds, planEnds, putRuns, tailStart } from "./ends.ts";
import { differingBlocks, verifyBody } from "./verify.ts";
import { BodyWriter } from "./writer.ts";

/** What all disks of one flash share. */
export interface RunContext {
  readonly request: FlashRequest;
  readonly digests: Digests;
  readonly pool: PiecePool;
  readonly bottleneck: BottleneckFinder;
}

/** Ends are written again when a reconnect may have lost them, so often. */
const endsTriesMax = 3;

/** One disk; its methods never reject: what goes wrong is in its result. */
export class TargetRun {
  readonly #context: RunContext;
  readonly #flashed: FlashTarget;
  readonly #writer: BodyWriter;
  readonly #began: number;
  readonly #notes: string[] = [];
  #meter: Meter;
  #phase: Phase = "prepare";
  #verifiedBytes = 0;
  #totalBytes: number | undefined;
  #endedMs: number | undefined;
  #comparison: Comparison | undefined;

  constructor(flashed: FlashTarget, context: RunContext) {
    const { request } = context;
    const { facts } = request.image;
    this.#context = context;
    this.#flashed = flashed;
    this.#began = request.clock();
    this.#meter = new Meter(request.clock);
    this.#totalBytes = facts.expectedBytes;
    this.#writer = new BodyWriter(flashed.target, {
      imageName: facts.name,
      imageBytes: facts.sizeBytes,
      isComparing: flashed.isComparing,
      clock: request.clock,
      onProgress: () => this.#report(false),
      pool: context.pool,
      hasher: request.hasher,
      run: randomBytes(16).toString("hex"),
      onBegin: request.onBegin,
      onCleared: async (sector) => await this.#comparison?.confirmDisk(sector),
      onCompared: (compared, differing) => this.#comparison?.count(compared, differing),
      onCompareFailed: (error) => this.#comparison?.fail(error),
      ...this.#call,
    });
  }

  get name(): string {
    return this.target.name;
  }

  get target(): Target {
    return this.#flashed.target;
  }

  /** Whether it goes on. */
  get isLive(): boolean {
    return this.#writer.failure === undefined;
  }

  /** Whether pieces are compared by their digests before they are read. */
  get isDelta(): boolean {
    return this.#comparison?.isDelta ?? false;
  }

  async begin(): Promise<void> {
    this.#enter("prepare", undefined);
    await this.#guard(async () => {
      this.#comparison = await Comparison.begin(this.#flashed.target, this.#context, this.#writer);
      // Where it is compared, nothing is touched before something is found to be another.
      if (!this.isDelta) await this.#writer.begin();
    });
    if (this.isLive) this.#enter("write", this.#context.request.image.facts.expectedBytes);
  }

  /** Waits until there is room for a piece. */
  async room(): Promise<void> {
    await this.#writer.room();
  }

  /** Takes a piece over; the head is known already, and comes last. */
  accept(piece: Piece, digests?: Promise<Uint8Array>): void {
    if (piece.offsetBytes > 0) {
      this.#writer.accept(piece, digests);
      return;
    }
    this.#writer.counts.done += piece.lengthBytes;
    piece.release();
  }

  abandon(error: unknown): void {
    this.#writer.fail(error);
  }

  /** Waits for what is under way. */
  async settle(): Promise<void> {
    await this.#writer.drain();
    await this.#comparison?.end();
  }

  /** Ranges that may be lost. */
  async flushBody(): Promise<readonly DiskRange[]> {
    let lost: readonly DiskRange[] = [];
    await this.#guard(async () => {
      lost = await this.#writer.flush();
    });
    await this.#writer.drain();
    await this.#comparison?.end();
    return lost;
  }

  /** Verifies the body, then writes what makes the disk boot. */
  async finish(imageBytes: number): Promise<void> {
    await this.#guard(async () => {
      const { request } = this.#context;
      if (request.isVerified) await this.#verifyBody(imageBytes);
      this.#enter("finish", undefined);
      await this.#writeEnds(imageBytes);
    });
    this.#endedMs = this.#context.request.clock();
    this.#report(true);
  }

  result(): TargetResult {
    const { failure, counts, hasBegun } = this.#writer;
    const { clock, isVerified } = this.#context.request;
    return {
      target: this.name,
      outcome: failure === undefined ? "ok" : "failed",
      error: failure,
      hasBegun,
      counts,
      isVerified: isVerified && failure === undefined,
      ...(this.#comparison ? { mode: this.#comparison.mode } : {}),
      seconds: ((this.#endedMs ?? clock()) - this.#began) / 1000,
      notes: this.#notes,
    };
  }

  async #verifyBody(imageBytes: number): Promise<void> {
    const { target } = this.#flashed;
    const toBytes = Math.min(imageBytes, tailStart(target.disk));
    if (toBytes <= pieceBytes) return;
    const onProgress = (bytes: number) => {
      this.#verifiedBytes += bytes;
      this.#report(false);
    };
    const { digests, pool, request } = this.#context;
    if (this.#comparison?.isHashing) {
      // What was equal has been read from the medium already.
      const ranges = this.#writer.written;
      this.#enter("verify", bytesOf(ranges));
      const { padded } = this.#writer;
      const found = await this.#comparison.verify({ digests, ranges, padded, onProgress });
      if (typeof found !== "string") {
        if (found.length > 0) throw this.#mismatch(found);
        return;
      }
      this.#notes.push(`the box could not verify, so it was all read back: ${found}`);
      this.#verifiedBytes = 0;
    }
    this.#enter("verify", toBytes - pieceBytes);
    const ranges = await verifyBody({
      target,
      digests,
      range: { fromBytes: pieceBytes, toBytes },
      imageBytes,
      hasher: request.hasher,
      pool,
      onProgress,
      ...this.#call,
    });
    if (ranges.length > 0) throw this.#mismatch(ranges);
  }

  async #writeEnds(imageBytes: number): Promise<void> {
    const { request, digests } = this.#context;
    const { target } = this.#flashed;
    // What was equal is not read again: it has to be what it was.
    await confirmAlone(target, this.#call);
    const { name } = request.image.facts;
    const sha256 = request.isVerified ? digests.contentSha256(imageBytes) : new Uint8Array(32);
    const ends = await planEnds(
      { head: request.image.head, tail: this.#writer.tail, sizeBytes: imageBytes },
      target.disk,
      { isGrown: request.isGrown, mark: { name, sha256 } },
    );
    this.#notes.push(...ends.notes);
    const { blockSizeBytes } = target.disk;
    if (imageBytes % blockSizeBytes !== 0) {
      this.#notes.push(
        `the image's last block was filled up to ${blockSizeBytes} bytes with zeros`,
      );
    }
    if (!this.#writer.hasBegun) {
      if (await holdsEnds(target, ends, this.#call)) {
        this.#notes.push("the disk held all of it already: nothing was written");
        return;
      }
      await this.#writer.begin();
    }
    await confirmIdentity(target, this.#call);
    for (let tries = 1; ; tries++) {
      if (await this.#putEnds(ends)) break;
      if (tries === endsTriesMax) throw lossesError(target, tries);
    }
    if (request.isVerified) await this.#verifyEnds(ends);
  }

  /** The very first block comes last. False when a reconnect may have lost some of it. */
  async #putEnds({ head, tail, between }: DiskEnds): Promise<boolean> {
    const { target } = this.#flashed;
    const { disk } = target;
    const call = this.#call;
    const first = disk.blockSizeBytes;
    try {
      await writeExtents(disk, between, call);
      await putRuns(disk, tailStart(disk), tail, call);
      await putRuns(disk, first, head.subarray(first), call);
      await disk.flush(call);
      await disk.write(0, head.subarray(0, first), call);
      await disk.flush(call);
      return true;
    } catch (error) {
      if (lostRanges(error)) return false;
      call.signal?.throwIfAborted();
      throw targetError(error, target, "write its first and last sectors");
    }
  }

  async #verifyEnds({ head, tail }: DiskEnds): Promise<void> {
    const { target } = this.#flashed;
    const { disk } = target;
    const ranges: DiskRange[] = [];
    for (const [at, wanted] of [[0, head] as const, [tailStart(disk), tail] as const]) {
      const found = new Uint8Array(wanted.byteLength);
      try {
        await disk.read(at, found, this.#call);
      } catch (error) {
        throw targetError(error, target, "read its first and last sectors back");
      }
      ranges.push(...differingBlocks(at, wanted, found, disk.blockSizeBytes));
    }
    if (ranges.length === 0) return;
    await disk.writeZeroes(0, disk.blockSizeBytes, this.#call).catch(() => undefined);
    throw this.#mismatch(mergeRanges(ranges));
  }

  #mismatch(ranges: readonly DiskRange[]): FlashError {
    const { blockSizeBytes } = this.#flashed.target.disk;
    const bytes = bytesOf(ranges);
    return new FlashError(
      "mismatch",
      `Cannot trust ${this.name}: it gives back other bytes than were written, in ` +
        `${formatSize(bytes)} at ${formatRanges(ranges, blockSizeBytes)}. The disk does not boot; ` +
        "it may be failing.",
      { target: this.name, ranges, blockSizeBytes },
    );
  }

  #enter(phase: Phase, totalBytes: number | undefined): void {
    // How the phase before ended.
    if (this.#phase !== phase) this.#report(true);
    this.#phase = phase;
    this.#totalBytes = totalBytes;
    this.#meter = new Meter(this.#context.request.clock);
    this.#report(true);
  }

  #report(isForced: boolean): void {
    const { request, bottleneck } = this.#context;
    if (!request.onEvent || !(isForced || this.#meter.isDue)) return;
    const { isRemote } = this.#flashed.target;
    const isMoving = this.#phase === "write" || this.#phase === "verify";
    const bytes = this.#phase === "verify" ? this.#verifiedBytes : this.#writer.counts.done;
    const measured = this.#meter.measure(isMoving ? bytes : 0, this.#totalBytes);
    request.onEvent({
      event: "progress",
      target: this.name,
      phase: this.#phase,
      bytes: isMoving ? bytes : 0,
      total: this.#totalBytes,
      ...measured,
      bottleneck: this.#phase === "write" ? bottleneck.find(isRemote) : undefined,
    });
  }

  async #guard(step: () => Promise<void>): Promise<void> {
    if (!this.isLive) return;
    try {
      await step();
    } catch (error) {
      this.#writer.fail(targetError(error, this.#flashed.target, "write"));
    }
  }

  get #call(): CallOptions {
    const { signal } = this.#context.request;
    return signal ? { signal } : {};
  }
}
