/** Putting a planned edit of a partition table down at once. */

import type { BlockDevice } from "../../block/index.ts";
import { writeExtents } from "../extent.ts";
import type { GptEdit } from "../gpt-edit.ts";

/**
 * Writes an edit's steps in their order, each flushed before the next.
 * @throws BlockError as the device does.
 */
export async function applyGptEdit(
  device: BlockDevice,
  { steps }: Pick<GptEdit, "steps">,
): Promise<void> {
  for (const step of steps) {
    await writeExtents(device, step);
    await device.flush();
  }
}
