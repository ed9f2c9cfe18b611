/** Fields that superblocks have and the wire has not: UUIDs, text, big-endian 64 bits. */

import { bytes, type Field } from "../../bytes/index.ts";

/** Unsigned 64 bits, big-endian. */
export const u64be: Field<bigint> = {
  size: 8,
  read: (view, offset) => view.getBigUint64(offset),
  write: (view, offset, value) => view.setBigUint64(offset, value),
};

const rawUuid = bytes(16);

/** 16 bytes in the order of their text, as RFC 9562 has them; 36 lower-case characters. */
export const uuid: Field<string> = {
  size: rawUuid.size,
  read: (view, offset) => {
    const hex = Buffer.from(rawUuid.read(view, offset)).toString("hex");
    return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
  },
  write: (view, offset, value) => {
    rawUuid.write(view, offset, Buffer.from(value.replaceAll("-", ""), "hex"));
  },
};

/** UTF-8 up to the first NUL, without spaces at its end. Bytes that are none become U+FFFD. */
export function text(size: number): Field<string> {
  const raw = bytes(size);
  return {
    size,
    read: (view, offset) => {
      const found = raw.read(view, offset);
      const end = found.indexOf(0);
      const named = end < 0 ? found : found.subarray(0, end);
      return new TextDecoder().decode(named).trimEnd();
    },
    write: (view, offset, value) => {
      const padded = new Uint8Array(size);
      new TextEncoder().encodeInto(value, padded);
      raw.write(view, offset, padded);
    },
  };
}

/** `units` code units of UTF-16 up to the first NUL; lone surrogates become U+FFFD. */
export function text16(units: number, order: "le" | "be"): Field<string> {
  return {
    size: 2 * units,
    read: (view, offset) => {
      const found: number[] = [];
      for (let at = 0; at < units; at++) {
        const unit = view.getUint16(offset + 2 * at, order === "le");
        if (unit === 0) break;
        found.push(unit);
      }
      return String.fromCharCode(...found).toWellFormed();
    },
    write: (view, offset, value) => {
      for (let at = 0; at < Math.min(units, value.length); at++) {
        view.setUint16(offset + 2 * at, value.charCodeAt(at), order === "le");
      }
    },
  };
}

/** A volume's serial number as DOS and lsblk print it: `4A3B-12CD`. */
export function serialText(serial: number): string {
  return serial.toString(16).toUpperCase().padStart(8, "0").replace(/^.{4}/, "$&-");
}
