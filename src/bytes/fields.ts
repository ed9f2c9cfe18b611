/** The fields that layouts are made of: integers, byte strings, text, gaps, bit ranges, arrays. */

import type { Field } from "./layout.ts";

/** Unsigned 8 bits. */
export const u8: Field<number> = integer(
  1,
  (v, o) => v.getUint8(o),
  (v, o, x) => v.setUint8(o, x),
);
/** Unsigned 16 bits, little-endian. */
export const u16le: Field<number> = integer(
  2,
  (v, o) => v.getUint16(o, true),
  (v, o, x) => v.setUint16(o, x, true),
);
/** Unsigned 16 bits, big-endian. */
export const u16be: Field<number> = integer(
  2,
  (v, o) => v.getUint16(o),
  (v, o, x) => v.setUint16(o, x),
);
/** Unsigned 32 bits, little-endian. */
export const u32le: Field<number> = integer(
  4,
  (v, o) => v.getUint32(o, true),
  (v, o, x) => v.setUint32(o, x, true),
);
/** Unsigned 32 bits, big-endian. */
export const u32be: Field<number> = integer(
  4,
  (v, o) => v.getUint32(o),
  (v, o, x) => v.setUint32(o, x),
);
/** Unsigned 64 bits, little-endian. */
export const u64le: Field<bigint> = {
  size: 8,
  read: (view, offset) => view.getBigUint64(offset, true),
  write: (view, offset, value) => view.setBigUint64(offset, checkBig(value), true),
};

/** A gap of `size` bytes: zeros when written, ignored when read. */
export function reserved(size: number): Field<never> {
  return {
    size,
    reserved: true,
    read: () => {
      throw new TypeError("A reserved gap has no value.");
    },
    write: () => {},
  };
}

/** Exactly `size` bytes; reading gives a copy. */
export function bytes(size: number): Field<Uint8Array> {
  return {
    size,
    read: (view, offset) => at(view, offset, size).slice(),
    write: (view, offset, value) => {
      if (value.byteLength !== size) {
        throw new RangeError(`This field takes ${size} bytes, not ${value.byteLength}.`);
      }
      at(view, offset, size).set(value);
    },
  };
}

/**
 * ASCII text in `size` bytes, padded at its end with `pad`.
 * Reading drops the padding; writing throws when the text is too long or not printable ASCII.
 */
export function ascii(size: number, pad: " " | "\0"): Field<string> {
  const padCode = pad.charCodeAt(0);
  return {
    size,
    read: (view, offset) => {
      const raw = at(view, offset, size);
      let end = pad === "\0" ? raw.indexOf(0) : size;
      if (end < 0) end = size;
      if (pad === " ") while (end > 0 && raw[end - 1] === padCode) end--;
      return String.fromCharCode(...raw.subarray(0, end));
    },
    write: (view, offset, value) => {
      if (!/^[\x20-\x7e]*$/.test(value) || value.length > size) {
        throw new RangeError(`This field takes up to ${size} ASCII characters, not "${value}".`);
      }
      const raw = at(view, offset, size).fill(padCode);
      for (let i = 0; i < value.length; i++) raw[i] = value.charCodeAt(i);
    },
  };
}

/** `count` values of the same field, one after the other. */
export function repeat<T>(field: Field<T>, count: number): Field<T[]> {
  return {
    size: field.size * count,
    read: (view, offset) =>
      Array.from({ length: count }, (_, i) => field.read(view, offset + i * field.size)),
    write: (view, offset, value) => {
      if (value.length !== count) {
        throw new RangeError(`This field takes ${count} values, not ${value.length}.`);
      }
      for (let i = 0; i < count; i++) field.write(view, offset + i * field.size, value[i]!);
    },
  };
}

/** One bit as a boolean, in a table for `bits`. */
export const flag = "flag";
/** Widths in bits, lowest bit first; a name that starts with `reserved` is a gap. */
export type BitTable = Readonly<Record<string, number | typeof flag>>;
/** The object that a bit table describes. */
export type BitValues<B> = {
  -readonly [K in keyof B as K extends `reserved${string}` ? never : K]: B[K] extends typeof flag
    ? boolean
    : number;
};

/**
 * Bit ranges of a little-endian integer of `size` bytes, declared from bit 0 upwards without gaps;
 * a sum other than `size` × 8, or a range of more than 32 bits, throws when the table is made.
 */
export function bits<const B extends BitTable>(size: 1 | 2 | 4 | 8, table: B): Field<BitValues<B>> {
  let shift = 0n;
  const ranges = Object.entries(table).map(([name, width]) => {
    const count = BigInt(width === flag ? 1 : width);
    const range = { name, isFlag: width === flag, shift, mask: (1n << count) - 1n };
    if (count > 32n && !name.startsWith("reserved")) {
      throw new RangeError(`Bit range "${name}" is wider than 32 bits.`);
    }
    shift += count;
    return range;
  });
  if (shift !== BigInt(size * 8)) {
    throw new RangeError(`Bit ranges take ${shift} bits, but the field has ${size * 8}.`);
  }
  const valued = ranges.filter(({ name }) => !name.startsWith("reserved"));
  return {
    size,
    read: (view, offset) => {
      const raw = readUnsigned(view, offset, size);
      const value: Record<string, number | boolean> = {};
      for (const { name, isFlag, shift: low, mask } of valued) {
        const part = Number((raw >> low) & mask);
        value[name] = isFlag ? part === 1 : part;
      }
      return value as BitValues<B>;
    },
    write: (view, offset, value) => {
      let raw = 0n;
      for (const { name, shift: low, mask } of valued) {
        const part = BigInt((value as Record<string, number | boolean>)[name]!);
        if (part < 0n || part > mask) {
          throw new RangeError(`Bit range "${name}" takes 0 to ${mask}, not ${part}.`);
        }
        raw |= part << low;
      }
      for (let i = 0; i < size; i++)
        view.setUint8(offset + i, Number((raw >> BigInt(8 * i)) & 255n));
    },
  };
}

function readUnsigned(view: DataView, offset: number, size: number): bigint {
  let raw = 0n;
  for (let i = size - 1; i >= 0; i--) raw = (raw << 8n) | BigInt(view.getUint8(offset + i));
  return raw;
}

function integer(
  size: 1 | 2 | 4,
  read: (view: DataView, offset: number) => number,
  write: (view: DataView, offset: number, value: number) => void,
): Field<number> {
  const max = 2 ** (8 * size) - 1;
  return {
    size,
    read,
    write: (view, offset, value) => {
      if (!Number.isInteger(value) || value < 0 || value > max) {
        throw new RangeError(`This field takes a whole number from 0 to ${max}, not ${value}.`);
      }
      write(view, offset, value);
    },
  };
}

function checkBig(value: bigint): bigint {
  if (value < 0n || value >= 1n << 64n) throw new RangeError(`${value} does not fit 64 bits.`);
  return value;
}

function at(view: DataView, offset: number, size: number): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset + offset, size);
}
