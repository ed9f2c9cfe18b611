/** What the first bytes of an image say: partition table, sector size, and one line for people. */

import { MemoryDisk } from "../block/index.ts";
import { type GptReport, inspectGpt } from "../disk/index.ts";
import { formatSize } from "./size.ts";

/** What a partition table says of the image that it stands in. */
export interface HeadFacts {
  readonly report: GptReport;
  readonly sectorSizeBytes: number | undefined;
  readonly diskGuid: string | undefined;
  /** What the table speaks of must be there. */
  readonly sizeBytesMin: number;
  readonly contents: string;
}

/** Looks at the head of an image as if it lay on a disk of `sizeBytes`. */
export async function inspectHead(
  head: Uint8Array,
  sizeBytes: number,
  blockSizeBytes = 512,
): Promise<HeadFacts> {
  const whole = Math.ceil(Math.max(sizeBytes, head.byteLength) / blockSizeBytes) * blockSizeBytes;
  await using disk = new MemoryDisk({ sizeBytes: whole, blockSizeBytes, contents: head });
  const report = await inspectGpt(disk);
  const gpt = report.primary.state === "valid" ? report.primary.gpt : undefined;
  const lastLba = Math.max(0, ...(gpt?.partitions ?? []).map((partition) => partition.lastLba));
  return {
    report,
    sectorSizeBytes: gpt?.sectorSizeBytes,
    diskGuid: gpt?.diskGuid,
    sizeBytesMin: gpt && lastLba > 0 ? (lastLba + 1) * gpt.sectorSizeBytes : 0,
    contents: describe(report),
  };
}

function describe({ gpt, mbr }: GptReport): string {
  if (gpt) {
    const partitions = gpt.partitions.map(({ name, firstLba, lastLba }) => {
      const size = formatSize((lastLba - firstLba + 1) * gpt.sectorSizeBytes);
      return name === "" ? size : `"${name}" ${size}`;
    });
    return `GPT ${gpt.sectorSizeBytes} B${partitions.length > 0 ? `: ${partitions.join(", ")}` : ", empty"}`;
  }
  if (mbr.kind !== "none" && mbr.partitions.length > 0) {
    return `MBR with ${mbr.partitions.length} partitions`;
  }
  return "no partition table";
}
