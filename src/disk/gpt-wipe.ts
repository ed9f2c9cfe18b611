/** Taking a disk's partition table away, of either sector size, and putting planned steps down. */

import type { BlockDevice, CallOptions } from "../block/index.ts";
import { type Extent, writeExtents } from "./extent.ts";
import type { GptEdit } from "./gpt-edit.ts";
import { inspectGpt } from "./gpt-inspect.ts";
import { gptHeader, gptSignature } from "./gpt-layout.ts";
import { readBytes } from "./read.ts";

const mbrBytes = 512;

/**
 * What makes a disk one without a partition table: zeros over the MBR and over every header that
 * is found, for sectors of 512 and of 4096 bytes. What the partitions hold stays.
 * @throws BlockError other than `medium`, as the device does.
 */
export async function planGptWipe(device: BlockDevice, options?: CallOptions): Promise<Extent[]> {
  const { sizeBytes } = device;
  const { gpt } = await inspectGpt(device, options);
  const places = new Set<number>();
  for (const sector of [512, 4096]) {
    places.add(sector).add((Math.floor(sizeBytes / sector) - 1) * sector);
  }
  if (gpt) places.add(gpt.backupLba * gpt.sectorSizeBytes);
  const wiped: Extent[] = [];
  if (sizeBytes >= mbrBytes) wiped.push({ offsetBytes: 0, bytes: new Uint8Array(mbrBytes) });
  for (const offsetBytes of [...places].sort((a, b) => a - b)) {
    if (offsetBytes < mbrBytes) continue;
    const found = await readBytes(device, offsetBytes, gptHeader.size, options);
    if (!found || gptHeader.decode(found).signature !== gptSignature) continue;
    wiped.push({ offsetBytes, bytes: new Uint8Array(gptHeader.size) });
  }
  return wiped;
}

/**
 * Writes an edit's steps in their order, each flushed before the next.
 * @throws BlockError as the device does.
 */
export async function applyGptEdit(
  device: BlockDevice,
  { steps }: Pick<GptEdit, "steps">,
  options?: CallOptions,
): Promise<void> {
  for (const step of steps) {
    await writeExtents(device, step, options);
    await device.flush(options);
  }
}
