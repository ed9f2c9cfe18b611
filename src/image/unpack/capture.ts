/** Contents of small files that later steps read: units, sysusers.d, copyright files, … */

import { malformed } from "./malformed.ts";
import type { TarEntry } from "./tar.ts";

/** A file's contents, as text where they are UTF-8; or where a symlink leads. */
export type Captured =
  | { readonly text: string }
  | { readonly base64: string }
  | { readonly symlink: string };

/** Longest file that is captured: contents travel between threads and lie in the cache as JSON. */
const capturedBytesMax = 4 * 1024 * 1024;

/**
 * What to remember of `entry`; nothing for directories and devices.
 * @throws ImageError `package` when the file is too long to be captured.
 */
export function capture(path: string, entry: TarEntry, source: string): Captured | undefined {
  if (entry.type === "symlink") return { symlink: entry.target };
  if (entry.type !== "file") return undefined;
  const { data } = entry;
  if (data.length > capturedBytesMax) {
    const found = `${data.length} bytes long`;
    const wanted = `at most ${capturedBytesMax}, to be captured`;
    throw malformed({ source, part: `the file ${path}`, found, wanted });
  }
  const raw = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  const text = raw.toString("utf8");
  return Buffer.from(text, "utf8").equals(raw) ? { text } : { base64: raw.toString("base64") };
}

/** The bytes of captured contents; undefined for a symlink. */
export function capturedBytes(captured: Captured): Uint8Array | undefined {
  if ("text" in captured) return Buffer.from(captured.text, "utf8");
  return "base64" in captured ? Buffer.from(captured.base64, "base64") : undefined;
}
