/** What the .json files of the segment cache look like: whatever is otherwise is made again. */

import * as v from "valibot";
import { maintainerScripts } from "../unpack/index.ts";
import type { SegmentListing } from "./segment.ts";

const codec = v.variant("kind", [
  v.object({ kind: v.literal("zstd"), level: v.number() }),
  v.object({ kind: v.literal("store") }),
]);

/** First line of the file. */
const cacheHeader = v.object({
  format: v.number(),
  key: v.string(),
  codec,
  sizeBytes: v.number(),
  sha256: v.string(),
  crc32: v.number(),
  listingCrc32: v.number(),
});

/** First line of the file. */
export type CacheHeader = v.InferOutput<typeof cacheHeader>;

const entry = v.object({
  path: v.string(),
  type: v.picklist(["file", "directory", "symlink", "hardlink", "character", "block"]),
  mode: v.number(),
  uid: v.number(),
  gid: v.number(),
  sizeBytes: v.number(),
  target: v.exactOptional(v.string()),
  device: v.exactOptional(v.tuple([v.number(), v.number()])),
});

const captured = v.union([
  v.object({ text: v.string() }),
  v.object({ base64: v.string() }),
  v.object({ symlink: v.string() }),
]);

/** Second line of the file; 20,000 entries take 10 ms. */
const listing = v.object({
  entries: v.array(entry),
  captured: v.record(v.string(), captured),
  control: v.record(v.string(), v.string()),
  scripts: v.record(v.picklist(maintainerScripts), v.string()),
});

/** A header, or nothing where the text is none. */
export function parseHeader(text: string): CacheHeader | undefined {
  return parsed(cacheHeader, text);
}

/** A listing, or nothing where the text is none. */
export function parseListing(text: string): SegmentListing | undefined {
  return parsed(listing, text);
}

function parsed<T>(form: v.GenericSchema<unknown, T>, text: string): T | undefined {
  try {
    const found = v.safeParse(form, JSON.parse(text));
    return found.success ? found.output : undefined;
  } catch {
    return undefined;
  }
}
