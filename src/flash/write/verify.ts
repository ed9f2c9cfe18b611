/** Reading back what was written, and comparing it with what should be there. */

import type { CallOptions } from "../../block/index.ts";
import { type Hasher, unitBytes } from "../integrity/hasher.ts";
import { isAllZero, type PiecePool, pieceBytes } from "../piece.ts";
import { type DiskRange, type Target, targetError } from "../target.ts";
import { type Digests, differingUnits, mergeRanges } from "./digests.ts";
import { readAhead } from "./read-ahead.ts";

/** What is verified, and with what. */
export interface VerifyRequest extends CallOptions {
  readonly target: Target;
  readonly digests: Digests;
  /** From and to in whole pieces, but for the end. */
  readonly range: DiskRange;
  readonly imageBytes: number;
  readonly hasher: Hasher;
  readonly pool: PiecePool;
  readonly onProgress: (doneBytes: number) => void;
}

/**
 * Reads a range back: what the disk's device gives, which for one of this machine may come from the
 * kernel's page cache.
 * @returns the ranges that differ; in units of `unitBytes`.
 * @throws FlashError as `targetError`.
 */
export async function verifyBody(request: VerifyRequest): Promise<DiskRange[]> {
  const { target, digests, range, imageBytes, hasher, pool, onProgress, signal } = request;
  const { blockSizeBytes } = target.disk;
  const found: DiskRange[] = [];
  const checks = new Set<Promise<void>>();
  let failure: unknown;
  const toBytes = Math.ceil(range.toBytes / blockSizeBytes) * blockSizeBytes;
  try {
    const all = { fromBytes: range.fromBytes, toBytes };
    for await (const piece of readAhead(target.disk, all, pool, signal ? { signal } : {})) {
      const { offsetBytes, data = new Uint8Array() } = piece;
      const check = differences(offsetBytes, data, digests.at(offsetBytes), imageBytes, hasher)
        .then((ranges) => {
          found.push(...ranges);
        })
        .catch((error: unknown) => {
          failure ??= error;
        })
        .finally(() => {
          piece.release();
          checks.delete(check);
          onProgress(data.byteLength);
        });
      checks.add(check);
    }
    await Promise.all(checks);
  } catch (error) {
    signal?.throwIfAborted();
    throw targetError(error, target, "read back");
  } finally {
    await Promise.allSettled(checks);
  }
  if (failure !== undefined) throw failure;
  return mergeRanges(found);
}

async function differences(
  offsetBytes: number,
  data: Uint8Array,
  wanted: Uint8Array | undefined,
  imageBytes: number,
  hasher: Hasher,
): Promise<DiskRange[]> {
  if (!wanted) return nonZeroUnits(offsetBytes, data);
  // The image may end within a block; what pads it is not in the digests.
  const length = Math.min(data.byteLength, imageBytes - offsetBytes);
  const found = await hasher.digestUnits(data.subarray(0, length));
  const ranges = differingUnits(offsetBytes, length, wanted, found);
  return isAllZero(data.subarray(length))
    ? ranges
    : [...ranges, { fromBytes: offsetBytes + length, toBytes: offsetBytes + data.byteLength }];
}

function nonZeroUnits(offsetBytes: number, data: Uint8Array): DiskRange[] {
  if (isAllZero(data)) return [];
  const ranges: DiskRange[] = [];
  for (let from = 0; from < Math.min(pieceBytes, data.byteLength); from += unitBytes) {
    const unit = data.subarray(from, from + unitBytes);
    if (isAllZero(unit)) continue;
    ranges.push({
      fromBytes: offsetBytes + from,
      toBytes: offsetBytes + from + unit.byteLength,
    });
  }
  return ranges;
}

/** The ranges where two buffers differ, in blocks. */
export function differingBlocks(
  offsetBytes: number,
  wanted: Uint8Array,
  found: Uint8Array,
  blockSizeBytes: number,
): DiskRange[] {
  if (Buffer.compare(wanted, found) === 0) return [];
  const ranges: DiskRange[] = [];
  for (let from = 0; from < wanted.byteLength; from += blockSizeBytes) {
    const to = Math.min(from + blockSizeBytes, wanted.byteLength);
    if (Buffer.compare(wanted.subarray(from, to), found.subarray(from, to)) === 0) continue;
    ranges.push({ fromBytes: offsetBytes + from, toBytes: offsetBytes + to });
  }
  return mergeRanges(ranges);
}
