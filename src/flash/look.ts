/** What is on a disk before anything is written: the facts that a plan is made from. */

import { BlockError, type CallOptions } from "../block/index.ts";
import { describeDisk, type ImageMark, readMark } from "../disk/index.ts";
import { type Target, targetError } from "./target.ts";
import { decodeUnfinished, type Unfinished } from "./write/unfinished.ts";

/** Whose the contents of a disk are. */
export type Ownership =
  | { readonly kind: "blank" }
  /** An image that this program wrote. */
  | { readonly kind: "ours"; readonly mark: ImageMark }
  /** An image that this program wrote, whose partition table somebody has edited since. */
  | { readonly kind: "edited"; readonly mark: ImageMark }
  /** This program began to write an image, and did not end. */
  | { readonly kind: "unfinished"; readonly what: Unfinished }
  | { readonly kind: "foreign" };

/** A disk as it was found. */
export interface DiskFacts {
  readonly ownership: Ownership;
  /** One line for people. */
  readonly contents: string;
  /** Of its partition table. */
  readonly diskGuid: string | undefined;
}

/**
 * Looks at a disk without changing anything.
 * @throws FlashError `disk-gone` or `disk-failed`.
 */
export async function lookAtDisk(target: Target, options?: CallOptions): Promise<DiskFacts> {
  const { disk } = target;
  try {
    const described = await describeDisk(disk, options);
    const { gpt } = described.gpt;
    const facts = { contents: described.contents, diskGuid: gpt?.diskGuid };
    if (described.isBlank) return { ...facts, ownership: { kind: "blank" } };
    const what = await readUnfinished(target, options);
    if (what) {
      const contents = `an unfinished copy of ${what.imageName}`;
      return { ...facts, contents, ownership: { kind: "unfinished", what } };
    }
    const mark = await readMark(disk, described.gpt, options);
    if (mark.state === "valid") return { ...facts, ownership: { kind: "ours", mark: mark.mark } };
    // That is what an installed system makes of an image, or an image of itself when it first boots.
    const isEdited = mark.state === "stale" && mark.reason === "header";
    if (isEdited) return { ...facts, ownership: { kind: "edited", mark: mark.mark } };
    return { ...facts, ownership: { kind: "foreign" } };
  } catch (error) {
    options?.signal?.throwIfAborted();
    throw targetError(error, target, "look at what it holds");
  }
}

async function readUnfinished(
  { disk }: Target,
  options?: CallOptions,
): Promise<Unfinished | undefined> {
  const sector = new Uint8Array(disk.blockSizeBytes);
  try {
    await disk.read(0, sector, options);
  } catch (error) {
    // Writing it may well make it whole.
    if (error instanceof BlockError && error.code === "medium") return undefined;
    throw error;
  }
  return decodeUnfinished(sector);
}
