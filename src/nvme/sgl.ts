/** Scatter Gather List descriptors: where a command's data is. NVMe Base 2.0 §4.1.2. */

import { bits, layout, reserved, u32le, u64le } from "../bytes/index.ts";

/** One descriptor; `type` and `subtype` in the last byte. */
export const sglDescriptor = layout("SGL Descriptor", 16, {
  address: u64le,
  length: u32le,
  reserved12: reserved(3),
  id: bits(1, { subtype: 4, type: 4 }),
});

/** SGL Descriptor Type, figure 93. */
export const sglType = {
  dataBlock: 0x0,
  bitBucket: 0x1,
  segment: 0x2,
  lastSegment: 0x3,
  keyedDataBlock: 0x4,
  transportDataBlock: 0x5,
} as const;

/** SGL Descriptor Sub Type, figure 94. */
export const sglSubtype = { address: 0x0, offset: 0x1, transport: 0xa } as const;

/** Where the data of a command is: behind it in its capsule, or moved by the transport. */
export type Placement = "capsule" | "transport";

/** The one descriptor that a command over TCP has (TCP Transport 1.0 §3.4). */
export function sglOf(placement: Placement, length: number) {
  return placement === "capsule"
    ? { address: 0n, length, id: { type: sglType.dataBlock, subtype: sglSubtype.offset } }
    : {
        address: 0n,
        length,
        id: { type: sglType.transportDataBlock, subtype: sglSubtype.transport },
      };
}

/** What a descriptor says, or `undefined` for a kind that is not allowed over TCP. */
export function placementOf(sgl: { id: { type: number; subtype: number } }): Placement | undefined {
  const { type, subtype } = sgl.id;
  if (type === sglType.dataBlock && subtype === sglSubtype.offset) return "capsule";
  if (type === sglType.transportDataBlock && subtype === sglSubtype.transport) return "transport";
  return undefined;
}
