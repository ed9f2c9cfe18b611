/** The Discovery log page: which subsystems are where. NVMe Base 2.0 §5.16.1.23, figure 264. */

import {
  ascii,
  bits,
  bytes,
  flag,
  type LayoutValue,
  layout,
  reserved,
  u8,
  u16le,
  u64le,
} from "../bytes/index.ts";

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
  eflags: bits(2, { dupretinfo: flag, epcsd: flag, ncc: flag, reserved3: 13 }),
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

/** TREQ.TSC, Secure Channel: not specified, required, or possible. */
export const secureChannel = { notSpecified: 0, required: 1, notRequired: 2 } as const;

/** Transport Specific Address Subtype of TCP, TCP Transport 1.0 figure 13. */
export const tcpAddressSubtype = layout("TCP TSAS", 256, { sectype: u8, reserved1: reserved(255) });
/** SECTYPE of `tcpAddressSubtype`. */
export const sectype = { none: 0, tls12: 1, tls13: 2 } as const;

/** The whole page: its generation, and what is where. */
export interface DiscoveryLog {
  /** Changes whenever an entry does, and only then. */
  readonly genctr: bigint;
  readonly entries: readonly DiscoveryLogEntry[];
}

/** Writes the page: the header, and one entry after the other. */
export function encodeDiscoveryLog({ genctr, entries }: DiscoveryLog): Uint8Array {
  const raw = new Uint8Array(discoveryLogHeader.size + entries.length * discoveryLogEntry.size);
  discoveryLogHeader.encodeInto({ genctr, numrec: BigInt(entries.length), recfmt: 0 }, raw);
  entries.forEach((entry, index) => {
    discoveryLogEntry.encodeInto(
      entry,
      raw,
      discoveryLogHeader.size + index * discoveryLogEntry.size,
    );
  });
  return raw;
}
