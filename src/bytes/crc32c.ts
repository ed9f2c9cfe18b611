/**
 * CRC32C (Castagnoli), the digest of NVMe/TCP headers and data.
 * NVM Express TCP Transport 1.0 §3.3.1.1; RFC 3720 appendix B.4 for vectors.
 */

const polynomial = 0x82f63b78;
const tables = makeTables();

/**
 * CRC32C of `bytes`, continuing from `crc` (0 at the start), as an unsigned number.
 * Eight tables, eight bytes per step ("slicing by 8").
 */
export function crc32c(bytes: Uint8Array, crc = 0): number {
  const [t0, t1, t2, t3, t4, t5, t6, t7] = tables as [
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
    Uint32Array,
  ];
  let c = ~crc;
  let i = 0;
  const whole = bytes.length - (bytes.length % 8);
  for (; i < whole; i += 8) {
    c ^= bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24);
    c =
      t7[c & 255]! ^
      t6[(c >>> 8) & 255]! ^
      t5[(c >>> 16) & 255]! ^
      t4[c >>> 24]! ^
      t3[bytes[i + 4]!]! ^
      t2[bytes[i + 5]!]! ^
      t1[bytes[i + 6]!]! ^
      t0[bytes[i + 7]!]!;
  }
  for (; i < bytes.length; i++) c = t0[(c ^ bytes[i]!) & 255]! ^ (c >>> 8);
  return ~c >>> 0;
}

function makeTables(): Uint32Array[] {
  const first = new Uint32Array(256);
  for (let n = 0; n < 256; n++) {
    let c = n;
    for (let k = 0; k < 8; k++) c = c & 1 ? polynomial ^ (c >>> 1) : c >>> 1;
    first[n] = c;
  }
  const made = [first];
  for (let k = 1; k < 8; k++) {
    const previous = made[k - 1]!;
    made.push(previous.map((c) => first[c & 255]! ^ (c >>> 8)));
  }
  return made;
}
