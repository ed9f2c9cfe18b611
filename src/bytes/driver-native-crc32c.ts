/**
 * CRC32C by the processor's own instructions, from the optional package `@node-rs/crc32`, which
 * has prebuilt binaries for most platforms; where it is absent, tables do the work.
 */

import { createRequire } from "node:module";

/** CRC32C of `bytes`, continuing from `crc`. */
type Crc32c = (bytes: Uint8Array, crc: number) => number;

/** CRC32C of the digits 1 to 9, the catalogue's check value. */
const checkValue = 0xe3069283;

/** The native function, `undefined` where the package or its binary is not installed. */
export const nativeCrc32c: Crc32c | undefined = load();

function load(): Crc32c | undefined {
  try {
    const loaded: unknown = createRequire(import.meta.url)("@node-rs/crc32");
    return isNative(loaded) && loaded.crc32c(Buffer.from("123456789"), 0) === checkValue
      ? loaded.crc32c
      : undefined;
  } catch {
    return undefined;
  }
}

function isNative(value: unknown): value is { crc32c: Crc32c } {
  return (
    typeof value === "object" &&
    value !== null &&
    "crc32c" in value &&
    typeof value.crc32c === "function"
  );
}
