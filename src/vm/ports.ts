/**
 * Ports that take one disk each: PCI Express root ports for nvme and virtio-blk, SATA ports.
 *
 * Only a device behind a root port can be pulled on q35, so disks that are there from the start
 * get one too, and some are kept free for disks that come later.
 */

import { portKindOf, type QemuObject } from "./disk.ts";
import { VmError } from "./error.ts";
import type { DiskOptions } from "./options.ts";

/** First slot of the root complex that is used for ports, and how many follow it. */
const firstSlot = 0x10;
const slotCount = 14;
const functionsPerSlot = 8;

/** Most PCI Express ports that one machine can have, and the SATA ports that each has. */
const pciePortsMax = slotCount * functionsPerSlot;
const sataPorts = 6;

/** Which disk sits in which port. */
export interface PortPlan {
  /** Number of PCI Express ports to make. */
  readonly pciePortCount: number;
  /** Those of them that are free. */
  readonly freePciePorts: readonly string[];
  /** Port of each disk that has one, by the disk's id. */
  readonly byDisk: ReadonlyMap<string, string>;
}

/**
 * Gives each disk that needs one a port, and adds the free ones.
 * @throws VmError `options` when the machine cannot have so many.
 */
export function planPorts(disks: readonly DiskOptions[], sparePorts: number): PortPlan {
  const inPcie = disks.filter((disk) => portKindOf(disk.kind) === "pcie");
  const inSata = disks.filter((disk) => portKindOf(disk.kind) === "sata");
  const pciePortCount = inPcie.length + sparePorts;
  refuseMore("PCI Express", pciePortCount, pciePortsMax);
  refuseMore("SATA", inSata.length, sataPorts);
  return {
    pciePortCount,
    freePciePorts: Array.from({ length: sparePorts }, (_, n) => portName(inPcie.length + n)),
    byDisk: new Map([
      ...inPcie.map((disk, index) => [disk.id, portName(index)] as const),
      ...inSata.map((disk, index) => [disk.id, `ide.${index}`] as const),
    ]),
  };
}

function refuseMore(kind: string, count: number, max: number): void {
  if (count <= max) return;
  throw new VmError(
    "options",
    `Cannot make a machine with ${count} ${kind} ports: ${max} is the most. ` +
      "Attach some of the disks as scsi or usb.",
    { kind, count, max },
  );
}

function portName(index: number): string {
  return `port${index}`;
}

/**
 * The root port with this place. No I/O space is reserved: there is too little of it for many
 * ports, and neither NVMe nor virtio needs it.
 */
export function planPortDevice(index: number): QemuObject {
  const slot = firstSlot + Math.floor(index / functionsPerSlot);
  const fn = index % functionsPerSlot;
  return {
    driver: "pcie-root-port",
    id: portName(index),
    bus: "pcie.0",
    addr: `${slot.toString(16)}.${fn}`,
    multifunction: fn === 0,
    chassis: index + 1,
    "io-reserve": 0,
  };
}
