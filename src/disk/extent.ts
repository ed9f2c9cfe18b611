/** What is to be written where; everything that no extent covers is zeros. */

import type { BlockDevice, CallOptions } from "../block/index.ts";

/** Bytes and their place on a disk, or in a partition before `shiftExtents`. */
export interface Extent {
  readonly offsetBytes: number;
  readonly bytes: Uint8Array;
}

/** The same extents, further into the disk. */
export function shiftExtents(extents: readonly Extent[], byBytes: number): Extent[] {
  return extents.map(({ offsetBytes, bytes }) => ({ offsetBytes: offsetBytes + byBytes, bytes }));
}

/**
 * Sorts extents by place.
 * @throws RangeError when two overlap or one ends after `sizeBytes`.
 */
export function arrangeExtents(extents: readonly Extent[], sizeBytes: number): Extent[] {
  const sorted = extents
    .filter(({ bytes }) => bytes.byteLength > 0)
    .sort((a, b) => a.offsetBytes - b.offsetBytes);
  let end = 0;
  for (const { offsetBytes, bytes } of sorted) {
    if (offsetBytes < end) throw new RangeError(`Two extents overlap at byte ${offsetBytes}.`);
    end = offsetBytes + bytes.byteLength;
  }
  if (end > sizeBytes) {
    throw new RangeError(`An extent ends at byte ${end}, after the disk's ${sizeBytes}.`);
  }
  return sorted;
}

/** One buffer of `sizeBytes` with the extents in their places. */
export function assembleExtents(extents: readonly Extent[], sizeBytes: number): Uint8Array {
  const whole = new Uint8Array(sizeBytes);
  for (const { offsetBytes, bytes } of arrangeExtents(extents, sizeBytes)) {
    whole.set(bytes, offsetBytes);
  }
  return whole;
}

/**
 * Writes extents to a device, each rounded out to whole blocks with what the device holds there.
 * @throws BlockError as the device does.
 */
export async function writeExtents(
  device: BlockDevice,
  extents: readonly Extent[],
  options?: CallOptions,
): Promise<void> {
  const { blockSizeBytes, sizeBytes } = device;
  for (const { offsetBytes, bytes } of arrangeExtents(extents, sizeBytes)) {
    const head = offsetBytes % blockSizeBytes;
    const length = Math.ceil((head + bytes.byteLength) / blockSizeBytes) * blockSizeBytes;
    if (length === bytes.byteLength) {
      await device.write(offsetBytes, bytes, options);
      continue;
    }
    const blocks = new Uint8Array(length);
    await device.read(offsetBytes - head, blocks, options);
    blocks.set(bytes, head);
    await device.write(offsetBytes - head, blocks, options);
  }
}
