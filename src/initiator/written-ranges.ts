/**
 * The ranges of a disk that were written: never less than that, and more only where there are too
 * many pieces to tell apart.
 */

/** A range of bytes. */
export interface ByteRange {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

/** Pieces that are kept apart; beyond, all become one. */
const piecesMax = 256;
/** How many of the last pieces a new one is tried to be joined with. */
const joinsMax = 16;

/** A set of ranges that only grows, until it is emptied. */
export class WrittenRanges {
  #pieces: { startBytes: number; endBytes: number }[] = [];

  get isEmpty(): boolean {
    return this.#pieces.length === 0;
  }

  /** Takes a range in; constant work, since every write of a disk comes here. */
  add(startBytes: number, endBytes: number): void {
    if (endBytes <= startBytes) return;
    const pieces = this.#pieces;
    for (let n = pieces.length - 1; n >= 0 && n >= pieces.length - joinsMax; n--) {
      const piece = pieces[n]!;
      if (startBytes > piece.endBytes || endBytes < piece.startBytes) continue;
      piece.startBytes = Math.min(piece.startBytes, startBytes);
      piece.endBytes = Math.max(piece.endBytes, endBytes);
      return;
    }
    pieces.push({ startBytes, endBytes });
    if (pieces.length > piecesMax) this.#join(true);
  }

  /** Takes all ranges of `other` in. */
  addAll(other: WrittenRanges): void {
    for (const { startBytes, endBytes } of other.#pieces) this.add(startBytes, endBytes);
  }

  /** The ranges in their order, none touching another; the set is empty afterwards. */
  take(): ByteRange[] {
    this.#join(false);
    const ranges = this.#pieces.map(({ startBytes, endBytes }) => ({
      offsetBytes: startBytes,
      lengthBytes: endBytes - startBytes,
    }));
    this.#pieces = [];
    return ranges;
  }

  /** Joins pieces that touch; all of them, if that is not enough to have fewer. */
  #join(toFewer: boolean): void {
    const sorted = this.#pieces.sort((a, b) => a.startBytes - b.startBytes);
    const joined: typeof sorted = [];
    for (const piece of sorted) {
      const last = joined.at(-1);
      if (last && piece.startBytes <= last.endBytes) {
        last.endBytes = Math.max(last.endBytes, piece.endBytes);
      } else joined.push(piece);
    }
    if (toFewer && joined.length > piecesMax / 2) {
      joined.splice(1, joined.length, {
        startBytes: joined[0]!.startBytes,
        endBytes: joined.at(-1)!.endBytes,
      });
      joined.shift();
    }
    this.#pieces = joined;
  }
}
