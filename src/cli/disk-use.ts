/** Whether this machine uses a disk itself: mounted, as swap, or beneath another device. */

import { readdir, readFile, realpath, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { deviceNumber } from "../block/index.ts";

const blockDevices = "/sys/class/block";

/** A disk or a partition, as sysfs knows it. */
interface Node {
  readonly name: string;
  /** `MAJOR:MINOR`, by which the kernel's tables name it, whatever it is called in /dev. */
  readonly number: string;
}

/**
 * What uses a block device or a part of it, or a file; `undefined` for nothing that is known.
 * @param path any name of the device: the kernel's, a link to it, or a node made by hand.
 */
export async function usersOf(path: string): Promise<string | undefined> {
  const name = await kernelNameOf(path);
  if (name === undefined) return await loopOf(path);
  return await useOfDevice(name);
}

/**
 * What uses a block device or a part of it, by its name of the kernel.
 * @param root where `/proc` and `/sys` are, for tests
 * @throws Error when a table of the kernel cannot be read: a used disk must not pass for a free one.
 */
export async function useOfDevice(name: string, root = "/"): Promise<string | undefined> {
  const devices = join(root, blockDevices);
  try {
    const entries = await orWhereAbsent(readdir(join(devices, name)), []);
    const names = [name, ...entries.filter((entry) => entry.startsWith(name))];
    const nodes = await Promise.all(
      names.map(async (each) => ({
        name: each,
        number: (await readText(join(devices, each, "dev"))).trim(),
      })),
    );
    const used = findUse(nodes, {
      mountinfo: await readText(join(root, "proc/self/mountinfo")),
      swaps: await readText(join(root, "proc/swaps")),
    });
    if (used !== undefined) return used;
    for (const each of names) {
      const holders = await orWhereAbsent(readdir(join(devices, each, "holders")), []);
      if (holders.length > 0) return `beneath ${holders.join(", ")}`;
    }
    return undefined;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`Cannot find out whether ${name} is in use: ${reason}.`, { cause });
  }
}

/** What the kernel calls a block device; `undefined` for anything else. */
export async function kernelNameOf(path: string): Promise<string | undefined> {
  const found = await stat(path).catch(() => null);
  if (!found?.isBlockDevice()) return undefined;
  const number = deviceNumber(found.rdev);
  const folder = await realpath(`/sys/dev/block/${number}`).catch(() => path);
  return basename(folder);
}

/** Where nodes stand in the kernel's tables of mounts (proc(5), mountinfo) and of swap. */
export function findUse(
  nodes: readonly Node[],
  { mountinfo, swaps }: { readonly mountinfo: string; readonly swaps: string },
): string | undefined {
  const isOurs = (source: string) => nodes.some(({ name }) => source === `/dev/${name}`);
  for (const line of mountinfo.split("\n")) {
    const [before = "", after = ""] = line.split(" - ");
    const [, , number, , place = ""] = before.split(" ");
    // Btrfs and others have numbers of their own; those are known by their source.
    const source = after.split(" ")[1] ?? "";
    if (nodes.some((node) => node.number !== "" && node.number === number) || isOurs(source)) {
      return `mounted at ${unescapeBlanks(place)}`;
    }
  }
  return swaps.split("\n").some((line) => isOurs(line.split(" ")[0] ?? "")) ? "swap" : undefined;
}

/** Blanks stand in the kernel's tables as `\040`. */
function unescapeBlanks(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) =>
    String.fromCharCode(Number.parseInt(octal, 8)),
  );
}

/** The loop device that a file is behind. */
async function loopOf(path: string): Promise<string | undefined> {
  const file = await realpath(path).catch(() => path);
  for (const name of await orWhereAbsent(readdir(blockDevices), [])) {
    if (!name.startsWith("loop")) continue;
    const backing = await readText(join(blockDevices, name, "loop/backing_file"));
    if (unescapeBlanks(backing.trimEnd()) === file) return `behind /dev/${name}`;
  }
  return undefined;
}

function readText(path: string): Promise<string> {
  return orWhereAbsent(readFile(path, "utf8"), "");
}

/** Systems other than Linux have none of these files, and devices go away. */
async function orWhereAbsent<T>(reading: Promise<T>, absent: T): Promise<T> {
  try {
    return await reading;
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    if (code === "ENOENT" || code === "ENODEV" || code === "ENXIO") return absent;
    throw error;
  }
}
