/** The two structures of a GUID partition table. UEFI 2.10 tables 5.5, 5.6 and 5.8. */

import {
  ascii,
  bits,
  bytes,
  type Field,
  flag,
  layout,
  reserved,
  u32le,
  u64le,
} from "../bytes/index.ts";
import { guid } from "./guid.ts";

/** First 8 bytes of a header. */
export const gptSignature = "EFI PART";
/** Revision 1.0, the only one. */
export const gptRevision = 0x0001_0000;
/** Code units in a name. */
const gptNameMax = 36;

/** The header, without the rest of its sector. */
export const gptHeader = layout("GPT header", 92, {
  signature: ascii(8, "\0"),
  revision: u32le,
  headerSizeBytes: u32le,
  headerCrc32: u32le,
  reserved20: reserved(4),
  myLba: u64le,
  alternateLba: u64le,
  firstUsableLba: u64le,
  lastUsableLba: u64le,
  diskGuid: guid,
  entriesLba: u64le,
  entryCount: u32le,
  entrySizeBytes: u32le,
  entriesCrc32: u32le,
});

const rawName = bytes(2 * gptNameMax);

/** UTF-16LE up to the first NUL; lone surrogates are kept, since foreign tables may have them. */
const name: Field<string> = {
  size: rawName.size,
  read: (view, offset) => {
    const units: number[] = [];
    for (let i = 0; i < gptNameMax; i++) {
      const unit = view.getUint16(offset + 2 * i, true);
      if (unit === 0) break;
      units.push(unit);
    }
    return String.fromCharCode(...units);
  },
  write: (view, offset, value) => {
    if (value.length > gptNameMax || value.includes("\0")) {
      throw new RangeError(`A partition name takes up to ${gptNameMax} units, not "${value}".`);
    }
    for (let i = 0; i < value.length; i++) {
      view.setUint16(offset + 2 * i, value.charCodeAt(i), true);
    }
  },
};

/** One entry; a zero type means unused. */
export const gptEntry = layout("GPT entry", 128, {
  typeGuid: guid,
  guid,
  firstLba: u64le,
  lastLba: u64le,
  attributes: bits(8, {
    required: flag,
    noBlockIo: flag,
    legacyBiosBootable: flag,
    reserved3: 45,
    typeSpecific: 16,
  }),
  name,
});
