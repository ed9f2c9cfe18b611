/**
 * The first and last sectors of a written disk: what makes it boot. They are held back, get the
 * partition table's changes, and are written when everything else is there.
 */

import { type BlockDevice, BlockError, type CallOptions } from "../../block/index.ts";
import {
  DiskError,
  type Extent,
  type GptTable,
  markReserveBytes,
  planGptGrowth,
  planGptRelocation,
  planMark,
} from "../../disk/index.ts";
import { inspectHead } from "../contents.ts";
import { pieceBytes, runsOf } from "../piece.ts";
import { type Target, targetError } from "../target.ts";

/** The shape of a disk. */
interface Shape {
  readonly sizeBytes: number;
  readonly blockSizeBytes: number;
}

/** Where the last sectors begin that are held back; the size for a disk of one piece. */
export function tailStart({ sizeBytes }: Shape): number {
  const start = Math.floor((sizeBytes - pieceBytes) / pieceBytes) * pieceBytes;
  return Math.min(sizeBytes, Math.max(pieceBytes, start));
}

/** The ends of a disk, and changes that lie between them. */
export interface DiskEnds {
  readonly head: Uint8Array;
  readonly tail: Uint8Array;
  /** Parts of the table that lie in neither end. */
  readonly between: readonly Extent[];
  /** What was done to the table, for people. */
  readonly notes: readonly string[];
}

/** What is put at the ends besides the image. */
export interface EndsOptions {
  /** Let the last partition take the space after it. */
  readonly isGrown: boolean;
  /** The mark; none unless given. */
  readonly mark?: { readonly name: string; readonly sha256: Uint8Array };
}

/**
 * What stands at the ends of a disk after an image of `imageBytes` with these ends was written:
 * the backup of its GPT at the disk's end. An image without a healthy GPT stays as it is.
 * @param head up to one piece; @param tail what of the image lies from `tailStart` on.
 */
export async function planEnds(
  image: { readonly head: Uint8Array; readonly tail: Uint8Array; readonly sizeBytes: number },
  disk: Shape,
  { isGrown, mark }: EndsOptions,
): Promise<DiskEnds> {
  const from = tailStart(disk);
  const head = new Uint8Array(Math.min(pieceBytes, disk.sizeBytes));
  head.set(image.head.subarray(0, head.byteLength));
  const tail = new Uint8Array(disk.sizeBytes - from);
  tail.set(image.tail.subarray(0, tail.byteLength));
  const between: Extent[] = [];
  const put = (extents: readonly Extent[]) => {
    for (const extent of extents) {
      const { offsetBytes, bytes } = extent;
      if (offsetBytes + bytes.byteLength <= head.byteLength) head.set(bytes, offsetBytes);
      else if (offsetBytes >= from) tail.set(bytes, offsetBytes - from);
      else between.push(extent);
    }
  };
  const notes: string[] = [];
  const { report, sectorSizeBytes } = await inspectHead(head, disk.sizeBytes, disk.blockSizeBytes);
  if (report.primary.state !== "valid" || sectorSizeBytes !== disk.blockSizeBytes) {
    return { head, tail, between, notes };
  }
  const last = disk.sizeBytes / disk.blockSizeBytes - 1;
  const isMoved = report.primary.gpt.backupLba !== last;
  let table: GptTable = report.primary;
  try {
    if (isMoved) {
      const edit = planGptRelocation(report, disk, { reserveBytes: markReserveBytes });
      put(edit.steps.flat());
      table = edit;
      notes.push("backup GPT moved to the end of the disk");
    }
    if (isGrown) {
      const edit = planGptGrowth(table);
      put(edit.steps.flat());
      table = edit;
      notes.push(edit.steps.length > 0 ? "last partition grown" : "last partition cannot grow");
    }
  } catch (error) {
    if (!(error instanceof DiskError)) throw error;
    notes.push(`partition table left as the image has it: ${error.message}`);
    return { head, tail, between, notes };
  }
  const marked = mark && planMark(table, { ...mark, sizeBytes: image.sizeBytes });
  if (marked) put([marked]);
  return { head, tail, between, notes };
}

/**
 * Whether a disk has these ends already.
 * @throws FlashError as `targetError`.
 */
export async function holdsEnds(
  target: Target,
  { head, tail, between }: DiskEnds,
  options: CallOptions,
): Promise<boolean> {
  const { disk } = target;
  const parts = [
    { offsetBytes: 0, bytes: head },
    { offsetBytes: tailStart(disk), bytes: tail },
    ...between,
  ];
  for (const { offsetBytes, bytes } of parts) {
    const found = new Uint8Array(bytes.byteLength);
    try {
      if (found.byteLength > 0) await disk.read(offsetBytes, found, options);
    } catch (error) {
      options.signal?.throwIfAborted();
      // What cannot be read is not there, and may well be written.
      if (error instanceof BlockError && error.code === "medium") return false;
      throw targetError(error, target, "read its first and last sectors");
    }
    if (Buffer.compare(found, bytes) !== 0) return false;
  }
  return true;
}

/** Writes bytes, runs of zeros in them as such. */
export async function putRuns(
  disk: BlockDevice,
  offsetBytes: number,
  bytes: Uint8Array,
  options: CallOptions,
): Promise<void> {
  for (const { from, to, isZero } of runsOf(bytes)) {
    if (isZero) await disk.writeZeroes(offsetBytes + from, to - from, options);
    else await disk.write(offsetBytes + from, bytes.subarray(from, to), options);
  }
}
