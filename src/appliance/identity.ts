/**
 * Names that stay: the box's id, and for each disk the NQN and the two identifiers of its
 * namespace. They depend on nothing but the machine and the disk, so that a host finds the same
 * links in /dev/disk/by-id at every boot.
 */
import { createHash } from "node:crypto";
import type { Disk } from "./inventory.ts";
import { firstWords, secondWords } from "./words.ts";

/** An NQN has at most 223 bytes (NVMe Base 2.1, 4.7). */
export const nqnLengthMax = 223;

/** What a host sees of an exported disk; lengths as nvmet's configfs takes them. */
export interface ExportNames {
  readonly nqn: string;
  /** Namespace UUID, RFC 9562 version 8, lower case with dashes. */
  readonly uuid: string;
  /** Namespace NGUID, as 16 bytes in the same notation. */
  readonly nguid: string;
  /** 1 to 20 characters of printable ASCII. */
  readonly serial: string;
  /** 1 to 40 characters. */
  readonly model: string;
  /** 1 to 8 characters. */
  readonly firmware: string;
}

/** Eight hex digits that name this machine; the same at every boot. */
export function boxId(machineId: string): string {
  return sha256(`diskomator box${machineId.trim()}`).slice(0, 8);
}

/** What people call a box. */
export interface BoxName {
  /** Two words: `lunch-feta`; the host name too. */
  readonly short: string;
  /** Three words, for a network where two boxes have the same two. */
  readonly full: string;
}

/** The name of the machine with this id; the same at every boot. */
export function boxName(machineId: string): BoxName {
  const [a = 0, b = 0, c = 0] = Buffer.from(sha256("diskomator name", machineId.trim()), "hex");
  const short = `${firstWords[a]}-${secondWords[b]}`;
  // No word twice: the next one where chance takes the same.
  return { short, full: `${short}-${secondWords[c === b ? (c + 1) % 256 : c]}` };
}

/**
 * Whether a machine has the same id at its next boot. An image asks systemd to take the id from
 * the firmware; where that has no UUID, systemd makes one up at every boot, as it does for none.
 * @param firmwareUuid what the firmware says, or null
 */
export function isLasting(
  machineId: string,
  commandLine: string,
  firmwareUuid: string | null,
): boolean {
  if (machineId.trim() === "") {
    return false;
  }
  const isFromFirmware = commandLine.split(/\s+/).includes("systemd.machine_id=firmware");
  const uuid = (firmwareUuid ?? "").trim().replaceAll("-", "").toLowerCase();
  return !isFromFirmware || uuid === machineId.trim();
}

/** Kernel name → NQNs that the disk is exported under now. */
export type HeldNames = ReadonlyMap<string, ReadonlySet<string>>;

/**
 * Names for all disks at once. Two disks with one identity would get the same names; then the
 * place where each is plugged in becomes part of them. A disk that is exported already keeps
 * the name that it has, as long as it is one of its own, so that no host loses it because
 * a twin was plugged in.
 */
export function assignNames(
  disks: readonly Disk[],
  base: string,
  box: string,
  held: HeldNames,
): Map<string, ExportNames> {
  const plain = new Map(disks.map((disk) => [disk.name, nameDisk(disk, base, box, false)]));
  const counts = new Map<string, number>();
  for (const { nqn } of plain.values()) {
    counts.set(nqn, (counts.get(nqn) ?? 0) + 1);
  }
  const names = new Map<string, ExportNames>();
  for (const disk of disks) {
    const own = plain.get(disk.name)!;
    if (counts.get(own.nqn) === 1) {
      const placed = nameDisk(disk, base, box, true);
      names.set(disk.name, held.get(disk.name)?.has(placed.nqn) ? placed : own);
      continue;
    }
    const keeps = held.get(disk.name)?.has(own.nqn);
    names.set(disk.name, keeps ? own : nameDisk(disk, base, box, true));
  }
  return names;
}

/** What every NQN of this box begins with, the colon before the disk included. */
export function nqnPrefix(base: string, box: string): string {
  return `${base}:${box}:`;
}

function nameDisk(disk: Disk, base: string, box: string, placed: boolean): ExportNames {
  const { kind, value, weak } = disk.identity;
  const parts = ["diskomator namespace", kind, value];
  if (weak || placed) {
    parts.push("box", box);
  }
  const place = kind === "path" ? disk.devicePath : disk.path;
  if (placed) {
    parts.push("path", place);
  }
  const digest = sha256(...parts);
  const label = placed ? `${value}-${place}` : value;
  return {
    nqn: limitNqn(`${nqnPrefix(base, box)}${sanitise(label)}`),
    uuid: uuidVersion8(digest.slice(0, 32)),
    nguid: dashed(digest.slice(32, 64)),
    serial: disk.serial.slice(-20).trim() || digest.slice(0, 16),
    model: disk.model.slice(0, 40).trim() || `${disk.transport} disk`.slice(0, 40),
    firmware: disk.firmware.slice(0, 8).trim() || "1",
  };
}

/** Letters, digits, dot, dash and underscore; runs of anything else become one dash. */
function sanitise(text: string): string {
  return text.replaceAll(/[^A-Za-z0-9._-]+/g, "-").replaceAll(/^-+|-+$/g, "") || "disk";
}

/** A name that is too long ends in a hash of its whole. */
function limitNqn(nqn: string): string {
  return nqn.length <= nqnLengthMax
    ? nqn
    : `${nqn.slice(0, nqnLengthMax - 17)}-${sha256(nqn).slice(0, 16)}`;
}

/**
 * RFC 9562, 5.8: version in the 13th digit, variant in the two top bits of the 17th. By itself, though
 * nvme has the same: the daemon exports its disks before it loads that part.
 */
function uuidVersion8(hex: string): string {
  const variant = "89ab"[Number.parseInt(hex.charAt(16), 16) % 4]!;
  return dashed(`${hex.slice(0, 12)}8${hex.slice(13, 16)}${variant}${hex.slice(17)}`);
}

function dashed(hex: string): string {
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

/** Hex digest of texts, each ended by a NUL byte but the last, so that no two lists collide. */
function sha256(...parts: readonly string[]): string {
  return createHash("sha256").update(parts.join("\0")).digest("hex");
}
