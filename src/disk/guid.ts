/** GUIDs as text, and as the mixed-endian 16 bytes of UEFI 2.10 appendix A. */

import { bytes, type Field } from "../bytes/index.ts";

const raw = bytes(16);
/** Where each byte of the text lies: the first three groups are little-endian. */
const order = [3, 2, 1, 0, 5, 4, 7, 6, 8, 9, 10, 11, 12, 13, 14, 15];

/** The GUID of nothing: a partition entry with this type is unused. */
export const zeroGuid = "00000000-0000-0000-0000-000000000000";

/** A GUID as 36 lower-case characters; upper case is taken too. */
export const guid: Field<string> = {
  size: 16,
  read: (view, offset) => {
    const found = raw.read(view, offset);
    const text = Buffer.from(order.map((at) => found[at]!)).toString("hex");
    return text.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
  },
  write: (view, offset, value) => {
    if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(value)) {
      throw new RangeError(`"${value}" is not a GUID.`);
    }
    const text = Buffer.from(value.replaceAll("-", ""), "hex");
    const mixed = new Uint8Array(16);
    for (const [from, at] of order.entries()) mixed[at] = text[from]!;
    raw.write(view, offset, mixed);
  },
};

/**
 * A GUID made of 16 bytes of a hash: version 8, variant 2 of RFC 9562 section 5.8, so that the
 * same content always gets the same name.
 */
export function guidFromHash(hash: Uint8Array): string {
  if (hash.byteLength < 16) throw new RangeError("A GUID takes 16 bytes of a hash.");
  const hex = Buffer.from(hash.subarray(0, 16)).toString("hex");
  const variant = "89ab"[Number.parseInt(hex[16]!, 16) % 4];
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    `8${hex.slice(13, 16)}`,
    `${variant}${hex.slice(17, 20)}`,
    hex.slice(20),
  ].join("-");
}
