/**
 * CPU microcode for the early cpio, which the kernel searches before it unpacks anything
 * (Linux `Documentation/arch/x86/microcode.rst`).
 */

import { layout, reserved, u32le } from "../../bytes/index.ts";
import type { Entry } from "../entry.ts";
import { ImageError } from "../error.ts";
import { sortByPath } from "../unpack/index.ts";

/** Header of one Intel update (Intel SDM volume 3A, "Microcode Update"); sizes in bytes. */
export const intelUpdateHeader = layout("Intel microcode update", 48, {
  headerVersion: u32le,
  revision: u32le,
  /** BCD: 0xMMDDYYYY. */
  date: u32le,
  signature: u32le,
  checksum: u32le,
  loaderVersion: u32le,
  platforms: u32le,
  /** 0 means 2000. */
  dataSize: u32le,
  /** 0 means 2048; header, data and extended signatures. */
  totalSize: u32le,
  reserved1: reserved(12),
});

const intelFolder = "usr/lib/firmware/intel-ucode/";
const amdFolder = "usr/lib/firmware/amd-ucode/";
const earlyFolder = "kernel/x86/microcode/";
const defaultTotalBytes = 2048;

/**
 * The entries of the early cpio, parents first: Intel's updates with only the newest revision for
 * each signature and platform set, as `iucode_tool` keeps them, and AMD's containers, each joined
 * in the order of their paths. Nothing for nothing.
 * @throws ImageError `firmware` when an Intel file is no whole run of updates.
 */
export function microcodeEntries(packages: Iterable<Entry>, mtimeSeconds: number): Entry[] {
  const files = sortByPath([...packages].filter((entry) => entry.type === "file"));
  const intel = newestUpdates(
    files
      .filter(({ path }) => path.startsWith(intelFolder))
      .flatMap(({ path, data }) => splitUpdates(path, data)),
  );
  const amd = files
    .filter(({ path }) => path.startsWith(amdFolder) && path.endsWith(".bin"))
    .map(({ data }) => data);
  if (intel.length + amd.length === 0) return [];
  const base = { uid: 0, gid: 0, mtimeSeconds };
  const folders = ["kernel", "kernel/x86", "kernel/x86/microcode"].map(
    (path): Entry => ({ ...base, type: "directory", path, mode: 0o755 }),
  );
  const joined = [
    { name: "AuthenticAMD.bin", parts: amd },
    { name: "GenuineIntel.bin", parts: intel },
  ]
    .filter(({ parts }) => parts.length > 0)
    .map(
      ({ name, parts }): Entry => ({
        ...base,
        type: "file",
        path: earlyFolder + name,
        mode: 0o644,
        data: Buffer.concat(parts),
      }),
    );
  return [...folders, ...joined];
}

/** The updates that lie one after the other in a file. */
function splitUpdates(path: string, file: Uint8Array): Uint8Array[] {
  const updates: Uint8Array[] = [];
  for (let at = 0; at < file.length; ) {
    const room = file.length - at;
    const header = room >= intelUpdateHeader.size ? intelUpdateHeader.decode(file, at) : undefined;
    const size = header?.totalSize || defaultTotalBytes;
    if (header?.headerVersion !== 1 || size < intelUpdateHeader.size || size > room) {
      throw new ImageError(
        "firmware",
        `Cannot read the microcode in ${path}: no whole update at byte ${at} of ${file.length}.`,
        { path, offset: at },
      );
    }
    updates.push(file.subarray(at, at + size));
    at += size;
  }
  return updates;
}

/** The first of the highest revision for each signature and platform set, in file order. */
function newestUpdates(updates: readonly Uint8Array[]): Uint8Array[] {
  const newest = new Map<string, { revision: number; update: Uint8Array }>();
  for (const update of updates) {
    const { signature, platforms, revision } = intelUpdateHeader.decode(update);
    const key = `${signature}/${platforms}`;
    const known = newest.get(key);
    if (!known || known.revision < revision) newest.set(key, { revision, update });
  }
  return [...newest.values()].map(({ update }) => update);
}
