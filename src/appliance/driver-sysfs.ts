/**
 * Reads what the kernel and udev say of block devices, below a root that tests may choose.
 * Everything is read synchronously: these files are made in memory, no disk is asked.
 */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import type { BlockFacts, PartitionFacts, Properties } from "./facts.ts";
import { parseUdevRecord } from "./udev-database.ts";

/** Kernel names of all block devices that are no partitions. */
export function listBlockDevices(root: string): string[] {
  return (readNames(join(root, "sys/class/block")) ?? [])
    .filter((name) => readText(join(root, "sys/class/block", name, "partition")) === null)
    .map((name) => name.replaceAll("!", "/"));
}

/** Facts of one device, or null when it is not there (any more). */
export function readBlockFacts(root: string, name: string): BlockFacts | null {
  const entry = name.replaceAll("/", "!");
  const directory = join(root, "sys/class/block", entry);
  const names = readNames(directory);
  const sectors = readNumber(join(directory, "size"));
  if (names === null || sectors === null) {
    return null;
  }
  const devicePath = resolveDevice(directory);
  return {
    name,
    devicePath,
    diskSequence: readNumber(join(directory, "diskseq")),
    sectors512: sectors,
    blockSizeBytes: readNumber(join(directory, "queue/logical_block_size")) ?? 512,
    readOnly: readNumber(join(directory, "ro")) === 1,
    removable: readNumber(join(directory, "removable")) === 1,
    hidden: readNumber(join(directory, "hidden")) === 1,
    wwid: readText(join(directory, "wwid")) ?? readText(join(directory, "device/wwid")),
    transports: entry.startsWith("nvme") ? readTransports(root, devicePath) : [],
    udev: readUdev(root, directory),
    partitions: names
      .filter((child) => child.startsWith(entry))
      .map((child): PartitionFacts => {
        return { name: child, udev: readUdev(root, join(directory, child)) };
      }),
  };
}

/** The target of a link in /sys/class, as a path below /sys. */
function resolveDevice(link: string): string {
  try {
    return readlinkSync(link).replace(/^(?:\.\.\/)+/, "/");
  } catch {
    return "";
  }
}

/** A multipath disk lies below its subsystem, which links its controllers; others below one. */
function readTransports(root: string, devicePath: string): string[] {
  const parent = join(root, "sys", devicePath, "..");
  const own = readText(join(parent, "transport"));
  if (own !== null) {
    return [own];
  }
  return (readNames(parent) ?? [])
    .filter((name) => /^nvme\d+$/.test(name))
    .map((name) => readText(join(parent, name, "transport")))
    .filter((transport) => transport !== null);
}

/** udev's properties, with its links as `DEVLINKS`; null while udev has no record. */
function readUdev(root: string, directory: string): Properties | null {
  const number = readText(join(directory, "dev"));
  const record = number === null ? null : readText(join(root, `run/udev/data/b${number}`));
  if (record === null) {
    return null;
  }
  const { properties, links } = parseUdevRecord(record);
  return { ...properties, DEVLINKS: links.map((link) => `/dev/${link}`).join(" ") };
}

function readNames(path: string): string[] | null {
  try {
    return readdirSync(path);
  } catch {
    return null;
  }
}

function readText(path: string): string | null {
  try {
    const text = readFileSync(path, "utf8").trim();
    return text === "" ? null : text;
  } catch {
    return null;
  }
}

function readNumber(path: string): number | null {
  const text = readText(path);
  return text !== null && /^\d+$/.test(text) ? Number(text) : null;
}
