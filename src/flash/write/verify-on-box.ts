/** Verifying what was written where it lies: the box hashes it, and the digests are compared. */

import { type CallOptions, digestBytes } from "../../block/index.ts";
import { unitBytes } from "../integrity/hasher.ts";
import type { DiskHashing, DiskRange } from "../target.ts";
import { type Digests, mergeRanges } from "./digests.ts";

/** What is verified. */
export interface BoxVerifyRequest extends CallOptions {
  readonly hashing: DiskHashing;
  readonly digests: Digests;
  /** From multiples of `unitBytes` on, in whole blocks. */
  readonly ranges: readonly DiskRange[];
  /** The unit that the image ends in, with what fills its last block up. */
  readonly padded: PaddedUnit | undefined;
  readonly onProgress: (doneBytes: number) => void;
}

/** @see BoxVerifyRequest */
export interface PaddedUnit {
  readonly offsetBytes: number;
  readonly digest: Uint8Array;
}

const zeroDigest = new Uint8Array(digestBytes);

/**
 * Compares ranges of a disk with the digests of what should be there.
 * @returns what differs, in units.
 * @throws what the hashing throws, and an Error when it gave less than it was asked for.
 */
export async function verifyOnBox(request: BoxVerifyRequest): Promise<DiskRange[]> {
  const { hashing, digests, ranges, padded, onProgress, signal } = request;
  const differing: DiskRange[] = [];
  let units = 0;
  const take = (offsetBytes: number, found: Uint8Array) => {
    for (let at = 0; at < found.byteLength; at += digestBytes) {
      const fromBytes = offsetBytes + (at / digestBytes) * unitBytes;
      const isPadded = padded?.offsetBytes === fromBytes;
      const wanted = isPadded ? padded.digest : digests.unitAt(fromBytes);
      const isSame =
        Buffer.compare(found.subarray(at, at + digestBytes), wanted ?? zeroDigest) === 0;
      if (!isSame) differing.push({ fromBytes, toBytes: fromBytes + unitBytes });
      units++;
    }
    onProgress((found.byteLength / digestBytes) * unitBytes);
  };
  await hashing.digest(ranges, unitBytes, take, signal ? { signal } : {});
  const wanted = ranges.reduce(
    (sum, r) => sum + Math.ceil((r.toBytes - r.fromBytes) / unitBytes),
    0,
  );
  if (units !== wanted) throw new Error(`the box gave ${units} digests of ${wanted}`);
  return mergeRanges(differing);
}
