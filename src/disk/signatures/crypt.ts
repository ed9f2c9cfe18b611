/**
 * Encrypted and checked containers of the device mapper.
 *
 * Sources: LUKS1 on-disk format specification 1.2.3, LUKS2 on-disk format specification 1.1.3,
 * cryptsetup's lib/verity/verity.c and lib/integrity/integrity.h.
 */

import { ascii, bytes, layout, reserved, u8, u16be, u32le, u64le } from "../../bytes/index.ts";
import { text, u64be, uuid } from "./fields.ts";
import { superblock } from "./signature.ts";

const luksLayout = layout("LUKS header", 512, {
  magic: bytes(6),
  version: u16be,
  /** From here to `uuid`: LUKS2; LUKS1 has the cipher there. */
  headerBytes: u64be,
  sequence: u64be,
  label: text(48),
  reserved72: reserved(96),
  uuid: text(40),
  reserved208: reserved(48),
  placeBytes: u64be,
  reserved264: reserved(248),
});

const luksMagic = Buffer.from("LUKS\xba\xbe", "latin1");
const luksCopyMagic = Buffer.from("SKUL\xba\xbe", "latin1");

/** LUKS1 or LUKS2 by its header. */
export const luks = superblock({
  layout: luksLayout,
  places: () => [0],
  read: ({ magic, version, label, uuid }) => {
    if (!luksMagic.equals(magic) || (version !== 1 && version !== 2)) return undefined;
    const names = version === 2 ? { label, uuid } : { uuid };
    return { kind: "crypto_LUKS", version: `${version}`, ...names };
  },
});

/** LUKS2 by its second header, where headers have up to 64 KiB. */
export const luksCopy = superblock({
  layout: luksLayout,
  places: () => [0x4000, 0x8000, 0x1_0000],
  read: ({ magic, version, label, uuid, placeBytes }, _, offsetBytes) => {
    const isPlaced = placeBytes === BigInt(offsetBytes);
    if (!luksCopyMagic.equals(magic) || version !== 2 || !isPlaced) return undefined;
    return { kind: "crypto_LUKS", version: "2", label, uuid, isCopy: true };
  },
});

const verityLayout = layout("dm-verity superblock", 512, {
  magic: ascii(8, "\0"),
  version: u32le,
  hashType: u32le,
  uuid,
  algorithm: text(32),
  reserved64: reserved(8),
  dataBlocks: u64le,
  reserved80: reserved(432),
});

/** The hash tree of dm-verity. */
export const verity = superblock({
  layout: verityLayout,
  places: () => [0],
  read: ({ magic, version, uuid }) =>
    magic === "verity" && version === 1
      ? { kind: "DM_verity_hash", version: `${version}`, uuid }
      : undefined,
});

const integrityLayout = layout("dm-integrity superblock", 24, {
  magic: ascii(8, "\0"),
  version: u8,
  interleaveLog: u8,
  tagBytes: bytes(2),
  journalSections: u32le,
  dataSectors: u64le,
});

/** dm-integrity. */
export const integrity = superblock({
  layout: integrityLayout,
  places: () => [0],
  read: ({ magic, version, dataSectors }) =>
    magic === "integrt" && version > 0
      ? { kind: "DM_integrity", version: `${version}`, sizeBytes: dataSectors * 512n }
      : undefined,
});
