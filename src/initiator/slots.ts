/**
 * The places for commands under way of one queue, and their command identifiers (CID).
 *
 * A cid is a slot and a generation, so that a late or doubled response is not taken for that of the
 * slot's next command.
 */

/** Slots are numbered below this. */
export const cidSlotsMax = 4096;
const generations = 16;

/** Commands by their cid; no more of them than there are slots. */
export class Slots<E extends { readonly cid: number }> {
  readonly #slots: (E | undefined)[];
  readonly #free: number[];
  readonly #generation: Uint8Array;

  /** @param count At most `cidSlotsMax`. */
  constructor(count: number) {
    this.#slots = new Array<E | undefined>(count).fill(undefined);
    this.#free = Array.from({ length: count }, (_, index) => count - 1 - index);
    this.#generation = new Uint8Array(count);
  }

  get taken(): number {
    return this.#slots.length - this.#free.length;
  }

  get isFull(): boolean {
    return this.#free.length === 0;
  }

  /** The cid that the entry for `take` must have; there is a free slot. */
  nextCid(): number {
    const slot = this.#free.at(-1)!;
    return ((this.#generation[slot]! + 1) % generations) * cidSlotsMax + slot;
  }

  /** Puts an entry with the cid of `nextCid` in its slot. */
  take(entry: E): void {
    const slot = this.#free.pop()!;
    this.#generation[slot] = (this.#generation[slot]! + 1) % generations;
    this.#slots[slot] = entry;
  }

  /** The entry that is under way as `cid`, if one is. */
  of(cid: number): E | undefined {
    const entry = this.#slots[cid % cidSlotsMax];
    return entry?.cid === cid ? entry : undefined;
  }

  /** Makes the slot of an entry free. */
  free(cid: number): void {
    const slot = cid % cidSlotsMax;
    this.#slots[slot] = undefined;
    this.#free.push(slot);
  }

  /** All entries, in no order that matters. */
  *entries(): Generator<E> {
    for (const entry of this.#slots) if (entry) yield entry;
  }

  /** Forgets all entries. */
  clear(): void {
    for (const entry of this.entries()) this.free(entry.cid);
  }
}
