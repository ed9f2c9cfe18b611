/** The partitions of an image that firmware looks for a boot loader in. */

import { partitionTypes } from "../disk/index.ts";
import { inspectHead } from "./contents.ts";
import type { Image } from "./image.ts";

/** Their unique GUIDs, in lower case; none where the image has no GPT. */
export async function bootPartitionGuids({
  facts,
  head,
}: Pick<Image, "facts" | "head">): Promise<readonly string[]> {
  const { report } = await inspectHead(head, facts.sizeBytes ?? head.byteLength * 2);
  const partitions = report.primary.state === "valid" ? report.primary.gpt.partitions : [];
  const systems = partitions.filter(({ typeGuid }) => typeGuid === partitionTypes.efiSystem);
  return systems.map(({ guid }) => guid.toLowerCase());
}
