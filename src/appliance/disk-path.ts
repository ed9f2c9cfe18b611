/**
 * The device path of a disk as its firmware has it (UEFI 2.11, 10.3), without partition and file. An
 * option that begins with it means this disk and no other, whatever its partitions are called.
 *
 * Firmware compares paths byte by byte, so that one which is nearly right boots nothing. Taken is,
 * first, what the firmware itself says in one of its options, where that leads to the disk's place in
 * sysfs and nowhere else; second, what can be made from sysfs without guessing: the root as the
 * firmware's options call it, PCI functions, and a namespace whose EUI-64 the kernel shows, or a
 * virtio disk. SATA and USB ports are numbered differently by different firmware, and kernels hide
 * an EUI-64 that they do not trust (QEMU's, say): of such disks only the first will do.
 */
import type { LoadOption } from "./boot-option.ts";
import {
  type DevicePathNode,
  devicePathNodes,
  isNode,
  nodeSubtypes,
  nodeTypes,
  viewOf,
} from "./device-path.ts";
import { matchFirmwarePath, pathNodesOf } from "./firmware-path.ts";

/** What Linux says of a disk's place. */
export interface DiskPlace {
  /** Below /sys; of a multipath disk with one controller, as if it had this one only. */
  readonly devicePath: string;
  /** ACPI's `_UID` of the PCI root; null where that is no number. */
  readonly rootUid: number | null;
  /** `eui`: EUI-64, zeros for a namespace without one; null where the kernel does not tell. */
  readonly nvme: { readonly nsid: number; readonly eui: Uint8Array | null } | null;
  /** Of a SATA disk, from zero. */
  readonly ataPort: number | null;
}

type Kind = "nvme" | "virtio" | "ata" | "usb";

interface Way {
  readonly functions: readonly { readonly device: number; readonly function: number }[];
  readonly kind: Kind;
}

const root = { type: nodeTypes.acpi, subtype: nodeSubtypes.acpi.device, bytes: 12 };
const pci = { type: nodeTypes.hardware, subtype: nodeSubtypes.hardware.pci, bytes: 6 };
const nvme = { type: nodeTypes.messaging, subtype: nodeSubtypes.messaging.nvme, bytes: 16 };
const sata = { type: nodeTypes.messaging, subtype: nodeSubtypes.messaging.sata, bytes: 10 };
const usb = { type: nodeTypes.messaging, subtype: nodeSubtypes.messaging.usb, bytes: 6 };
/** `PNP` in an EISA id (10.3.3). */
const eisaPnp = 0x41d0;
const euiBytes = 8;

/** Null where it cannot be told for sure. */
export function findDiskPath(
  place: DiskPlace,
  options: Iterable<LoadOption | null>,
): Uint8Array | null {
  const way = parseWay(place.devicePath);
  if (way === null || place.rootUid === null) return null;
  const heads = [...options].map((option) => (option === null ? [] : headOf(option.path)));
  const roots = heads.filter(([first]) => first !== undefined && isRoot(first, place.rootUid));
  const told = new Map<string, Uint8Array>();
  for (const nodes of roots.filter((one) => leadsTo(one, way, place))) {
    const path = joined(nodes);
    told.set(Buffer.from(path).toString("hex"), path);
  }
  const [only] = told.values();
  if (only !== undefined) return told.size === 1 ? only : null;
  const [first] = roots.map(([one]) => one);
  return first === undefined ? null : makePath(first, way, place);
}

/** On one PCI segment from the root to the controller; anything else in between is not understood. */
function parseWay(devicePath: string): Way | null {
  const parts = /^\/devices\/pci([0-9a-f]{4}):[0-9a-f]{2}((?:\/[0-9a-f:.]+)+)\/(.+)$/.exec(
    devicePath,
  );
  if (parts === null) return null;
  const [, segment = "", functions = "", rest = ""] = parts;
  const found = functions
    .split("/")
    .slice(1)
    .map((text) => {
      const one = /^([0-9a-f]{4}):[0-9a-f]{2}:([0-9a-f]{2})\.([0-7])$/.exec(text);
      if (one?.[1] !== segment) return null;
      return { device: Number.parseInt(one[2] ?? "", 16), function: Number(one[3]) };
    });
  const [kind] = kinds.find(([, pattern]) => pattern.test(rest)) ?? [];
  if (kind === undefined) return null;
  const known = found.filter((one) => one !== null);
  return known.length === found.length ? { functions: known, kind } : null;
}

/** What follows the controller: no port multipliers, no other logical units than the first. */
const kinds: readonly (readonly [kind: Kind, rest: RegExp])[] = [
  ["nvme", /^nvme\/nvme\d+\/nvme\d+n\d+$/],
  ["virtio", /^virtio\d+\/block\/vd[a-z]+$/],
  ["ata", /^ata\d+\/host\d+\/target\d+:0:0\/\d+:0:0:0\/block\/sd[a-z]+$/],
  ["usb", /^usb\d+\/.+\/host\d+\/target\d+:0:0\/\d+:0:0:0\/block\/sd[a-z]+$/],
];

/** All before partition and file. */
function headOf(path: Uint8Array): readonly DevicePathNode[] {
  const nodes = devicePathNodes(path);
  const end = nodes.findIndex(({ type }) => type === nodeTypes.media);
  return end < 0 ? nodes : nodes.slice(0, end);
}

function isRoot(node: DevicePathNode, uid: number | null): boolean {
  if (!isNode(node, root)) return false;
  const view = viewOf(node);
  return view.getUint16(4, true) === eisaPnp && view.getUint32(8, true) === uid;
}

function leadsTo(nodes: readonly DevicePathNode[], way: Way, place: DiskPlace): boolean {
  const { functions, kind } = way;
  const isSameWay = functions.every((wanted, n) => {
    const node = nodes[n + 1];
    if (node === undefined || !isNode(node, pci)) return false;
    const view = viewOf(node);
    return view.getUint8(4) === wanted.function && view.getUint8(5) === wanted.device;
  });
  const rest = nodes.slice(functions.length + 1);
  const [node, ...others] = rest;
  if (!isSameWay) return false;
  if (kind === "virtio") return node === undefined;
  if (node === undefined) return false;
  if (kind === "usb") {
    const isUsb = rest.every((one) => isNode(one, usb));
    return isUsb && matchFirmwarePath(pathNodesOf(joined(nodes)), place.devicePath) === "match";
  }
  if (others.length > 0) return false;
  return kind === "nvme" ? isNamespace(node, place) : isAtaPort(node, place);
}

function isNamespace(node: DevicePathNode, place: DiskPlace): boolean {
  if (!isNode(node, nvme) || place.nvme === null) return false;
  const { nsid, eui } = place.nvme;
  if (viewOf(node).getUint32(4, true) !== nsid) return false;
  return eui === null || Buffer.compare(node.bytes.subarray(8), eui) === 0;
}

/** Directly at its port: the port of a multiplier has no number, or (before UEFI 2.4) its top bit. */
function isAtaPort(node: DevicePathNode, { ataPort }: DiskPlace): boolean {
  if (!isNode(node, sata)) return false;
  const view = viewOf(node);
  const isDirect = view.getUint16(6, true) >= 0x8000;
  return view.getUint16(4, true) === ataPort && isDirect && view.getUint16(8, true) === 0;
}

function makePath(first: DevicePathNode, way: Way, place: DiskPlace): Uint8Array | null {
  const { kind, functions } = way;
  const hops = functions.map((hop) => {
    return nodeOf(pci, (view) => {
      view.setUint8(4, hop.function);
      view.setUint8(5, hop.device);
    });
  });
  if (kind === "virtio") return joined([first, ...hops]);
  const eui = place.nvme?.eui ?? null;
  if (kind !== "nvme" || place.nvme === null || eui?.length !== euiBytes) return null;
  const { nsid } = place.nvme;
  const namespace = nodeOf(nvme, (view) => {
    view.setUint32(4, nsid, true);
    for (const [n, byte] of eui.entries()) view.setUint8(8 + n, byte);
  });
  return joined([first, ...hops, namespace]);
}

function nodeOf(
  { type, subtype, bytes: length }: typeof nvme | typeof pci,
  fill: (view: DataView) => void,
): DevicePathNode {
  const bytes = new Uint8Array(length);
  const view = new DataView(bytes.buffer);
  view.setUint8(0, type);
  view.setUint8(1, subtype);
  view.setUint16(2, length, true);
  fill(view);
  return { type, subtype, bytes };
}

function joined(nodes: readonly DevicePathNode[]): Uint8Array {
  return new Uint8Array(Buffer.concat(nodes.map(({ bytes }) => bytes)));
}
