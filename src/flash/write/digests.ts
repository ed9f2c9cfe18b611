/** What was written, as digests: what verifying compares the disk with. */

import { hash } from "node:crypto";
import { digestBytes } from "../../block/index.ts";
import { unitBytes } from "../integrity/hasher.ts";
import { pieceBytes } from "../piece.ts";
import type { DiskRange } from "../target.ts";

/** Digests of an image's units; pieces that have none are zeros. */
export class Digests {
  readonly #pieces = new Map<number, Uint8Array>();

  set(offsetBytes: number, units: Uint8Array): void {
    this.#pieces.set(offsetBytes / pieceBytes, units);
  }

  /** Digests of the piece at `offsetBytes`; undefined for zeros. */
  at(offsetBytes: number): Uint8Array | undefined {
    return this.#pieces.get(offsetBytes / pieceBytes);
  }

  /** The digest of the unit that begins at `offsetBytes`; undefined for zeros. */
  unitAt(offsetBytes: number): Uint8Array | undefined {
    const inPiece = offsetBytes % pieceBytes;
    const at = (inPiece / unitBytes) * digestBytes;
    return this.at(offsetBytes - inPiece)?.subarray(at, at + digestBytes);
  }

  /** One digest over all: the same for the same contents, however they were packed. */
  contentSha256(sizeBytes: number): Uint8Array {
    const places = [...this.#pieces.keys()].sort((a, b) => a - b);
    const parts: Uint8Array[] = [Buffer.from(`diskomator content 2 ${sizeBytes}\n`)];
    for (const place of places) {
      parts.push(Buffer.from(`${place}\n`), this.#pieces.get(place) ?? new Uint8Array());
    }
    return hash("sha256", Buffer.concat(parts), "buffer");
  }
}

/** The ranges of a piece whose digests differ. */
export function differingUnits(
  offsetBytes: number,
  lengthBytes: number,
  wanted: Uint8Array,
  found: Uint8Array,
): DiskRange[] {
  const ranges: DiskRange[] = [];
  for (let n = 0; n * unitBytes < lengthBytes; n++) {
    const at = n * digestBytes;
    const to = at + digestBytes;
    if (Buffer.compare(wanted.subarray(at, to), found.subarray(at, to)) === 0) continue;
    const fromBytes = offsetBytes + n * unitBytes;
    ranges.push({ fromBytes, toBytes: Math.min(fromBytes + unitBytes, offsetBytes + lengthBytes) });
  }
  return ranges;
}

/** The same ranges, sorted, those that touch made one. */
export function mergeRanges(ranges: readonly DiskRange[]): DiskRange[] {
  const merged: DiskRange[] = [];
  for (const range of ranges.toSorted((a, b) => a.fromBytes - b.fromBytes)) {
    const last = merged.at(-1);
    if (last && range.fromBytes <= last.toBytes) {
      merged[merged.length - 1] = { ...last, toBytes: Math.max(last.toBytes, range.toBytes) };
    } else merged.push(range);
  }
  return merged;
}

/** `LBA 2048–4095, 8192` and how many more. */
export function formatRanges(ranges: readonly DiskRange[], blockSizeBytes: number): string {
  const shown = ranges.slice(0, 8).map(({ fromBytes, toBytes }) => {
    const first = Math.floor(fromBytes / blockSizeBytes);
    const last = Math.ceil(toBytes / blockSizeBytes) - 1;
    return first === last ? `${first}` : `${first}–${last}`;
  });
  const more = ranges.length > shown.length ? ` and ${ranges.length - shown.length} more` : "";
  return `LBA ${shown.join(", ")}${more}`;
}
