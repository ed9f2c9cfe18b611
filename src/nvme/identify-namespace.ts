/**
 * Identify data of namespaces: the structure, the list of active ones, the list of identities.
 * NVM Command Set 1.0 §4.1.5.1 (CNS 00h), NVMe Base 2.0 §5.17.2.2 (02h) and §5.17.2.3 (03h).
 */

import {
  bits,
  bytes,
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
import { uuidText } from "./nqn.ts";
import { count8, count16, u128le } from "./zero-based.ts";

/** Controller or Namespace Structure, Base 2.0 figure 273: what Identify returns. */
export const cns = {
  namespace: 0x00,
  controller: 0x01,
  activeNamespaces: 0x02,
  namespaceDescriptors: 0x03,
  commandSetNamespace: 0x05,
  commandSetController: 0x06,
  commandSetActiveNamespaces: 0x07,
  independentNamespace: 0x08,
  allocatedNamespaces: 0x10,
  allocatedNamespace: 0x11,
  namespaceControllers: 0x12,
  controllers: 0x13,
  commandSets: 0x1c,
} as const;

/** Length of every Identify structure and of a namespace list, in bytes. */
export const identifyBytes = 4096;
/** How many namespace ids one list holds. */
export const namespaceListMax = 1024;

/** LBA Format, figure 98: the block size is 2^`lbads` bytes, 0 for a format that is not there. */
const lbaFormat = layout("LBA Format", 4, {
  ms: u16le,
  lbads: u8,
  performance: bits(1, { rp: 2, reserved2: 6 }),
});

/**
 * Identify Namespace, NVM command set (CNS 00h), figure 97. `npwg`, `npwa`, `npdg`, `npda` and
 * `nows` count blocks where NSFEAT.OPTPERF says that they are valid.
 */
export const identifyNamespace = layout("Identify Namespace", 4096, {
  nsze: u64le,
  ncap: u64le,
  nuse: u64le,
  nsfeat: bits(1, {
    thinp: flag,
    nsabp: flag,
    dae: flag,
    uidreuse: flag,
    optperf: flag,
    reserved5: 3,
  }),
  nlbaf: count8,
  flbas: bits(1, { formatLow: 4, extended: flag, formatHigh: 2, reserved7: 1 }),
  mc: u8,
  dpc: u8,
  dps: u8,
  nmic: bits(1, { shared: flag, reserved1: 7 }),
  rescap: bits(1, {
    persistThroughPowerLoss: flag,
    writeExclusive: flag,
    exclusiveAccess: flag,
    writeExclusiveRegistrantsOnly: flag,
    exclusiveAccessRegistrantsOnly: flag,
    writeExclusiveAllRegistrants: flag,
    exclusiveAccessAllRegistrants: flag,
    ignoreExistingKey: flag,
  }),
  fpi: u8,
  dlfeat: bits(1, { readBehavior: 3, writeZeroesDeallocate: flag, guard: flag, reserved5: 3 }),
  nawun: u16le,
  nawupf: u16le,
  nacwu: u16le,
  nabsn: u16le,
  nabo: u16le,
  nabspf: u16le,
  noiob: u16le,
  nvmcap: u128le,
  npwg: count16,
  npwa: count16,
  npdg: count16,
  npda: count16,
  nows: count16,
  mssrl: u16le,
  mcl: u32le,
  msrc: u8,
  reserved81: reserved(11),
  anagrpid: u32le,
  reserved96: reserved(3),
  nsattr: bits(1, { writeProtected: flag, reserved1: 7 }),
  nvmsetid: u16le,
  endgid: u16le,
  nguid: bytes(16),
  eui64: bytes(8),
  lbaf: repeat(lbaFormat, 64),
  vs: reserved(3712),
});

/** Identify Namespace as a value; sizes count blocks. */
export type IdentifyNamespace = LayoutValue<typeof identifyNamespace>;

/** The format that a namespace is in; `undefined` when it names one that is not in the table. */
export function activeFormat(value: IdentifyNamespace) {
  return value.lbaf[value.flbas.formatLow + value.flbas.formatHigh * 16];
}

const namespaceList = layout("Namespace List", 4096, { nsids: repeat(u32le, namespaceListMax) });

/** Active namespace ids (CNS 02h) or changed ones (log page 04h), in their order. */
export function decodeNamespaceList(raw: Uint8Array): number[] {
  const { nsids } = namespaceList.decode(raw);
  const end = nsids.indexOf(0);
  return end < 0 ? nsids : nsids.slice(0, end);
}

/** Writes up to 1024 namespace ids as a list. */
export function encodeNamespaceList(nsids: readonly number[]): Uint8Array {
  const padding = new Array<number>(namespaceListMax - nsids.length).fill(0);
  return namespaceList.encode({ nsids: [...nsids, ...padding] });
}

/** What a namespace is known by; absent where the controller does not report it. */
export interface NamespaceIdentity {
  /** 16 lower-case hex digits. */
  readonly eui64?: string;
  /** 32 lower-case hex digits. */
  readonly nguid?: string;
  /** Lower-case text form. */
  readonly uuid?: string;
  /** Command Set Identifier: 0 NVM, 2 zoned. */
  readonly csi?: number;
}

const descriptorHeader = layout("Namespace Identification Descriptor", 4, {
  nidt: u8,
  nidl: u8,
  reserved2: reserved(2),
});

/** Namespace Identifier Type, figure 278, and the length that each has. */
const nidt: ReadonlyMap<number, { name: keyof NamespaceIdentity; length: number }> = new Map([
  [1, { name: "eui64", length: 8 }],
  [2, { name: "nguid", length: 16 }],
  [3, { name: "uuid", length: 16 }],
  [4, { name: "csi", length: 1 }],
] as const);

/**
 * Reads a Namespace Identification Descriptor list (CNS 03h) up to its end; unknown types are
 * passed over, and so are identifiers of zeros, which are none (Base 2.0 §4.7.1); a list that runs
 * over its end gives `undefined`.
 */
export function decodeNamespaceDescriptors(raw: Uint8Array): NamespaceIdentity | undefined {
  const identity: { eui64?: string; nguid?: string; uuid?: string; csi?: number } = {};
  let offset = 0;
  while (offset + descriptorHeader.size <= raw.length) {
    const { nidt: type, nidl } = descriptorHeader.decode(raw, offset);
    if (nidl === 0) return identity;
    const start = offset + descriptorHeader.size;
    if (start + nidl > raw.length) return undefined;
    const id = raw.subarray(start, start + nidl);
    const known = nidt.get(type);
    if (known && nidl !== known.length) return undefined;
    if (known?.name === "csi") identity.csi = id[0]!;
    else if (known && id.some((byte) => byte !== 0)) {
      identity[known.name] = known.name === "uuid" ? uuidText(id) : Buffer.from(id).toString("hex");
    }
    offset = start + nidl;
  }
  return identity;
}

/** Writes an identity as a descriptor list, in the order UUID, NGUID, EUI64, CSI. */
export function encodeNamespaceDescriptors(identity: NamespaceIdentity): Uint8Array {
  const raw = new Uint8Array(identifyBytes);
  let offset = 0;
  const append = (type: number, id: Uint8Array) => {
    descriptorHeader.encodeInto({ nidt: type, nidl: id.length }, raw, offset);
    raw.set(id, offset + descriptorHeader.size);
    offset += descriptorHeader.size + id.length;
  };
  if (identity.uuid) append(3, Buffer.from(identity.uuid.replaceAll("-", ""), "hex"));
  if (identity.nguid) append(2, Buffer.from(identity.nguid, "hex"));
  if (identity.eui64) append(1, Buffer.from(identity.eui64, "hex"));
  if (identity.csi !== undefined) append(4, Uint8Array.of(identity.csi));
  return raw;
}
