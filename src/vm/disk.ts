/**
 * Disks as QEMU wants them: one block node and its devices, as objects that serve both the command
 * line (`-blockdev`, `-device`) and QMP (`blockdev-add`, `device_add`).
 */

import { VmError } from "./error.ts";
import type { DiskKind, DiskOptions } from "./options.ts";

/** A QEMU object in its JSON form. */
export type QemuObject = Readonly<Record<string, unknown>>;

/** What makes one disk. */
export interface DiskPlan {
  /** Absent for an empty drive. */
  readonly blockNode: QemuObject | undefined;
  /** In the order in which they must be made; the last one carries the disk's id. */
  readonly devices: readonly QemuObject[];
}

/** A connector that takes one disk: a PCI Express root port, or one of the six SATA ports. */
export type PortKind = "pcie" | "sata";

interface KindFacts {
  readonly driver: string;
  /** A port of its own, the name of a bus that every machine has, or QEMU's own choice. */
  readonly bus: PortKind | "usb.0" | "scsi.0" | undefined;
  readonly hotPluggable: boolean;
  readonly serialCharactersMax: number;
  readonly bigBlocks: boolean;
  readonly mayBeEmpty: boolean;
  /** Fixed properties of the device. */
  readonly properties?: QemuObject;
}

const kinds: Readonly<Record<DiskKind, KindFacts>> = {
  nvme: {
    driver: "nvme",
    bus: "pcie",
    hotPluggable: true,
    serialCharactersMax: 20,
    bigBlocks: true,
    mayBeEmpty: false,
  },
  "virtio-blk": {
    driver: "virtio-blk-pci",
    bus: "pcie",
    hotPluggable: true,
    serialCharactersMax: 20,
    bigBlocks: true,
    mayBeEmpty: false,
  },
  scsi: {
    driver: "scsi-hd",
    bus: "scsi.0",
    hotPluggable: true,
    serialCharactersMax: 36,
    bigBlocks: true,
    mayBeEmpty: false,
  },
  sata: {
    driver: "ide-hd",
    bus: "sata",
    hotPluggable: false,
    serialCharactersMax: 20,
    bigBlocks: false,
    mayBeEmpty: false,
  },
  usb: {
    driver: "usb-storage",
    bus: "usb.0",
    hotPluggable: true,
    serialCharactersMax: 36,
    bigBlocks: true,
    mayBeEmpty: false,
    properties: { removable: true },
  },
  sd: {
    driver: "sd-card",
    bus: undefined,
    hotPluggable: false,
    serialCharactersMax: 0,
    bigBlocks: false,
    mayBeEmpty: false,
  },
  floppy: {
    driver: "floppy",
    bus: undefined,
    hotPluggable: false,
    serialCharactersMax: 0,
    bigBlocks: false,
    mayBeEmpty: true,
    properties: { "drive-type": "144" },
  },
  cdrom: {
    driver: "ide-cd",
    bus: "sata",
    hotPluggable: false,
    serialCharactersMax: 0,
    bigBlocks: false,
    mayBeEmpty: true,
  },
};

/** The port that a kind needs for itself, if it does. */
export function portKindOf(kind: DiskKind): PortKind | undefined {
  const { bus } = kinds[kind];
  return bus === "pcie" || bus === "sata" ? bus : undefined;
}

/** True for the kinds that can be plugged and pulled while the machine runs. */
export function isHotPluggable(kind: DiskKind): boolean {
  return kinds[kind].hotPluggable;
}

/** Name of the block node of a disk, for QMP commands such as `block_resize`. */
export function blockNodeName(id: string): string {
  return `node-${id}`;
}

/**
 * The objects that make one disk.
 * @param port the port for it, for kinds that `portKindOf` gives one.
 * @throws VmError `options` when no such disk can exist.
 */
export function planDisk(disk: DiskOptions, port?: string): DiskPlan {
  checkDisk(disk);
  const facts = kinds[disk.kind];
  const bus = portKindOf(disk.kind) === undefined ? facts.bus : port;
  const device: Record<string, unknown> = { driver: facts.driver, id: disk.id };
  if (bus !== undefined) device.bus = bus;
  if (disk.path !== undefined) device.drive = blockNodeName(disk.id);
  if (facts.serialCharactersMax > 0) device.serial = disk.serial ?? disk.id;
  if (disk.blockSizeBytes !== undefined) {
    device.logical_block_size = disk.blockSizeBytes;
    device.physical_block_size = disk.blockSizeBytes;
  }
  if (disk.bootIndex !== undefined) device.bootindex = disk.bootIndex;
  Object.assign(device, facts.properties);
  const devices = disk.kind === "sd" ? [{ driver: "sdhci-pci", id: `${disk.id}-host` }] : [];
  return { blockNode: planBlockNode(disk), devices: [...devices, device] };
}

/** Flushes stop at QEMU: the file belongs to a test, and its host does not lose power. */
function planBlockNode(disk: DiskOptions): QemuObject | undefined {
  if (disk.path === undefined) return undefined;
  return {
    driver: "raw",
    "node-name": blockNodeName(disk.id),
    "read-only": disk.readOnly === true || disk.kind === "cdrom",
    discard: "unmap",
    cache: { direct: false, "no-flush": true },
    file: { driver: "file", filename: disk.path },
  };
}

function checkDisk(disk: DiskOptions): void {
  const facts = kinds[disk.kind];
  const refuse = (why: string): never => {
    throw new VmError("options", `Cannot make the ${disk.kind} disk "${disk.id}": ${why}`, {
      disk,
    });
  };
  if (!/^[A-Za-z][A-Za-z0-9_-]{0,23}$/.test(disk.id)) {
    refuse("its id must be a letter followed by at most 23 letters, digits, - or _.");
  }
  if (disk.path === undefined && !facts.mayBeEmpty) {
    refuse("it has no file. Only a floppy or a cdrom drive can be empty; set `path`.");
  }
  if (disk.serial !== undefined && disk.serial.length > facts.serialCharactersMax) {
    const max = facts.serialCharactersMax;
    refuse(`its serial has ${disk.serial.length} characters, and ${max} is the most.`);
  }
  if (disk.blockSizeBytes === 4096 && !facts.bigBlocks) {
    refuse("this kind has blocks of 512 bytes only. Use nvme, virtio-blk, scsi or usb.");
  }
  if (disk.readOnly === true && disk.kind === "sata") {
    refuse("QEMU has no read-only SATA disk. Use nvme, virtio-blk, scsi or usb.");
  }
  if (disk.bootIndex !== undefined && (disk.kind === "sd" || disk.kind === "floppy")) {
    refuse("the firmware takes no boot order for this kind. Leave `bootIndex` out.");
  }
}
