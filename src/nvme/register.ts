/**
 * Controller properties (registers): where they lie and what their bits are.
 * NVMe Base 2.0 §3.1.3; over fabrics they are reached by Property Get and Set.
 */

import {
  bits,
  type Field,
  flag,
  type LayoutValue,
  layout,
  u8,
  u16le,
  u64le,
} from "../bytes/index.ts";
import { count16 } from "./zero-based.ts";

/** Byte offset and length of each property that exists over fabrics (Base 2.0 figure 35). */
export const property = {
  cap: { ofst: 0x00, sizeBytes: 8 },
  vs: { ofst: 0x08, sizeBytes: 4 },
  cc: { ofst: 0x14, sizeBytes: 4 },
  csts: { ofst: 0x1c, sizeBytes: 4 },
  nssr: { ofst: 0x20, sizeBytes: 4 },
  crto: { ofst: 0x68, sizeBytes: 4 },
} as const;

/** Controller Capabilities, §3.1.3.1. `mqes` is a count of entries, `to` counts 500 ms. */
export const cap = layout("CAP", 8, {
  mqes: count16,
  queues: bits(1, { cqr: flag, ams: 2, reserved3: 5 }),
  to: u8,
  features: bits(4, {
    dstrd: 4,
    nssrs: flag,
    css: 8,
    bps: flag,
    cps: 2,
    mpsmin: 4,
    mpsmax: 4,
    pmrs: flag,
    cmbs: flag,
    nsss: flag,
    crwms: flag,
    crims: flag,
    reserved29: 3,
  }),
});

/** Version, §3.1.3.2: tertiary, minor, major. */
export const vs = layout("VS", 4, { ter: u8, mnr: u8, mjr: u16le });

/** Controller Configuration, §3.1.3.5; sizes are powers of two. */
export const cc = layout("CC", 4, {
  bits: bits(4, {
    en: flag,
    reserved1: 3,
    css: 3,
    mps: 4,
    ams: 3,
    shn: 2,
    iosqes: 4,
    iocqes: 4,
    crime: flag,
    reserved25: 7,
  }),
});

/** Controller Status, §3.1.3.6. */
export const csts = layout("CSTS", 4, {
  bits: bits(4, { rdy: flag, cfs: flag, shst: 2, nssro: flag, pp: flag, st: flag, reserved7: 25 }),
});

/** Shutdown Notification (CC.SHN). */
export const shn = { none: 0, normal: 1, abrupt: 2 } as const;
/** Shutdown Status (CSTS.SHST). */
export const shst = { normal: 0, occurring: 1, complete: 2 } as const;

/** A property's bits, as Property Get returns them and Property Set takes them: 64-bit values. */
export function encodeProperty<V>(format: Field<V>, value: V): bigint {
  const bytes = new Uint8Array(8);
  format.write(new DataView(bytes.buffer), 0, value);
  return u64le.read(new DataView(bytes.buffer), 0);
}

/** Reads a property's 64-bit value by its format. */
export function decodeProperty<V>(format: Field<V>, value: bigint): V {
  const view = new DataView(new ArrayBuffer(8));
  u64le.write(view, 0, value);
  return format.read(view, 0);
}

/** CAP as a value. */
export type Cap = LayoutValue<typeof cap>;
/** The bits of CSTS. */
export type Csts = LayoutValue<typeof csts>["bits"];

/** The 64 bits that two dwords of a completion are. */
export function u64OfDwords(low: number, high: number): bigint {
  return BigInt(low) + BigInt(high) * 2n ** 32n;
}
