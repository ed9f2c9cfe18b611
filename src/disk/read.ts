/** Bytes of a device at any place, whatever its blocks. */

import { type BlockDevice, BlockError, type CallOptions } from "../block/index.ts";

/**
 * `lengthBytes` from `offsetBytes` on, or `undefined` where the device ends or its medium cannot
 * be read.
 * @throws BlockError other than `medium`, as the device does.
 */
export async function readBytes(
  device: BlockDevice,
  offsetBytes: number,
  lengthBytes: number,
  options?: CallOptions,
): Promise<Uint8Array | undefined> {
  const { blockSizeBytes, sizeBytes } = device;
  const start = Math.floor(offsetBytes / blockSizeBytes) * blockSizeBytes;
  const end = Math.ceil((offsetBytes + lengthBytes) / blockSizeBytes) * blockSizeBytes;
  if (start < 0 || end > sizeBytes) return undefined;
  const blocks = new Uint8Array(end - start);
  try {
    await device.read(start, blocks, options);
  } catch (error) {
    if (error instanceof BlockError && error.code === "medium") return undefined;
    throw error;
  }
  return blocks.subarray(offsetBytes - start, offsetBytes - start + lengthBytes);
}
