/** Device paths as firmware writes them: nodes, each with its length (UEFI 2.11, 10.3). */

/** One node: a hop on the way to a device, a partition, a file. */
export interface DevicePathNode {
  readonly type: number;
  readonly subtype: number;
  /** The whole node, its head of four bytes included. */
  readonly bytes: Uint8Array;
}

/** Types of nodes, and the subtypes that somebody here asks for (10.3.2 to 10.3.5). */
export const nodeTypes = { hardware: 1, acpi: 2, messaging: 3, media: 4, end: 0x7f } as const;
export const nodeSubtypes = {
  hardware: { pci: 1 },
  acpi: { device: 1 },
  messaging: { usb: 5, sata: 18, nvme: 23 },
  media: { hardDrive: 1, file: 4 },
} as const;

const headBytes = 4;

/** The nodes of the first path of a list, without its end; those after a damaged one are left out. */
export function devicePathNodes(path: Uint8Array): readonly DevicePathNode[] {
  const view = new DataView(path.buffer, path.byteOffset, path.byteLength);
  const nodes: DevicePathNode[] = [];
  for (let at = 0; at + headBytes <= path.length; ) {
    const type = view.getUint8(at);
    const length = view.getUint16(at + 2, true);
    if (type === nodeTypes.end || length < headBytes || at + length > path.length) break;
    nodes.push({ type, subtype: view.getUint8(at + 1), bytes: path.subarray(at, at + length) });
    at += length;
  }
  return nodes;
}

/** Whether a node is of this type, subtype and length. */
export function isNode(
  { type, subtype, bytes }: DevicePathNode,
  wanted: { readonly type: number; readonly subtype: number; readonly bytes: number },
): boolean {
  return type === wanted.type && subtype === wanted.subtype && bytes.length === wanted.bytes;
}

/** A view of a node's bytes. */
export function viewOf({ bytes }: DevicePathNode): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
