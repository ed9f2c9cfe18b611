/** Completion queue entries. NVMe Base 2.0 §3.3.3.2. */

import { layout, u16le, u32le, viewOf } from "../bytes/index.ts";

/** Completion Queue Entry; the test oracle of the two functions below. */
export const cqe = layout("Completion Queue Entry", 16, {
  dw0: u32le,
  dw1: u32le,
  sqhd: u16le,
  sqid: u16le,
  cid: u16le,
  status: u16le,
});

/** How a command ended. */
export interface Completion {
  /** Command specific. */
  readonly dw0: number;
  /** Command specific; the upper half of an 8-byte property. */
  readonly dw1: number;
  /** Submission Queue Head pointer; FFFFh where flow control is off. */
  readonly sqhd: number;
  readonly sqid: number;
  readonly cid: number;
  /** The status field's 16 bits; 0 is success, `decodeStatus` reads the rest. */
  readonly status: number;
}

/** Reads a completion at `offset`; by hand, since every command has one. */
export function decodeCompletion(bytes: Uint8Array, offset = 0): Completion {
  const view = viewOf(bytes);
  const field = view.getUint16(offset + 14, true);
  return {
    dw0: view.getUint32(offset, true),
    dw1: view.getUint32(offset + 4, true),
    sqhd: view.getUint16(offset + 8, true),
    sqid: view.getUint16(offset + 10, true),
    cid: view.getUint16(offset + 12, true),
    // Bit 0 is the phase tag, which is reserved over fabrics.
    status: field - (field % 2),
  };
}

/** Writes a completion's 16 bytes at `offset`; by hand for the same reason. */
export function encodeCompletion(value: Completion, bytes: Uint8Array, offset = 0): void {
  const view = viewOf(bytes);
  view.setUint32(offset, value.dw0, true);
  view.setUint32(offset + 4, value.dw1, true);
  view.setUint16(offset + 8, value.sqhd, true);
  view.setUint16(offset + 10, value.sqid, true);
  view.setUint16(offset + 12, value.cid, true);
  view.setUint16(offset + 14, value.status, true);
}
