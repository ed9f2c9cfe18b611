/**
 * The header block of tar, declared once.
 * Source: POSIX.1-1988 "ustar", and the GNU tar manual, "Basic Tar Format", for base-256 numbers.
 */

import { bytes, type Field, layout, reserved, viewOf } from "../../bytes/index.ts";

/** Bytes of a header and of the unit that contents are padded to. */
export const tarBlockSize = 512;

/**
 * Header of an entry. What `prefix` means depends on `magic`, see `readTar`. Paths are bytes up to
 * the first NUL: where a longer name comes before, GNU tar cuts them in the middle of a character.
 */
export const tarHeader = layout("tar header", tarBlockSize, {
  name: bytes(100),
  mode: tarNumber(8),
  uid: tarNumber(8),
  gid: tarNumber(8),
  size: tarNumber(12),
  mtime: tarNumber(12),
  checksum: tarNumber(8),
  type: bytes(1),
  linkName: bytes(100),
  magic: text(6),
  version: bytes(2),
  userName: text(32),
  groupName: text(32),
  major: tarNumber(8),
  minor: tarNumber(8),
  prefix: bytes(155),
  reserved500: reserved(12),
});

/** The header's bytes summed up, with the checksum field counted as spaces. */
export function tarChecksum(header: Uint8Array): number {
  const start = tarHeader.offsets.checksum!;
  let sum = 8 * 0x20;
  for (let i = 0; i < start; i++) sum += header[i]!;
  for (let i = start + 8; i < tarBlockSize; i++) sum += header[i]!;
  return sum;
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** UTF-8 text; throws a TypeError when the bytes are something else. */
export function decodeText(raw: Uint8Array): string {
  return decoder.decode(raw);
}

/** UTF-8 text in `size` bytes that ends at the first NUL or with the field. */
function text(size: number): Field<string> {
  return {
    size,
    read: (view, offset) => {
      const raw = new Uint8Array(view.buffer, view.byteOffset + offset, size);
      const end = raw.indexOf(0);
      return decodeText(end < 0 ? raw : raw.subarray(0, end));
    },
    write: (view, offset, value) => {
      const raw = new TextEncoder().encode(value);
      if (raw.length > size) throw new RangeError(`"${value}" is longer than ${size} bytes.`);
      new Uint8Array(view.buffer, view.byteOffset + offset, size).set(raw);
    },
  };
}

/**
 * A number in `size` bytes: octal text that ends with a NUL or space, an empty field being 0, or,
 * when the first byte is 0x80, the big-endian number in the rest (GNU's base-256).
 */
function tarNumber(size: number): Field<number> {
  return {
    size,
    read: (view, offset) => {
      const first = view.getUint8(offset);
      if (first === 0x80) return readBase256(view, offset, size);
      const raw = new Uint8Array(view.buffer, view.byteOffset + offset, size);
      const digits = String.fromCharCode(...raw).replace(/^ +/, "");
      const end = /[\0 ]/.exec(digits)?.index ?? digits.length;
      const octal = digits.slice(0, end);
      if (!/^[0-7]*$/.test(octal)) {
        throw new RangeError(`${JSON.stringify(octal)} is no octal number.`);
      }
      return octal === "" ? 0 : Number.parseInt(octal, 8);
    },
    write: (view, offset, value) => {
      const octal = value.toString(8).padStart(size - 1, "0");
      if (octal.length > size - 1) return writeBase256(view, offset, size, value);
      const raw = new Uint8Array(view.buffer, view.byteOffset + offset, size);
      for (let i = 0; i < size - 1; i++) raw[i] = octal.charCodeAt(i);
    },
  };
}

function readBase256(view: DataView, offset: number, size: number): number {
  let value = 0;
  for (let i = 1; i < size; i++) value = value * 256 + view.getUint8(offset + i);
  if (!Number.isSafeInteger(value)) throw new RangeError(`${value} is too large a number.`);
  return value;
}

function writeBase256(view: DataView, offset: number, size: number, value: number): void {
  let rest = value;
  for (let i = size - 1; i > 0; i--) {
    view.setUint8(offset + i, rest % 256);
    rest = Math.floor(rest / 256);
  }
  view.setUint8(offset, 0x80);
}

/** Whether a block holds only zeros, which is how an archive ends. */
export function isZeroBlock(archive: Uint8Array, offset: number): boolean {
  const view = viewOf(archive);
  for (let i = 0; i < tarBlockSize; i += 4) if (view.getUint32(offset + i) !== 0) return false;
  return true;
}
