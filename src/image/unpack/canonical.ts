/**
 * Canonical paths of the image: relative, clean, and beyond the aliases of a merged /usr.
 * Source: facts on usrmerge in Debian trixie, where only base-files ships `bin → usr/bin` and so
 * on; an entry for such a directory would replace that symlink by an empty directory at boot.
 */

/** Directories that are symlinks into `usr`; no canonical path goes through one. */
export const usrAliases: ReadonlySet<string> = new Set([
  "bin",
  "sbin",
  "lib",
  "lib32",
  "lib64",
  "libx32",
]);

/** Why a path has no canonical form. */
type PathRefusal = "absolute" | "leaves the tree" | "holds a NUL";

/** A canonical path (empty for the root itself), or why there is none. */
export type PathResult = { readonly path: string } | { readonly refused: PathRefusal };

/**
 * The canonical form of a path of an archive: `./` and doubled slashes go, and what lies below an
 * alias moves below `usr`. The alias itself (`lib`) stays as it is, since it may be the symlink.
 */
export function canonicalPath(raw: string): PathResult {
  if (raw.startsWith("/")) return { refused: "absolute" };
  if (raw.includes("\0")) return { refused: "holds a NUL" };
  const names = raw.split("/").filter((name) => name !== "" && name !== ".");
  if (names.includes("..")) return { refused: "leaves the tree" };
  const isBelowAlias = names.length > 1 && usrAliases.has(names[0]!);
  return { path: (isBelowAlias ? ["usr", ...names] : names).join("/") };
}

/** The directory that `path` lies in; empty for the root. */
export function parentPath(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf("/")));
}

/** Items in the order of their paths' UTF-8 bytes, whatever the locale; parents come first. */
export function sortByPath<T extends { readonly path: string }>(items: Iterable<T>): T[] {
  const keyed = Array.from(items, (item) => ({
    item,
    // One character per byte, so that comparing strings compares bytes.
    key: Buffer.from(item.path, "utf8").toString("latin1"),
  }));
  keyed.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
  return keyed.map(({ item }) => item);
}
