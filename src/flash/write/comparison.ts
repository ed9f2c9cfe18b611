/**
 * One disk whose box hashes it: how it is written, what becomes of that on the way, and the checks
 * that the box does. Whatever fails here leaves the flash as it is without such a box.
 */

import { type CallOptions, digestBytes, digestUnits } from "../../block/index.ts";
import { FlashError, reasonOf } from "../error.ts";
import { unitBytes } from "../integrity/hasher.ts";
import { pieceBytes } from "../piece.ts";
import type { DiskHashing, DiskRange, Target } from "../target.ts";
import { DiskDigests } from "./disk-digests.ts";
import { tailStart } from "./ends.ts";
import { type Mode, modeBySample, takeSample, whyFull } from "./mode.ts";
import type { RunContext } from "./run.ts";
import { type BoxVerifyRequest, verifyOnBox } from "./verify-on-box.ts";
import type { BodyWriter } from "./writer.ts";

/** How a disk is compared with the image that is written to it. */
export class Comparison {
  readonly #target: Target;
  readonly #hashing: DiskHashing;
  readonly #context: RunContext;
  readonly #writer: BodyWriter;
  readonly #linkBytesPerSecond: number | undefined;
  #digests: DiskDigests | undefined;
  #mode: Mode;
  /** The box hashes no slower than its link carries, and still does. */
  #isHashing = true;
  #isOver = false;
  #comparedBytes = 0;
  #differingBytes = 0;

  /**
   * Decides, and lets the box begin; undefined where the disk's box cannot hash it.
   * @throws FlashError when the disk or the image cannot be read.
   */
  static async begin(
    target: Target,
    context: RunContext,
    writer: BodyWriter,
  ): Promise<Comparison | undefined> {
    const { hashing, disk } = target;
    if (!hashing) return undefined;
    const { image, clock, signal } = context.request;
    // What packed data says of its length is good enough to hash so much.
    const sizeBytes = image.facts.sizeBytes ?? image.facts.expectedBytes;
    const whole = Math.ceil((sizeBytes ?? 0) / disk.blockSizeBytes) * disk.blockSizeBytes;
    const range = { fromBytes: pieceBytes, toBytes: Math.min(whole, tailStart(disk)) };
    if (sizeBytes === undefined) {
      const mode: Mode = { mode: "full", reason: "the length of the image is not known" };
      return new Comparison(target, hashing, context, writer, mode, undefined);
    }
    if (range.toBytes <= range.fromBytes) return undefined;
    const call: CallOptions = signal ? { signal } : {};
    const sample = await takeSample(target, image, range, clock, call);
    const link = sample?.linkBytesPerSecond;
    const mode = modeBySample(sample);
    const comparison = new Comparison(target, hashing, context, writer, mode, link);
    if (mode.mode === "delta") comparison.#start(range);
    return comparison;
  }

  private constructor(
    target: Target,
    hashing: DiskHashing,
    context: RunContext,
    writer: BodyWriter,
    mode: Mode,
    linkBytesPerSecond: number | undefined,
  ) {
    this.#target = target;
    this.#hashing = hashing;
    this.#context = context;
    this.#writer = writer;
    this.#mode = mode;
    this.#linkBytesPerSecond = linkBytesPerSecond;
    this.#tell();
  }

  get mode(): Mode {
    return this.#mode;
  }

  get isDelta(): boolean {
    return this.#mode.mode === "delta";
  }

  /** Whether the box is asked to verify. */
  get isHashing(): boolean {
    return this.#isHashing;
  }

  /** Data was compared. */
  count(comparedBytes: number, differingBytes: number): void {
    this.#comparedBytes += comparedBytes;
    this.#differingBytes += differingBytes;
    const hashBytesPerSecond = this.#digests?.bytesPerSecond;
    const why = whyFull({
      comparedBytes: this.#comparedBytes,
      differingBytes: this.#differingBytes,
      hashBytesPerSecond,
      linkBytesPerSecond: this.#linkBytesPerSecond,
      isVerified: this.#context.request.isVerified,
    });
    if (why === undefined || !this.isDelta) return;
    const [hashes, carries] = [hashBytesPerSecond, this.#linkBytesPerSecond];
    if (hashes !== undefined && carries !== undefined) this.#isHashing = hashes >= carries;
    this.#giveUp(why);
  }

  /** The digests do not come. */
  fail(error: unknown): void {
    // Whatever waited for digests when they were given up, or were not wanted any more.
    if (!this.isDelta || this.#isOver) return;
    this.#isHashing = false;
    this.#giveUp(`the box cannot hash the disk: ${reasonOf(error)}`);
  }

  /** The pass is over. */
  async end(): Promise<void> {
    this.#isOver = true;
    this.#writer.compareWith(undefined);
    await this.#digests?.stop();
  }

  /**
   * Looks whether the disk that the box hashes is the one that is written: it must have the sector
   * that stands on no other.
   * @throws FlashError `identity-changed`
   */
  async confirmDisk(sector: Uint8Array): Promise<void> {
    if (!this.#isHashing) return;
    const wanted = new Uint8Array(digestBytes);
    digestUnits(sector, unitBytes, wanted, 0);
    let found: Uint8Array | undefined;
    try {
      const range = { fromBytes: 0, toBytes: sector.byteLength };
      const take = (_: number, digests: Uint8Array) => {
        found = digests;
      };
      await this.#hashing.digest([range], unitBytes, take, this.#call);
    } catch (error) {
      this.#call.signal?.throwIfAborted();
      this.fail(error);
      this.#isHashing = false;
      return;
    }
    if (found && Buffer.compare(found, wanted) === 0) return;
    const { name } = this.#target;
    throw new FlashError(
      "identity-changed",
      `Cannot go on with ${name}: its box hashes another disk than the one that is written, or the ` +
        "disk does not keep what is written to it. Nothing more is written. List the disks again.",
      { target: name },
    );
  }

  /** What differs, by the box; why it could not say, when it could not. */
  async verify(request: Omit<BoxVerifyRequest, "hashing">): Promise<DiskRange[] | string> {
    try {
      return await verifyOnBox({ hashing: this.#hashing, ...request, ...this.#call });
    } catch (error) {
      this.#call.signal?.throwIfAborted();
      this.#isHashing = false;
      return reasonOf(error);
    }
  }

  #start(range: DiskRange): void {
    const { clock, signal } = this.#context.request;
    this.#digests = new DiskDigests(range, clock);
    this.#digests.start(this.#hashing, signal);
    this.#writer.compareWith(this.#digests);
  }

  #giveUp(reason: string): void {
    this.#writer.compareWith(undefined);
    if (!this.isDelta) return;
    this.#mode = { mode: "full", reason };
    this.#tell();
    void this.#digests?.stop();
  }

  #tell(): void {
    const { name } = this.#target;
    this.#context.request.onMode?.({ event: "mode", target: name, ...this.#mode });
  }

  get #call(): CallOptions {
    const { signal } = this.#context.request;
    return signal ? { signal } : {};
  }
}

/** Bytes of several ranges. */
export function bytesOf(ranges: readonly DiskRange[]): number {
  return ranges.reduce((sum, { fromBytes, toBytes }) => sum + toBytes - fromBytes, 0);
}
