/** The check that a downloaded file is the one that the lock names. */

import { createHash } from "node:crypto";
import { ImageError } from "../error.ts";

/**
 * Compares a digest of `bytes` with the one that the lock has.
 * @throws ImageError `hash` that names both.
 */
export function verifyDigest(
  bytes: Uint8Array,
  path: string,
  algorithm: "sha256" | "sha512",
  encoding: "hex" | "base64",
  wanted: string,
): void {
  const found = createHash(algorithm).update(bytes).digest(encoding);
  if (found === wanted) return;
  throw new ImageError(
    "hash",
    `Cannot use ${path}: its ${algorithm} is ${found}, but the lock says ${wanted}. ` +
      "Remove the file and build again, so that it is fetched afresh.",
    { path, algorithm, found, wanted },
  );
}
