/** What a Connect command carries and is answered with. NVMe Base 2.0 §6.3. */

import { ascii, bits, bytes, flag, layout, reserved, u16le, u32le } from "../bytes/index.ts";
import { sqe } from "./command.ts";
import { connectFields } from "./command-fields.ts";
import type { Completion } from "./completion.ts";

/** Connect Data, figure 381: who connects to what. */
export const connectData = layout("Connect Data", 1024, {
  hostid: bytes(16),
  cntlid: u16le,
  reserved18: reserved(238),
  subnqn: ascii(256, "\0"),
  hostnqn: ascii(256, "\0"),
  reserved768: reserved(256),
});

/** CNTLID of a Connect that asks for any controller (dynamic controller model). */
export const anyController = 0xffff;

/** DW0 of a Connect that succeeded, figure 383: the controller, and whether it wants auth. */
export const connectResult = layout("Connect Response DW0", 4, {
  cntlid: u16le,
  authreq: bits(2, { reserved0: 1, atr: flag, ascr: flag, reserved3: 13 }),
});

/** DW0 of a Connect refused with Invalid Parameters: byte offset, and in what. */
export const connectRefusal = layout("Connect Invalid Parameters DW0", 4, {
  ipo: u16le,
  iattr: bits(1, { inData: flag, reserved1: 7 }),
  reserved3: reserved(1),
});

/** Names the field that a Connect was refused for, from its completion. */
export function refusedParameter(completion: Completion): string {
  const { ipo, iattr } = connectRefusal.decode(dword(completion.dw0));
  if (!iattr.inData) return fieldNames.command.get(ipo) ?? `byte ${ipo} of the command`;
  return fieldNames.data.get(ipo) ?? `byte ${ipo} of the data`;
}

/** A completion dword as the four bytes that layouts read. */
export function dword(value: number): Uint8Array {
  const raw = new Uint8Array(4);
  u32le.write(new DataView(raw.buffer), 0, value);
  return raw;
}

/** The dword that four bytes of a layout make. */
export function dwordOf(raw: Uint8Array): number {
  return u32le.read(new DataView(raw.buffer, raw.byteOffset, 4), 0);
}

/** The specification's names are those of the tables, in capitals. */
const fieldNames = {
  command: namesOf(connectFields.offsets, sqe.offsets.dwords!),
  data: namesOf(connectData.offsets, 0),
};

function namesOf(offsets: Readonly<Record<string, number>>, start: number) {
  const fields = Object.entries(offsets).filter(([name]) => !name.startsWith("reserved"));
  return new Map(fields.map(([name, offset]) => [start + offset, name.toUpperCase()]));
}
