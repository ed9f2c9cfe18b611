/**
 * CRC32C (Castagnoli), the digest of NVMe/TCP headers and data.
 * NVM Express TCP Transport 1.0 §3.3.1.1; RFC 3720 appendix B.4 for vectors.
 */

import { nativeCrc32c } from "./driver-native-crc32c.ts";

const polynomial = 0x82f63b78;
/** Tables, and bytes per step ("slicing by 16"). */
const slices = 16;
const tables = makeTables();

/**
 * Shortest input for the processor's own instructions: a call into native code takes 150 ns, which
 * the tables need for about 200 bytes. At 128 KiB the tables do 1.1 GiB/s, native code 4 GiB/s.
 */
const nativeBytesMin = 256;

/** CRC32C of `bytes`, continuing from `crc` (0 at the start), as an unsigned number. */
export function crc32c(bytes: Uint8Array, crc = 0): number {
  if (nativeCrc32c === undefined || bytes.length < nativeBytesMin) return byTables(bytes, crc);
  return nativeCrc32c(bytes, crc);
}

/** The same by our own tables: for short inputs, without native code, and as its test oracle. */
export function byTables(bytes: Uint8Array, crc = 0): number {
  const t = tables;
  let c = ~crc;
  let i = 0;
  const whole = bytes.length - (bytes.length % slices);
  for (; i < whole; i += slices) {
    c ^= bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24);
    c =
      t[3840 + (c & 255)]! ^
      t[3584 + ((c >>> 8) & 255)]! ^
      t[3328 + ((c >>> 16) & 255)]! ^
      t[3072 + (c >>> 24)]! ^
      t[2816 + bytes[i + 4]!]! ^
      t[2560 + bytes[i + 5]!]! ^
      t[2304 + bytes[i + 6]!]! ^
      t[2048 + bytes[i + 7]!]! ^
      t[1792 + bytes[i + 8]!]! ^
      t[1536 + bytes[i + 9]!]! ^
      t[1280 + bytes[i + 10]!]! ^
      t[1024 + bytes[i + 11]!]! ^
      t[768 + bytes[i + 12]!]! ^
      t[512 + bytes[i + 13]!]! ^
      t[256 + bytes[i + 14]!]! ^
      t[bytes[i + 15]!]!;
  }
  for (; i < bytes.length; i++) c = t[(c ^ bytes[i]!) & 255]! ^ (c >>> 8);
  return ~c >>> 0;
}

/** One table after the other: entry n of table k is byte n followed by k zero bytes. */
function makeTables(): Int32Array {
  const made = new Int32Array(slices * 256);
  for (let n = 0; n < 256; n++) {
    let c = n;
    for (let k = 0; k < 8; k++) c = c & 1 ? polynomial ^ (c >>> 1) : c >>> 1;
    made[n] = c;
  }
  for (let n = 256; n < made.length; n++) {
    const c = made[n - 256]!;
    made[n] = made[c & 255]! ^ (c >>> 8);
  }
  return made;
}
