/**
 * Identify data by command set: what the NVM command set adds, and what is common to all sets.
 * NVM Command Set 1.0 §4.1.5.3 and §4.1.5.4 (CNS 05h and 06h), NVMe Base 2.0 §5.17.2.8 (07h),
 * §5.17.2.9 (08h) and §5.17.2.21 (1Ch).
 */

import {
  bits,
  flag,
  type LayoutValue,
  layout,
  repeat,
  reserved,
  u8,
  u16le,
  u32le,
  u64le,
} from "../bytes/index.ts";

/** Command Set Identifier, Base 2.0 figure 274. */
export const csi = { nvm: 0x00, keyValue: 0x01, zoned: 0x02 } as const;

/** Identify Namespace, NVM command set (CNS 05h), figure 100: protection information only. */
export const identifyNamespaceNvm = layout("Identify Namespace, NVM command set", 4096, {
  lbstm: u64le,
  pic: u8,
  reserved9: reserved(3),
  elbaf: repeat(bits(4, { sts: 7, pif: 2, reserved9: 23 }), 64),
  reserved268: reserved(3828),
});

/**
 * Identify Controller, NVM command set (CNS 06h), figure 102. `vsl`, `wzsl` and `wusl` are powers
 * of two in units of CAP.MPSMIN (0: no limit, or MDTS); `dmrl` counts ranges, `dmrsl` and `dmsl`
 * blocks (0: no limit reported).
 */
export const identifyControllerNvm = layout("Identify Controller, NVM command set", 4096, {
  vsl: u8,
  wzsl: u8,
  wusl: u8,
  dmrl: u8,
  dmrsl: u32le,
  dmsl: u64le,
  reserved16: reserved(4080),
});

/** Identify Controller, NVM command set, as a value. */
export type IdentifyControllerNvm = LayoutValue<typeof identifyControllerNvm>;

/** I/O Command Set Independent Identify Namespace (CNS 08h), Base 2.0 figure 280. */
export const identifyNamespaceIndependent = layout("Identify Namespace, independent", 4096, {
  nsfeat: bits(1, { reserved0: 3, uidreuse: flag, rmedia: flag, vwcnp: flag, reserved6: 2 }),
  nmic: bits(1, { shared: flag, reserved1: 7 }),
  rescap: u8,
  fpi: u8,
  anagrpid: u32le,
  nsattr: bits(1, { writeProtected: flag, reserved1: 7 }),
  reserved9: reserved(1),
  nvmsetid: u16le,
  endgid: u16le,
  nstat: bits(1, { ready: flag, reserved1: 7 }),
  reserved15: reserved(4081),
});

/** Identify Namespace common to all command sets, as a value. */
export type IdentifyNamespaceIndependent = LayoutValue<typeof identifyNamespaceIndependent>;

/** Identify I/O Command Set (CNS 1Ch), figure 290: combinations that can be enabled, as bit sets. */
export const identifyCommandSets = layout("Identify I/O Command Set", 4096, {
  vectors: repeat(u64le, 512),
});

/** How many controller ids one list holds. */
export const controllerListMax = 2047;

const controllerList = layout("Controller List", 4096, {
  numids: u16le,
  cntlids: repeat(u16le, controllerListMax),
});

/** Writes up to 2047 controller ids, ascending, as a list (CNS 12h and 13h), figure 137. */
export function encodeControllerList(cntlids: readonly number[]): Uint8Array {
  const padding = new Array<number>(controllerListMax - cntlids.length).fill(0);
  return controllerList.encode({ numids: cntlids.length, cntlids: [...cntlids, ...padding] });
}

/** Reads a list of controller ids, or `undefined` when it claims more than fit. */
export function decodeControllerList(raw: Uint8Array): number[] | undefined {
  const { numids, cntlids } = controllerList.decode(raw);
  return numids > controllerListMax ? undefined : cntlids.slice(0, numids);
}
