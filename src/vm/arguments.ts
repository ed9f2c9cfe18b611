/** The QEMU command line of a machine: values in, strings out. Written for QEMU 7.2 and later. */

import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";
import { planDisk, type QemuObject } from "./disk.ts";
import { VmError } from "./error.ts";
import type { Firmware, NicOptions, SmbiosOptions, VmOptions } from "./options.ts";
import { planPortDevice, planPorts } from "./ports.ts";

/** What the driver adds to the user's options. */
export interface MachineHost {
  /** `-accel`, such as `kvm` or `tcg,thread=multi`. */
  readonly accelerator: string;
  readonly cpus: number;
  /** Its variables file is this machine's own copy. */
  readonly firmware: Firmware;
  /** File descriptors of connected stream sockets, inherited by QEMU. */
  readonly qmpFd: number;
  readonly serialFd: number;
}

/** Free slots when the options do not say. */
export const sparePortsDefault = 4;
/** Frames are captured whole: a card that cuts them itself is given up to 64 KiB, and a header. */
const frameBytesMax = 128 * 1024;
/** Memory when the options do not say. */
const memoryMiBDefault = 1024;

/**
 * All that the accelerator can give, but without cmpxchg16b, since QEMU 7.2 seems to translate it
 * wrongly: 6 of 12 boots of a stock kernel oopsed or died at random with it, once with garbage in
 * the flags right behind that instruction, and 1 of 5 without it. The cause is inferred from that,
 * not proven.
 */
function cpuModel(accelerator: string): string {
  return accelerator.startsWith("kvm") ? "host" : "max,-cx16";
}

/** A value for QEMU's `key=value,…` syntax, where a comma is written twice. */
function optionValue(value: string): string {
  return value.replaceAll(",", ",,");
}

function json(flag: string, object: QemuObject): string[] {
  return [flag, JSON.stringify(object)];
}

/**
 * The arguments of qemu-system-x86_64 for a machine.
 * @throws VmError `options` when no such machine can exist.
 */
export function qemuArguments(options: VmOptions, host: MachineHost): string[] {
  const disks = options.disks ?? [];
  refuseTwins(disks.map((disk) => disk.id));
  return [
    ...["-name", optionValue(options.name ?? "vm"), "-nodefaults", "-no-user-config"],
    ...["-machine", "q35,pflash0=firmware-code,pflash1=firmware-variables"],
    ...["-accel", host.accelerator, "-cpu", cpuModel(host.accelerator)],
    ...["-smp", String(host.cpus), "-m", `${options.memoryMiB ?? memoryMiBDefault}M`],
    ...firmwareArguments(host.firmware),
    ...["-display", options.display ?? "none", "-vga", "std"],
    ...channelArguments(options, host),
    ...smbiosArguments(
      { uuid: uuidOfName(options.name ?? "vm"), ...options.smbios },
      options.extraKernelCommandLine,
    ),
    ...(options.exitOnReset === true ? ["-no-reboot"] : []),
    ...diskArguments(options),
    ...(options.nics ?? []).flatMap((nic, index) => nicArguments(options.name ?? "vm", nic, index)),
  ];
}

function refuseTwins(ids: readonly string[]): void {
  const twin = ids.find((id, index) => ids.indexOf(id) !== index);
  if (twin === undefined) return;
  throw new VmError("options", `Cannot make a machine with two disks "${twin}". Rename one.`, {
    id: twin,
  });
}

function firmwareArguments(firmware: Firmware): string[] {
  const flash = (name: string, filename: string, readOnly: boolean) =>
    json("-blockdev", {
      driver: "raw",
      "node-name": name,
      "read-only": readOnly,
      file: { driver: "file", filename },
    });
  return [
    ...flash("firmware-code", firmware.codePath, true),
    ...flash("firmware-variables", firmware.variablesPath, false),
    // Without a disk to boot, OVMF would try the network for minutes before it gives up.
    ...["-fw_cfg", "name=opt/org.tianocore/IPv4PXESupport,string=n"],
    ...["-fw_cfg", "name=opt/org.tianocore/IPv6PXESupport,string=n"],
  ];
}

function channelArguments(options: VmOptions, host: MachineHost): string[] {
  const log =
    options.serialLogPath === undefined
      ? ""
      : `,logfile=${optionValue(options.serialLogPath)},logappend=off`;
  return [
    ...["-chardev", `socket,id=qmp,fd=${host.qmpFd}`, "-mon", "chardev=qmp,mode=control"],
    ...["-chardev", `socket,id=serial,fd=${host.serialFd}${log}`, "-serial", "chardev:serial"],
  ];
}

/** Machines have a UUID, and keep it; without one a box could not say who it is. */
function uuidOfName(name: string): string {
  const hash = createHash("sha256").update(`machine ${name}`).digest("hex");
  const [a, b, c, d, e] = [0, 8, 13, 17, 20].map((at, n) =>
    hash.slice(at, at + [8, 4, 3, 3, 12][n]!),
  );
  return `${a}-${b}-8${c}-8${d}-${e}`;
}

function smbiosArguments(smbios: SmbiosOptions, extraKernelCommandLine?: string): string[] {
  const system = (["manufacturer", "product", "serial", "uuid"] as const)
    .flatMap((key) => {
      const value = smbios[key];
      return value === undefined ? [] : [`${key}=${optionValue(value)}`];
    })
    .join(",");
  const strings = [...(smbios.strings ?? [])];
  if (extraKernelCommandLine !== undefined) {
    strings.push(`io.systemd.stub.kernel-cmdline-extra=${extraKernelCommandLine}`);
  }
  const values = strings.map((value) => `value=${optionValue(value)}`).join(",");
  return [
    ...(system === "" ? [] : ["-smbios", `type=1,${system}`]),
    ...(values === "" ? [] : ["-smbios", `type=11,${values}`]),
  ];
}

/** Every machine has a USB and a SCSI controller, so that disks can be plugged into them. */
function diskArguments(options: VmOptions): string[] {
  const disks = options.disks ?? [];
  const { pciePortCount, byDisk } = planPorts(disks, options.sparePorts ?? sparePortsDefault);
  const plans = disks.map((disk) => planDisk(disk, byDisk.get(disk.id)));
  const needsFloppy = disks.some((disk) => disk.kind === "floppy");
  return [
    ...Array.from({ length: pciePortCount }, (_, n) => json("-device", planPortDevice(n))).flat(),
    ...json("-device", { driver: "qemu-xhci", id: "usb", p2: 15, p3: 15 }),
    ...json("-device", { driver: "virtio-scsi-pci", id: "scsi" }),
    ...(needsFloppy ? json("-device", { driver: "isa-fdc", id: "fdc" }) : []),
    ...plans.flatMap(({ blockNode, devices }) => [
      ...(blockNode === undefined ? [] : json("-blockdev", blockNode)),
      ...devices.flatMap((device) => json("-device", device)),
    ]),
  ];
}

/** QEMU's name of the network of a card, by the card's place. */
export function networkName(index: number): string {
  return `net${index}`;
}

/** What makes one network card; `netdev` has an `id`. Serves QMP as it is. */
export interface NicPlan {
  readonly netdev: QemuObject;
  readonly device: QemuObject;
}

/** Each card has a network of its own, so that a guest with two has no address twice. */
export function planNic(machineName: string, nic: NicOptions, index: number): NicPlan {
  const netdev = planNetdev(nic, networkName(index), index);
  const device: Record<string, unknown> = {
    driver: { virtio: "virtio-net-pci", e1000e: "e1000e", usb: "usb-net" }[nic.model ?? "virtio"],
    id: `nic${index}`,
    netdev: networkName(index),
    mac: nic.macAddress ?? defaultMacAddress(machineName, index),
  };
  if (nic.model === "usb") device.bus = "usb.0";
  // The option ROM could only boot from the network.
  else device.romfile = "";
  return { netdev, device };
}

function nicArguments(machineName: string, nic: NicOptions, index: number): string[] {
  const { netdev, device } = planNic(machineName, nic, index);
  return [
    ...["-netdev", keyValues(netdev)],
    ...json("-device", device),
    ...(nic.pcapPath === undefined
      ? []
      : json("-object", planCapture(`dump${index}`, index, nic.pcapPath))),
  ];
}

/** What writes all frames of a card to a file in pcap format. Serves QMP as it is. */
export function planCapture(id: string, nicIndex: number, path: string): QemuObject {
  return {
    "qom-type": "filter-dump",
    id,
    netdev: networkName(nicIndex),
    file: path,
    maxlen: frameBytesMax,
  };
}

function planNetdev({ network }: NicOptions, id: string, index: number): QemuObject {
  switch (network.kind) {
    case "user": {
      const restrict = network.isolated === true ? { restrict: true } : {};
      return { type: "user", id, net: `10.0.${2 + index}.0/24`, ...restrict };
    }
    case "link": {
      const local = { type: "unix", path: network.localPath };
      return { type: "dgram", id, local, remote: { type: "unix", path: network.remotePath } };
    }
    case "tap":
      return { type: "tap", id, ifname: network.interfaceName, script: "no", downscript: "no" };
  }
}

/** An object in QEMU's older notation, its type first: `user,id=net0,restrict=on`. */
function keyValues({ type, ...rest }: QemuObject): string {
  const pairs = (object: object, prefix: string): string[] =>
    Object.entries(object).flatMap(([key, value]: [string, unknown]) => {
      if (typeof value === "object" && value !== null) return pairs(value, `${prefix}${key}.`);
      const text = typeof value === "boolean" ? (value ? "on" : "off") : String(value);
      return [`${prefix}${key}=${optionValue(text)}`];
    });
  return [String(type), ...pairs(rest, "")].join(",");
}

/** The prefix is QEMU's own; the rest tells machines and cards apart. */
function defaultMacAddress(machineName: string, index: number): string {
  const hash = crc32(`${machineName}/${index}`).toString(16).padStart(8, "0");
  return `52:54:00:${hash.slice(0, 2)}:${hash.slice(2, 4)}:${hash.slice(4, 6)}`;
}
