/**
 * The firmware's word for the device that it booted from: an EFI variable `Boot####` holds a load
 * option (UEFI 2.11, 3.1.3) with a device path (10.3). Two sticks with the same image differ only
 * in this. What is compared is what both sides number alike: PCI functions on the way, and
 * USB ports behind the root hub.
 */
import {
  type DevicePathNode,
  devicePathNodes,
  nodeSubtypes,
  nodeTypes,
  viewOf,
} from "./device-path.ts";

/** One hop, or the end of what we can compare. */
export type PathNode =
  | { readonly kind: "pci"; readonly device: number; readonly function: number }
  | { readonly kind: "usb"; readonly port: number }
  | { readonly kind: "nvme" }
  | { readonly kind: "bus" };

/** How a disk's place in sysfs compares to the firmware's path. */
export type PathMatch = "match" | "contradiction" | "unknown";

const attributeBytes = 4;

/**
 * Nodes of the first device path of a `Boot####` variable, as efivarfs gives it (four bytes of
 * attributes first). Null when it is cut short or holds no hardware path, as short-form entries do.
 */
export function parseBootOption(variable: Uint8Array): readonly PathNode[] | null {
  const view = new DataView(variable.buffer, variable.byteOffset, variable.byteLength);
  const listLengthAt = attributeBytes + 4;
  let at = listLengthAt + 2;
  if (view.byteLength < at) {
    return null;
  }
  const listLength = view.getUint16(listLengthAt, true);
  while (at + 2 <= view.byteLength && view.getUint16(at, true) !== 0) {
    at += 2;
  }
  at += 2;
  const end = at + listLength;
  if (end > view.byteLength) {
    return null;
  }
  const nodes = pathNodesOf(variable.subarray(at, end));
  return nodes.some((node) => node.kind === "pci") ? nodes : null;
}

/** What a device path says of the hardware's place. */
export function pathNodesOf(path: Uint8Array): readonly PathNode[] {
  return devicePathNodes(path).flatMap((node) => readNode(node) ?? []);
}

/** Null for nodes that say nothing of the hardware's place: roots, partitions, files. */
function readNode(node: DevicePathNode): PathNode | null {
  const { type, subtype, bytes } = node;
  const { hardware, messaging } = nodeSubtypes;
  const view = viewOf(node);
  if (type === nodeTypes.hardware && subtype === hardware.pci && bytes.length >= 6) {
    return { kind: "pci", function: view.getUint8(4), device: view.getUint8(5) };
  }
  if (type !== nodeTypes.messaging) {
    return null;
  }
  if (subtype === messaging.usb && bytes.length >= 6) {
    return { kind: "usb", port: view.getUint8(4) };
  }
  return subtype === messaging.nvme ? { kind: "nvme" } : { kind: "bus" };
}

/** Number of the current boot entry from `BootCurrent`, as four hex digits; null if too short. */
export function parseBootCurrent(variable: Uint8Array): string | null {
  if (variable.byteLength < attributeBytes + 2) {
    return null;
  }
  const view = new DataView(variable.buffer, variable.byteOffset, variable.byteLength);
  return view.getUint16(attributeBytes, true).toString(16).toUpperCase().padStart(4, "0");
}

/** A UTF-16 text variable such as `LoaderDevicePartUUID`, without its attributes and NUL. */
export function parseTextVariable(variable: Uint8Array): string {
  const text = new TextDecoder("utf-16le").decode(variable.subarray(attributeBytes));
  return text.replaceAll("\0", "");
}

/** Compares the firmware's path with a disk's path below /sys. */
export function matchFirmwarePath(nodes: readonly PathNode[], devicePath: string): PathMatch {
  const firmwarePci = nodes
    .filter((node) => node.kind === "pci")
    .map((node) => `${node.device.toString(16).padStart(2, "0")}.${node.function}`);
  const diskPci = [...devicePath.matchAll(/\/[0-9a-f]{4,}:[0-9a-f]{2}:([0-9a-f]{2}\.[0-7])/g)];
  if (firmwarePci.join(" ") !== diskPci.map((match) => match[1]).join(" ")) {
    return diskPci.length === 0 ? "unknown" : "contradiction";
  }
  const messaging = nodes.filter((node) => node.kind !== "pci");
  if (messaging.length === 0) {
    return /\/virtio\d+\//.test(devicePath) ? "match" : "unknown";
  }
  if (messaging.some((node) => node.kind === "nvme")) {
    return devicePath.includes("/nvme/") ? "match" : "contradiction";
  }
  const ports = messaging.filter((node) => node.kind === "usb").map((node) => node.port + 1);
  return ports.length === 0 ? "unknown" : matchUsbPorts(ports, devicePath);
}

/**
 * Linux gives the two speeds of a USB 3 controller a root hub each and counts ports from one in
 * both; the firmware counts on. So the port on the root hub decides only when it is equal.
 */
function matchUsbPorts(ports: readonly number[], devicePath: string): PathMatch {
  const found = /\/\d+-([\d.]+):\d+\.\d+\//.exec(devicePath)?.[1]?.split(".").map(Number);
  if (found === undefined) {
    return "contradiction";
  }
  const samePlace =
    found.length === ports.length && found.slice(1).every((port, i) => port === ports[i + 1]);
  if (!samePlace) {
    return "contradiction";
  }
  return found[0] === ports[0] ? "match" : "unknown";
}
