/**
 * Digests of the units of a disk or an image: whole SHA-256 sums, one after the other. A unit of
 * nothing but zeros is not hashed: zeros stand for it, which are no sum that anybody knows of.
 */

import { hash } from "node:crypto";

/** Of one unit. */
export const digestBytes = 32;
/** What is compared with a unit to find zeros, so much at a time. */
const zeros = Buffer.alloc(64 * 1024);
const zeroUnit = Buffer.alloc(digestBytes);

/** Puts the digests of the units of `data` into `target` from `at` on; the last unit may be short. */
export function digestUnits(
  data: Uint8Array,
  unitBytes: number,
  target: Uint8Array,
  at: number,
): void {
  let to = at;
  for (let from = 0; from < data.byteLength; from += unitBytes) {
    const unit = data.subarray(from, Math.min(from + unitBytes, data.byteLength));
    if (isZero(unit)) target.fill(0, to, to + digestBytes);
    else target.set(hash("sha256", unit, "buffer"), to);
    to += digestBytes;
  }
}

/** Room for the digests of so many bytes. */
export function digestsLength(lengthBytes: number, unitBytes: number): number {
  return Math.ceil(lengthBytes / unitBytes) * digestBytes;
}

/** Whether the unit with this number is one of zeros, by its digest. */
export function isZeroDigest(digests: Uint8Array, unit: number): boolean {
  const at = unit * digestBytes;
  return Buffer.compare(digests.subarray(at, at + digestBytes), zeroUnit) === 0;
}

function isZero(unit: Uint8Array): boolean {
  // Most data differs at once, and memcmp stops there.
  for (let at = 0; at < unit.byteLength; at += zeros.byteLength) {
    const end = Math.min(at + zeros.byteLength, unit.byteLength);
    if (zeros.compare(unit, at, end, 0, end - at) !== 0) return false;
  }
  return true;
}
