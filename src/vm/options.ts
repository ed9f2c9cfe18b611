/** What a virtual machine is made of, as its user declares it. */

/** How a disk is attached. `sd`, `floppy`, `sata` and `cdrom` cannot be plugged while running. */
export type DiskKind = "nvme" | "virtio-blk" | "scsi" | "sata" | "usb" | "sd" | "floppy" | "cdrom";

/** One disk or drive of a machine. */
export interface DiskOptions {
  /** Its name within the machine: a letter, then letters, digits, `-` or `_`; 24 at most. */
  readonly id: string;
  readonly kind: DiskKind;
  /** A raw image file. Absent: a drive without a medium (floppy and cdrom only). */
  readonly path?: string;
  /** The serial number that the guest sees; default: the id. Not for sd, floppy and cdrom. */
  readonly serial?: string;
  readonly readOnly?: boolean;
  /** Logical and physical block size; default 512. 4096: nvme, virtio-blk, scsi and usb only. */
  readonly blockSizeBytes?: 512 | 4096;
  /** Place in the firmware's boot order; 0 is first. Absent: the firmware decides. */
  readonly bootIndex?: number;
}

/** What a network card is connected to. */
export type NicNetwork =
  /**
   * QEMU's own network: DHCP and NAT; `Vm.forward` makes ports of the guest reachable. With
   * `isolated` the guest reaches nothing outside, and forwarded ports still work.
   */
  | { readonly kind: "user"; readonly isolated?: boolean }
  /** A cable to one other machine; see `makeLink`. */
  | { readonly kind: "link"; readonly localPath: string; readonly remotePath: string }
  /** A tap interface of the host that exists already. */
  | { readonly kind: "tap"; readonly interfaceName: string };

/** One network card. */
export interface NicOptions {
  readonly network: NicNetwork;
  /** Default `virtio`. */
  readonly model?: "virtio" | "e1000e" | "usb";
  /** Default: derived from the machine's name and the card's place, so that machines differ. */
  readonly macAddress?: string;
  /** All frames of this card are written to this file, in pcap format. */
  readonly pcapPath?: string;
}

/** What the firmware tells the guest about the machine. */
export interface SmbiosOptions {
  /** Default: derived from the machine's name. */
  readonly uuid?: string;
  readonly serial?: string;
  readonly manufacturer?: string;
  readonly product?: string;
  /** Type 11 OEM strings. */
  readonly strings?: readonly string[];
}

/** A pair of OVMF files. The variables are a template: each machine gets its own copy. */
export interface Firmware {
  readonly codePath: string;
  readonly variablesPath: string;
}

/** `kvm` runs the guest on the CPU, `tcg` translates it. */
export type Accelerator = "kvm" | "tcg";

/** QEMU's `thread` of `-accel tcg`: virtual CPUs take turns in one thread, or have one each. */
export type TcgThreads = "single" | "multi";

/** A machine: q35, UEFI, one serial line, a screen. Everything but the disks has a default. */
export interface VmOptions {
  /** Stands in messages and feeds the default MAC addresses; default `vm`. */
  readonly name?: string;
  /** Default 1024. */
  readonly memoryMiB?: number;
  /** Default: all of the host's, 8 at most; one where they would take turns in one thread. */
  readonly cpus?: number;
  readonly disks?: readonly DiskOptions[];
  /** Default: none. */
  readonly nics?: readonly NicOptions[];
  /** Free slots for nvme and virtio-blk disks that are plugged in later; default 4. */
  readonly sparePorts?: number;
  /** Default: the OVMF that the host has installed. */
  readonly firmware?: Firmware;
  /**
   * Where the firmware keeps its variables; made from its template when no file is there. Default: a
   * file that goes with the machine.
   */
  readonly variablesPath?: string;
  readonly smbios?: SmbiosOptions;
  /** Appended to the kernel command line by systemd's EFI stub. */
  readonly extraKernelCommandLine?: string;
  /** QEMU's `-display`; default `none` (screenshots work all the same). */
  readonly display?: string;
  /** Default: `kvm` where the CPU really offers it, else `tcg`. */
  readonly accelerator?: Accelerator;
  /** Under TCG. Default `single`: `multi` is faster, and not safe with every QEMU. */
  readonly tcgThreads?: TcgThreads;
  /** Memory that TCG may use for what it has translated; default 128. */
  readonly translationsMiB?: number;
  /** Everything that the guest writes to its serial line, byte for byte, goes to this file too. */
  readonly serialLogPath?: string;
  /** A reset by the guest ends the machine. */
  readonly exitOnReset?: boolean;
}
