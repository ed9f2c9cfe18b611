/** ISO 9660 with or without Joliet. ECMA-119 sections 8.4 and 8.5; Joliet specification 1. */

import { ascii, bytes, layout, reserved, u8, u16le, u32le } from "../../bytes/index.ts";
import { text, text16 } from "./fields.ts";
import type { Region } from "./region.ts";
import { superblock } from "./signature.ts";

const descriptorBytes = 2048;
const firstDescriptor = 16 * descriptorBytes;
const descriptorsMax = 16;
const labelUnits = 32;

const descriptorLayout = layout("ISO 9660 volume descriptor", 883, {
  type: u8,
  magic: ascii(5, " "),
  version: u8,
  reserved7: reserved(33),
  label: text(labelUnits),
  reserved72: reserved(8),
  blocks: u32le,
  reserved84: reserved(4),
  escapes: ascii(32, "\0"),
  reserved120: reserved(8),
  blockSizeBytes: u16le,
  reserved130: reserved(683),
  /** Digits of year to hundredths, then an offset from UTC. */
  created: bytes(17),
  modified: bytes(17),
  expires: bytes(17),
  effective: bytes(17),
  structure: u8,
  reserved882: reserved(1),
});

const jolietLayout = layout("Joliet volume descriptor", 120, {
  type: u8,
  magic: ascii(5, " "),
  reserved6: reserved(34),
  label: text16(labelUnits / 2, "be"),
  reserved72: reserved(16),
  escapes: ascii(32, "\0"),
});

const types = { primary: 1, supplementary: 2, end: 255 } as const;
const jolietEscapes = ["%/@", "%/C", "%/E"];

/** A CD or DVD image, on whatever medium. */
export const iso9660 = superblock({
  layout: descriptorLayout,
  places: () => [firstDescriptor],
  read: async ({ type, magic, label, blocks, blockSizeBytes, created, modified }, region) => {
    if (magic !== "CD001" || type !== types.primary) return undefined;
    const joliet = await jolietLabel(region);
    return {
      kind: "iso9660",
      ...(joliet === undefined ? {} : { version: "Joliet Extension" }),
      label: joliet === undefined ? label : joined(joliet, label),
      uuid: dateText(modified) ?? dateText(created),
      sizeBytes: blocks * blockSizeBytes,
    };
  },
});

/** Joliet has lower case but half the length: its beginning, then the rest of the plain label. */
function joined(joliet: string, label: string): string {
  if (joliet.length < labelUnits / 2) return joliet.trimEnd() || label;
  return `${joliet}${label.slice(joliet.length)}`.trimEnd();
}

async function jolietLabel(region: Region): Promise<string | undefined> {
  for (let index = 1; index < descriptorsMax; index++) {
    const found = await region.read(firstDescriptor + index * descriptorBytes, jolietLayout.size);
    if (!found) return undefined;
    const { type, magic, label, escapes } = jolietLayout.decode(found);
    if (magic !== "CD001" || type === types.end) return undefined;
    if (type === types.supplementary && jolietEscapes.includes(escapes)) return label;
  }
  return undefined;
}

/** `2026-11-23-12-34-56-00`; nothing for a date that was never set. */
function dateText(date: Uint8Array): string | undefined {
  const digits = Buffer.from(date.subarray(0, 16)).toString("latin1");
  if (!/^\d{16}$/.test(digits) || /^0+$/.test(digits)) return undefined;
  return digits.replace(/^(.{4})(..)(..)(..)(..)(..)(..)$/, "$1-$2-$3-$4-$5-$6-$7");
}
