/**
 * Fields that the other layouts of this part share: 0's based counts, alignments, 128-bit counts.
 *
 * "0's based" (NVMe Base 2.0 §1.4.2): the wire holds one less than what is meant. The conversion
 * happens here and nowhere else, so a decoded count is the count.
 */

import { type Field, u8, u16le, u32le, u64le } from "../bytes/index.ts";

/** A 0's based count: the value is one more than what lies on the wire. */
export function zeroBased(field: Field<number>): Field<number> {
  return {
    size: field.size,
    read: (view, offset) => field.read(view, offset) + 1,
    write: (view, offset, value) => field.write(view, offset, value - 1),
  };
}

/** A 0's based count of 8 bits: 1 to 256. */
export const count8 = zeroBased(u8);
/** A 0's based count of 16 bits: 1 to 65536. */
export const count16 = zeroBased(u16le);
/** A 0's based count of 32 bits: 1 to 2^32. */
export const count32 = zeroBased(u32le);

/** HPDA and CPDA (TCP Transport 1.0 §3.6.2.2): 0's based dwords on the wire, bytes as a value. */
export const pduAlignment: Field<number> = {
  size: 1,
  read: (view, offset) => (u8.read(view, offset) + 1) * 4,
  write: (view, offset, value) => u8.write(view, offset, value / 4 - 1),
};

const half = 2n ** 64n;

/** Unsigned 128 bits, little-endian. */
export const u128le: Field<bigint> = {
  size: 16,
  read: (view, offset) => u64le.read(view, offset) + u64le.read(view, offset + 8) * half,
  write: (view, offset, value) => {
    u64le.write(view, offset, value % half);
    u64le.write(view, offset + 8, value / half);
  },
};
