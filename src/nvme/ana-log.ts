/** The Asymmetric Namespace Access log page (0Ch): how good this path is. Base 2.0 §5.16.1.13. */

import { bits, layout, reserved, u16le, u32le, u64le } from "../bytes/index.ts";

/** ANA state, figure 219. */
export const anaState = {
  optimized: 0x1,
  nonOptimized: 0x2,
  inaccessible: 0x3,
  persistentLoss: 0x4,
  change: 0xf,
} as const;

/** The first 16 bytes; `ngrps` descriptors follow. */
const anaLogHeader = layout("Asymmetric Namespace Access Log", 16, {
  chgcnt: u64le,
  ngrps: u16le,
  reserved10: reserved(6),
});

/** ANA Group Descriptor, figure 218, up to its namespace ids. */
const anaGroupDescriptor = layout("ANA Group Descriptor", 32, {
  anagrpid: u32le,
  nnsids: u32le,
  chgcnt: u64le,
  anas: bits(1, { state: 4, reserved4: 4 }),
  reserved17: reserved(15),
});

/** One ANA group. */
export interface AnaGroup {
  readonly anagrpid: number;
  readonly chgcnt: bigint;
  /** One of `anaState`. */
  readonly state: number;
  /** Namespaces in it, ascending; empty where only groups were asked for (LSP.RGO). */
  readonly nsids: readonly number[];
}

/** The whole page. */
export interface AnaLog {
  readonly chgcnt: bigint;
  readonly groups: readonly AnaGroup[];
}

const nsidBytes = 4;

/** Length of the longest page, with all groups and namespaces that a controller may have. */
export function anaLogBytesMax(groups: number, namespaces: number): number {
  return anaLogHeader.size + groups * anaGroupDescriptor.size + namespaces * nsidBytes;
}

/** Writes the page; its length is the sum of its groups. */
export function encodeAnaLog(log: AnaLog): Uint8Array {
  const sizes = log.groups.map(({ nsids }) => anaGroupDescriptor.size + nsids.length * nsidBytes);
  const raw = new Uint8Array(sizes.reduce((sum, size) => sum + size, anaLogHeader.size));
  anaLogHeader.encodeInto({ chgcnt: log.chgcnt, ngrps: log.groups.length }, raw);
  const view = new DataView(raw.buffer);
  let offset = anaLogHeader.size;
  for (const { anagrpid, chgcnt, state, nsids } of log.groups) {
    const descriptor = { anagrpid, nnsids: nsids.length, chgcnt, anas: { state } };
    anaGroupDescriptor.encodeInto(descriptor, raw, offset);
    offset += anaGroupDescriptor.size;
    for (const nsid of nsids) {
      u32le.write(view, offset, nsid);
      offset += nsidBytes;
    }
  }
  return raw;
}

/** Reads the page, or `undefined` when it claims more than `raw` holds. */
export function decodeAnaLog(raw: Uint8Array): AnaLog | undefined {
  if (raw.length < anaLogHeader.size) return undefined;
  const { chgcnt, ngrps } = anaLogHeader.decode(raw);
  const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
  const groups: AnaGroup[] = [];
  let offset = anaLogHeader.size;
  for (let index = 0; index < ngrps; index++) {
    if (offset + anaGroupDescriptor.size > raw.length) return undefined;
    const descriptor = anaGroupDescriptor.decode(raw, offset);
    offset += anaGroupDescriptor.size;
    const { anagrpid, nnsids, chgcnt: changes, anas } = descriptor;
    if (offset + nnsids * nsidBytes > raw.length) return undefined;
    const start = offset;
    const nsids = Array.from({ length: nnsids }, (_, n) => u32le.read(view, start + n * nsidBytes));
    offset += nnsids * nsidBytes;
    groups.push({ anagrpid, chgcnt: changes, state: anas.state, nsids });
  }
  return { chgcnt, groups };
}
