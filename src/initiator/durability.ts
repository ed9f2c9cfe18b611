/**
 * Which writes of a disk may be lost: those that were acknowledged and not flushed when the
 * connection was, since nobody can tell a cut cable from a target that restarted.
 *
 *   acknowledged ──a flush that began later succeeds──► durable
 *        └──────────────reconnect──────────────► maybe lost ──a flush tells──► the caller knows
 *
 * Every flush that is under way at a reconnect tells, and else the next one.
 */

import type { ByteRange } from "./written-ranges.ts";
import { WrittenRanges } from "./written-ranges.ts";

/** A flush under way. */
export interface FlushRecord {
  /** What was acknowledged when it began. */
  readonly covered: WrittenRanges;
  /** What may be lost, which it has to tell. */
  readonly lost: WrittenRanges;
}

/** The books of one disk. */
export class Durability {
  #unflushed = new WrittenRanges();
  #lost = new WrittenRanges();
  readonly #flushes = new Set<FlushRecord>();
  #epoch: number;

  /** @param epoch Number of the association that the disk was opened on. */
  constructor(epoch: number) {
    this.#epoch = epoch;
  }

  /** A write was acknowledged on association `epoch`. */
  acknowledged(startBytes: number, endBytes: number, epoch: number): void {
    const isOld = epoch < this.#epoch;
    (isOld ? this.#lost : this.#unflushed).add(startBytes, endBytes);
  }

  /** A flush begins. */
  begin(): FlushRecord {
    const record = { covered: this.#unflushed, lost: this.#lost };
    this.#unflushed = new WrittenRanges();
    this.#lost = new WrittenRanges();
    this.#flushes.add(record);
    return record;
  }

  /** A flush succeeded; returns what may be lost in spite of that. */
  succeed(record: FlushRecord): readonly ByteRange[] {
    this.#flushes.delete(record);
    return record.lost.take();
  }

  /** A flush failed: all is as it was before. */
  fail(record: FlushRecord): void {
    this.#flushes.delete(record);
    this.#unflushed.addAll(record.covered);
    this.#lost.addAll(record.lost);
  }

  /** The disk goes on over association `epoch`; what was acknowledged before may be lost. */
  reconnected(epoch: number): void {
    this.#epoch = epoch;
    const lost = this.#unflushed;
    this.#unflushed = new WrittenRanges();
    for (const { covered } of this.#flushes) {
      for (const { offsetBytes, lengthBytes } of covered.take()) {
        lost.add(offsetBytes, offsetBytes + lengthBytes);
      }
    }
    for (const record of this.#flushes) record.lost.addAll(lost);
    if (this.#flushes.size === 0) this.#lost.addAll(lost);
  }
}
