/** The firmware files that chosen modules ask for, found among the files of firmware packages. */

import type { Entry } from "../entry.ts";
import { matcherOf, sortByPath } from "../unpack/index.ts";
import type { FileEntry } from "./modules.ts";

/** The names that one module asks for, below `/lib/firmware`. */
export interface FirmwareDemand {
  readonly module: string;
  readonly names: readonly string[];
}

/** The firmware of one module. */
export interface ModuleFirmware {
  readonly module: string;
  /** Sum of its files, unpacked; a file that two modules share counts for both. */
  readonly bytes: number;
  readonly files: number;
}

/** A name that no firmware package has. */
export interface MissingFirmware {
  readonly module: string;
  readonly name: string;
}

/** The outcome of `selectFirmware`. */
export interface FirmwareSelection {
  /** Files, and links with what they lead to, by path; a file's second copy is a hard link. */
  readonly entries: readonly Entry[];
  /** The largest first. */
  readonly byModule: readonly ModuleFirmware[];
  readonly missing: readonly MissingFirmware[];
  /** Exclusions that removed nothing. */
  readonly unusedExclusions: readonly string[];
}

const folder = "usr/lib/firmware/";
/** In the order in which the kernel's loader tries them (CONFIG_FW_LOADER_COMPRESS). */
const suffixes = ["", ".zst", ".xz"];
const linkHopsMax = 16;

/**
 * Takes exactly what is asked for. What is missing is data and no error: modules name firmware of
 * devices that nobody may redistribute, and of versions from before the current one.
 * @param exclude globs over names below the firmware folder; what they match is not missing.
 */
export function selectFirmware(
  packages: Iterable<Entry>,
  demands: readonly FirmwareDemand[],
  exclude: readonly string[] = [],
): FirmwareSelection {
  const tree = new Map<string, Entry>();
  for (const entry of packages) {
    if (entry.path.startsWith(folder)) tree.set(entry.path, entry);
  }
  const exclusions = exclude.map((pattern) => ({
    pattern,
    test: matcherOf([pattern]),
    used: false,
  }));
  const chosen = new Map<string, Entry>();
  const missing: MissingFirmware[] = [];
  const byModule: ModuleFirmware[] = [];
  for (const { module, names } of demands) {
    const files = new Set<FileEntry>();
    for (const name of names.flatMap((asked) => expand(tree, asked))) {
      const exclusion = exclusions.find(({ test }) => test(name));
      if (exclusion) {
        exclusion.used = true;
        continue;
      }
      const trail = suffixes.map((suffix) => follow(tree, folder + name + suffix));
      const found = trail.find((entries) => entries !== undefined);
      if (!found) missing.push({ module, name });
      for (const entry of found ?? []) {
        chosen.set(entry.path, entry);
        if (entry.type === "file") files.add(entry);
      }
    }
    const bytes = [...files].reduce((sum, { data }) => sum + data.length, 0);
    if (files.size > 0) byModule.push({ module, bytes, files: files.size });
  }
  byModule.sort((a, b) => b.bytes - a.bytes || (a.module < b.module ? -1 : 1));
  return {
    entries: linkCopies(sortByPath(chosen.values())),
    byModule,
    missing,
    unusedExclusions: exclusions.filter(({ used }) => !used).map(({ pattern }) => pattern),
  };
}

/** A name as it is, or for a pattern every name that it matches (itself when there is none). */
function expand(tree: ReadonlyMap<string, Entry>, name: string): string[] {
  if (!/[*?]/.test(name)) return [name];
  const test = matcherOf([name]);
  const matches = [...tree.values()]
    .filter(({ type }) => type !== "directory")
    .map(({ path }) => path.slice(folder.length))
    .filter((path) => test(path));
  return matches.length > 0 ? matches : [name];
}

/** The links and the file that a path leads to, folders that are links included. */
function follow(tree: ReadonlyMap<string, Entry>, path: string): Entry[] | undefined {
  const trail: Entry[] = [];
  let rest = path.split("/");
  let done: string[] = [];
  for (let hops = 0; rest.length > 0; ) {
    const part = rest.shift()!;
    if (part === "" || part === ".") continue;
    if (part === "..") {
      done.pop();
      continue;
    }
    done.push(part);
    const entry = tree.get(done.join("/"));
    if (entry?.type === "symlink") {
      if (++hops > linkHopsMax) return undefined;
      trail.push(entry);
      const base = entry.target.startsWith("/") ? [] : done.slice(0, -1);
      rest = [...base, ...entry.target.split("/"), ...rest];
      done = [];
    } else if (entry?.type === "hardlink") {
      rest = [...entry.target.split("/"), ...rest];
      done = [];
    } else if (entry?.type === "file") {
      return rest.length === 0 ? [...trail, entry] : undefined;
    }
  }
  return undefined;
}

/** Files whose bytes an earlier one has become hard links to it. */
function linkCopies(entries: readonly Entry[]): Entry[] {
  const byLength = new Map<number, FileEntry[]>();
  return entries.map((entry) => {
    if (entry.type !== "file") return entry;
    const same = byLength.get(entry.data.length) ?? [];
    const first = same.find(({ data }) => Buffer.compare(data, entry.data) === 0);
    if (first) {
      const { data: _, ...rest } = entry;
      return { ...rest, type: "hardlink", target: first.path };
    }
    byLength.set(entry.data.length, [...same, entry]);
    return entry;
  });
}
