/**
 * The tree that a package contributes to the image: canonical paths, filtered, with all parents,
 * sorted, and independent of where and when it is unpacked.
 */

import type { Entry, Ownership } from "../entry.ts";
import { canonicalPath, parentPath, sortByPath, usrAliases } from "./canonical.ts";
import { type Captured, capture } from "./capture.ts";
import type { Deb } from "./deb.ts";
import { exclusionOf, type Filter } from "./filter.ts";
import { matcherOf } from "./glob.ts";
import { malformed } from "./malformed.ts";
import { readTar, type TarEntry } from "./tar.ts";

/** How a package becomes a tree; plain data, so that it can cross threads and be hashed. */
export interface UnpackRules {
  /** `builtinFilters`, and what the definition adds. */
  readonly filters: readonly Filter[];
  /** Globs of files whose set-uid and set-gid bits stay. */
  readonly keepSetuid: readonly string[];
  /**
   * Owner and mode by path, in the place of what the package says: what its maintainer script would
   * have set. Set-id bits of files need `keepSetuid` all the same.
   */
  readonly ownerships?: Readonly<Record<string, Ownership>>;
  /** Globs of files whose contents later steps want, filtered out or not. */
  readonly capture: readonly string[];
  /** Ids of owners that packages name; others keep the number that the package has. */
  readonly userIds: Readonly<Record<string, number>>;
  readonly groupIds: Readonly<Record<string, number>>;
  /** No mtime is after this; seconds since 1970. */
  readonly epochSeconds: number;
}

/** What became of a package. */
export interface UnpackedTree {
  /** Sorted by path; file data are views of the package's bytes. */
  readonly entries: readonly Entry[];
  /** Contents that `UnpackRules.capture` asked for, by path. */
  readonly captured: Readonly<Record<string, Captured>>;
}

/** An entry of the archive under its canonical path. */
interface Node {
  readonly path: string;
  readonly tar: TarEntry;
}
type Nodes = ReadonlyMap<string, Node>;

/**
 * The tree of a package.
 * @throws ImageError `package` when the data archive is broken, a path leaves the tree or goes
 * through something that is no directory, appears twice, or a hard link leads nowhere.
 */
export function treeOfDeb(deb: Deb, rules: UnpackRules): UnpackedTree {
  return treeOfTar(readTar(deb.data(), deb.source), rules, deb.source);
}

/** The same for any archive; `source` names it in messages. */
export function treeOfTar(
  archive: Iterable<TarEntry>,
  rules: UnpackRules,
  source: string,
): UnpackedTree {
  const nodes = collectNodes(archive, source);
  checkParents(nodes, source);
  const isExcluded = exclusionOf(rules.filters);
  const kept = keepNodes(nodes, isExcluded);
  const firstNames = new Map<TarEntry, string>();
  const keepsSetuid = matcherOf(rules.keepSetuid);
  const entries = withParents(kept, rules).map((node): Entry => {
    if (!("tar" in node)) return node;
    const origin = originOf(node, nodes, source);
    const firstName = firstNames.get(origin);
    if (firstName === undefined) firstNames.set(origin, node.path);
    return makeEntry(node.path, origin, firstName, rules, keepsSetuid(node.path));
  });
  const wanted = matcherOf(rules.capture);
  const captured: Record<string, Captured> = {};
  for (const node of sortByPath(nodes.values())) {
    if (!wanted(node.path)) continue;
    const content = capture(node.path, originOf(node, nodes, source), source);
    if (content !== undefined) captured[node.path] = content;
  }
  return { entries, captured };
}

function collectNodes(archive: Iterable<TarEntry>, source: string): Nodes {
  const nodes = new Map<string, Node>();
  for (const tar of archive) {
    const path = canonicalOf(tar.path, "the path", source);
    const isDirectory = tar.type === "directory";
    if (path === "" || (isDirectory && usrAliases.has(path))) continue;
    const known = nodes.get(path);
    if (known === undefined) nodes.set(path, { path, tar });
    else if (!isDirectory || known.tar.type !== "directory") {
      // Two directories are one that was reached through an alias and directly.
      throw malformed({ source, part: `the path ${path}`, found: "there twice", wanted: "unique" });
    }
  }
  return nodes;
}

function canonicalOf(raw: string, what: string, source: string): string {
  const result = canonicalPath(raw);
  if ("path" in result) return result.path;
  const found = `refused, as it is absolute, leaves the tree or holds a NUL (${result.refused})`;
  const part = `${what} ${JSON.stringify(raw)}`;
  throw malformed({ source, part, found, wanted: "below the root of the package" });
}

function checkParents(nodes: Nodes, source: string): void {
  for (const { path } of nodes.values()) {
    for (let parent = parentPath(path); parent !== ""; parent = parentPath(parent)) {
      const type = nodes.get(parent)?.tar.type ?? "directory";
      if (type === "directory") continue;
      const part = `the path ${parent}`;
      throw malformed({ source, part, found: `a ${type}`, wanted: "a folder" });
    }
  }
}

/** What remains after filtering; a directory goes when filters took everything that it held. */
function keepNodes(nodes: Nodes, isExcluded: (path: string) => boolean): Node[] {
  const bereft = new Set<string>();
  const needed = new Set<string>();
  const kept: Node[] = [];
  // Children come before their directories.
  for (const node of sortByPath(nodes.values()).reverse()) {
    const { path, tar } = node;
    const isEmptied = tar.type === "directory" && bereft.has(path);
    if (!needed.has(path) && (isEmptied || isExcluded(path))) {
      bereft.add(parentPath(path));
    } else {
      needed.add(parentPath(path));
      kept.push(node);
    }
  }
  return kept;
}

/** Adds the directories that the archive leaves out, and sorts. */
function withParents(kept: readonly Node[], rules: UnpackRules): (Node | Entry)[] {
  const all = new Map<string, Node | Entry>(kept.map((node) => [node.path, node]));
  for (const { path } of kept) {
    for (let parent = parentPath(path); parent !== ""; parent = parentPath(parent)) {
      if (!all.has(parent)) all.set(parent, makeDirectory(parent, rules.epochSeconds));
    }
  }
  return sortByPath(all.values());
}

function makeDirectory(path: string, mtimeSeconds: number): Entry {
  return { type: "directory", path, mode: 0o755, uid: 0, gid: 0, mtimeSeconds };
}

/** The entry that has the contents: the node's own, or what its hard link leads to. */
function originOf(node: Node, nodes: Nodes, source: string): TarEntry {
  let tar = node.tar;
  for (let steps = 0; tar.type === "hardlink"; steps++) {
    const target = canonicalOf(tar.target, "the hard link to", source);
    const next = nodes.get(target)?.tar;
    if (next === undefined || next.type === "directory" || steps === nodes.size) {
      const part = `the hard link ${node.path}`;
      throw malformed({ source, part, found: `to ${target}`, wanted: "to a file of the package" });
    }
    tar = next;
  }
  return tar;
}

/**
 * Of several names of one file the first has the data, whichever the archive gave it to. Only files
 * stay linked: the kernel makes each symbolic link of its own entry, and a link of no target fails.
 */
function makeEntry(
  path: string,
  tar: TarEntry,
  firstName: string | undefined,
  rules: UnpackRules,
  keepsSetuid: boolean,
): Entry {
  const own = rules.ownerships;
  const { mode, uid, gid } = own && Object.hasOwn(own, path) ? own[path]! : ownershipOf(tar, rules);
  const base = {
    path,
    mode: keepsSetuid || tar.type !== "file" ? mode : withoutSetId(mode),
    uid,
    gid,
    mtimeSeconds: Math.min(tar.mtimeSeconds, rules.epochSeconds),
  };
  if (firstName !== undefined && tar.type === "file") {
    return { ...base, type: "hardlink", target: firstName };
  }
  switch (tar.type) {
    case "file":
      return { ...base, type: "file", data: tar.data };
    case "directory":
      return { ...base, type: "directory" };
    case "character":
    case "block":
      return { ...base, type: tar.type, major: tar.major, minor: tar.minor };
    default:
      return { ...base, type: "symlink", target: tar.target };
  }
}

/** What the package says of an entry. */
function ownershipOf(tar: TarEntry, { userIds, groupIds }: UnpackRules): Ownership {
  return {
    mode: tar.mode,
    uid: idOf(userIds, tar.userName) ?? tar.uid,
    gid: idOf(groupIds, tar.groupName) ?? tar.gid,
  };
}

/** The sticky bit and the permissions, without set-uid (0o4000) and set-gid (0o2000). */
function withoutSetId(mode: number): number {
  return mode % 0o2000;
}

/** The id of a name that a package chose, which may be that of an inherited property. */
function idOf(ids: Readonly<Record<string, number>>, name: string): number | undefined {
  return Object.hasOwn(ids, name) ? ids[name] : undefined;
}
