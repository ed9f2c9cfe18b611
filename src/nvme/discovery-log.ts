/** The Discovery log page: which subsystems are where. NVMe Base 2.0 §5.16.1.23, figure 264. */

import {
  ascii,
  bits,
  bytes,
  type LayoutValue,
  layout,
  reserved,
  u8,
  u16le,
  u64le,
} from "../bytes/index.ts";

/** Log Page Identifiers, figure 202. */
export const logPage = {
  errorInformation: 0x01,
  smart: 0x02,
  firmwareSlot: 0x03,
  changedNamespaces: 0x04,
  commandsSupported: 0x05,
  ana: 0x0c,
  discovery: 0x70,
} as const;

/** Text as targets really write it: padded with spaces, zeros or both. */
function paddedText(size: number) {
  const text = ascii(size, "\0");
  return { ...text, read: (view: DataView, offset: number) => text.read(view, offset).trimEnd() };
}

/** The first 1024 bytes: a generation counter, and how many entries follow. */
export const discoveryLogHeader = layout("Discovery Log Header", 1024, {
  genctr: u64le,
  numrec: u64le,
  recfmt: u16le,
  reserved18: reserved(1006),
});

/** Discovery Log Page Entry, figure 265; entry n lies at 1024 × (n + 1). */
export const discoveryLogEntry = layout("Discovery Log Page Entry", 1024, {
  trtype: u8,
  adrfam: u8,
  subtype: u8,
  treq: bits(1, { secureChannel: 2, disableSqFlow: 1, reserved3: 5 }),
  portid: u16le,
  cntlid: u16le,
  asqsz: u16le,
  eflags: u16le,
  reserved12: reserved(20),
  trsvcid: paddedText(32),
  reserved64: reserved(192),
  subnqn: paddedText(256),
  traddr: paddedText(256),
  tsas: bytes(256),
});

/** A Discovery Log Page Entry as a value. */
export type DiscoveryLogEntry = LayoutValue<typeof discoveryLogEntry>;

/** Transport Type. */
export const trtype = { rdma: 1, fibreChannel: 2, tcp: 3, loop: 254 } as const;
/** Address Family. */
export const adrfam = { ipv4: 1, ipv6: 2 } as const;
/** Subsystem Type: a referral, a subsystem with namespaces, or this discovery service itself. */
export const subtype = { referral: 1, nvm: 2, currentDiscovery: 3 } as const;
