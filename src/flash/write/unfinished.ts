/**
 * The first sector of a disk while an image is being written: a text for people and for the next
 * run, where no firmware finds anything to boot. The head of the image replaces it at the end.
 */

import { hash } from "node:crypto";

/** What was being written. */
export interface Unfinished {
  readonly imageName: string;
  /** Of the image, where it was known. */
  readonly sizeBytes: number | undefined;
  /** Of this one writing: a text that stands on no other disk. */
  readonly run?: string;
}

const magic = "DISKOMATOR UNFINISHED 1";

/** One block. */
export function encodeUnfinished(what: Unfinished, blockSizeBytes: number): Uint8Array {
  const name = what.imageName.replaceAll(/[^\x20-\x7e]/g, "?").slice(0, 128);
  const run = what.run === undefined ? "" : `run ${what.run}\n`;
  const text = `${magic}\nThis disk does not boot: writing an image to it has not ended.\n${run}image ${name}\nbytes ${what.sizeBytes ?? "unknown"}\n`;
  const sector = new Uint8Array(blockSizeBytes);
  sector.set(Buffer.from(`${text}sha256 ${hash("sha256", text)}\n`, "latin1"));
  return sector;
}

/** Reads a disk's first block; undefined when it is anything else. */
export function decodeUnfinished(sector: Uint8Array): Unfinished | undefined {
  const whole = Buffer.from(sector).toString("latin1");
  if (!whole.startsWith(`${magic}\n`)) return undefined;
  const found = /^([\s\S]*\nimage (.*)\nbytes (\d+|unknown)\n)sha256 ([0-9a-f]{64})\n\0/.exec(
    whole,
  );
  if (!found || hash("sha256", found[1] ?? "") !== found[4]) return undefined;
  return {
    imageName: found[2] ?? "",
    sizeBytes: found[3] === "unknown" ? undefined : Number(found[3]),
  };
}
