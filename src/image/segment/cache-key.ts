/** Names for cached segments that change whenever anything that shapes their bytes changes. */

import { createHash } from "node:crypto";
import type { Codec } from "./segment.ts";

/**
 * Raised whenever code of this part or of `unpack` makes other bytes or listings of the same
 * input, so that segments of an older builder are not taken for current ones.
 */
export const segmentFormat = 3;

/** Values that have a canonical JSON form. */
export type Json =
  | string
  | number
  | boolean
  | null
  | readonly Json[]
  | { readonly [key: string]: Json };

/** JSON without spaces, with the keys of all objects sorted by code units. */
export function canonicalJson(value: Json): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const pairs = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  const members = pairs.map(([key, item]) => `${JSON.stringify(key)}:${canonicalJson(item)}`);
  return `{${members.join(",")}}`;
}

/**
 * The key of a segment: SHA-256, lower-case hex, over all that its bytes depend on.
 * @param ingredients the inputs by their hashes, the rules, the epoch.
 * @param libzstd version of the library that compresses (`process.versions.zstd`), which counts
 * only where it is used.
 */
export function segmentKey(
  ingredients: { readonly [key: string]: Json },
  codec: Codec,
  libzstd: string,
): string {
  const codecJson = codec.kind === "store" ? codec.kind : `zstd ${codec.level} of ${libzstd}`;
  const all = { format: segmentFormat, codec: codecJson, ingredients };
  return createHash("sha256").update(canonicalJson(all)).digest("hex");
}
