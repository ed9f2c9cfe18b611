/** Subresource integrity, npm's way to write a digest: `sha512-BASE64`. */
import { ImageError } from "../error.ts";

/**
 * The SHA-512 of an integrity value, in lower-case hex; the one of several that is SHA-512.
 * @throws ImageError `lock` when there is none.
 */
export function sha512OfIntegrity(integrity: string): string {
  for (const part of integrity.split(/\s+/)) {
    const base64 = /^sha512-([A-Za-z0-9+/]{86}==)(\?.*)?$/.exec(part)?.[1];
    if (base64 !== undefined) {
      return Buffer.from(base64, "base64").toString("hex");
    }
  }
  throw new ImageError(
    "lock",
    `Cannot read the integrity of an npm package: found ${JSON.stringify(integrity)}, wanted ` +
      "sha512- and 88 characters. Make the lock file anew with --update.",
    { integrity },
  );
}
