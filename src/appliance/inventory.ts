/** Takes stock: raw facts of a block device become a Disk, with one identity and clean names. */
import type { BlockFacts, Properties } from "./facts.ts";

/** What a disk is recognised by, at the next boot and in another slot. */
export interface Identity {
  readonly kind: "wwid" | "serial" | "path";
  readonly value: string;
  /** Another machine may well have a disk that calls itself the same. */
  readonly weak: boolean;
}

/** A whole disk, as everything after the inventory sees it. */
export interface Disk {
  /** Kernel name: `sda`. */
  readonly name: string;
  readonly devicePath: string;
  readonly diskSequence: number | null;
  readonly identity: Identity;
  /** Where it is plugged in: udev's `ID_PATH`, else the device path. */
  readonly path: string;
  /** As on the label, as far as the hardware says; empty when it says nothing. */
  readonly model: string;
  readonly serial: string;
  readonly firmware: string;
  readonly sizeBytes: number;
  readonly blockSizeBytes: number;
  /** `nvme`, `ata`, `scsi`, `usb`, `virtio`, `mmc`, or the kernel's name of the driver. */
  readonly transport: string;
  /** The disk itself takes no writes. */
  readonly readOnly: boolean;
}

const sectorBytes = 512;

/** Makes a Disk of what was found. */
export function takeInventory(facts: BlockFacts): Disk {
  const udev = facts.udev ?? {};
  const path = udev.ID_PATH ?? facts.devicePath;
  return {
    name: facts.name,
    devicePath: facts.devicePath,
    diskSequence: facts.diskSequence,
    identity: identify(facts, udev, path),
    path,
    model: modelOf(udev),
    serial: clean(udev.ID_SERIAL_SHORT ?? udev.ID_SERIAL ?? ""),
    firmware: clean(udev.ID_REVISION ?? ""),
    sizeBytes: isEmptyOptical(udev) ? 0 : facts.sectors512 * sectorBytes,
    blockSizeBytes: facts.blockSizeBytes,
    transport: transportOf(facts, udev),
    readOnly: facts.readOnly,
  };
}

/** The kernel makes a size up for an optical drive without a medium. */
function isEmptyOptical(udev: Properties): boolean {
  return udev.ID_CDROM === "1" && udev.ID_CDROM_MEDIA !== "1";
}

function identify(facts: BlockFacts, udev: Properties, path: string): Identity {
  const wwid = worldWideName(facts, udev);
  if (wwid !== null) {
    return { kind: "wwid", value: wwid, weak: false };
  }
  const serial = udev.ID_SERIAL ?? "";
  const short = udev.ID_SERIAL_SHORT ?? serial;
  if (serial !== "" && !isDummySerial(short)) {
    return { kind: "serial", value: clean(serial), weak: isWeakSerial(short) };
  }
  return { kind: "path", value: path, weak: true };
}

/** QEMU gives the same EUI-64 to the first namespace of every NVMe disk of every machine. */
const emulatorPrefix = "eui.525400";

/** `t10.` and the kernel's made-up `nvme.` names hold only model and serial; those follow. */
function worldWideName(facts: BlockFacts, udev: Properties): string | null {
  const wwid = facts.wwid?.toLowerCase() ?? "";
  const strong = /^(?:eui|naa|uuid)\.([0-9a-f-]{16,36})$/.exec(wwid);
  if (strong !== null && !isRepeated(strong[1]!) && !wwid.startsWith(emulatorPrefix)) {
    return wwid;
  }
  const udevName = (udev.ID_WWN_WITH_EXTENSION ?? udev.ID_WWN ?? "").toLowerCase();
  const hex = /^0x([0-9a-f]{16,32})$/.exec(udevName);
  return hex !== null && !isRepeated(hex[1]!) ? `naa.${hex[1]}` : null;
}

/** Serial numbers that makers of cheap bridges and sticks give to every piece. */
const dummySerials = new Set(["NONE", "NA", "N/A", "UNKNOWN", "DEFAULT", "SERIAL", "DISK"]);

/** Whether a serial number says nothing: blank, all the same character, or a count. */
export function isDummySerial(serial: string): boolean {
  const text = clean(serial).toUpperCase();
  const bare = text.replaceAll(/[-_. :]/g, "");
  return bare === "" || dummySerials.has(text) || isRepeated(bare) || isCount(bare);
}

function isRepeated(text: string): boolean {
  return /^(.)\1*$/.test(text.replaceAll("-", ""));
}

/** `0123456789ABCDEF`, `123456789012`: each character the one after its neighbour. */
function isCount(text: string): boolean {
  return text.length >= 4 && `0123456789ABCDEF0123456789012345678901234567890`.includes(text);
}

/** Shorter than any maker's serial number, or one that emulators number their disks with. */
function isWeakSerial(serial: string): boolean {
  return clean(serial).length < 8 || /^QM\d{5}$|^drive-|^\d-0000:/i.test(serial);
}

function modelOf(udev: Properties): string {
  const encoded = udev.ID_MODEL_ENC;
  if (encoded !== undefined) {
    const decoded = encoded.replaceAll(/\\x([0-9a-f]{2})/gi, (_all, hex: string) =>
      String.fromCharCode(Number.parseInt(hex, 16)),
    );
    if (clean(decoded) !== "") {
      return clean(decoded);
    }
  }
  return clean((udev.ID_MODEL ?? udev.ID_NAME ?? "").replaceAll("_", " "));
}

function transportOf(facts: BlockFacts, udev: Properties): string {
  const nvme = facts.transports[0];
  if (nvme !== undefined) {
    return nvme === "pcie" ? "nvme" : `nvme-${nvme}`;
  }
  const byName = /^(nvme|mmc|vd|pmem|nbd|xvd)/.exec(facts.name)?.[1];
  if (byName !== undefined) {
    return byName === "vd" ? "virtio" : byName;
  }
  return udev.ID_BUS ?? (facts.name.replaceAll(/\d+$/g, "") || "unknown");
}

/** Printable ASCII with single blanks, as NVMe's strings want it (Base 2.1, 1.4.2). */
function clean(text: string): string {
  return text.replaceAll(/[^\x21-\x7e]+/g, " ").trim();
}
