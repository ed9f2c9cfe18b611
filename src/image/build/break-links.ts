/**
 * Files that replace one name of a hard-linked file. Where a path is there already, the kernel writes
 * a later file of the same kind into it (Linux init/initramfs.c, do_name), and so into all names that
 * the earlier one has. An entry of another kind makes it take the old name away first.
 */

import type { Entry } from "../entry.ts";
import type { ListedEntry } from "../segment/index.ts";

/**
 * `entries` with a symbolic link before them for each file among them whose path is one of several
 * names of a file.
 * @param earlier what all earlier segments hold; it has the folders of these paths too.
 */
export function breakLinks(entries: readonly Entry[], earlier: Iterable<ListedEntry>): Entry[] {
  const linked = new Set<string>();
  for (const { type, path, target } of earlier) {
    if (type === "hardlink" && target !== undefined) linked.add(path).add(target);
  }
  const breaks = entries
    .filter(({ type, path }) => type === "file" && linked.has(path))
    .map(({ path, mtimeSeconds }): Entry => {
      const base = { path, mtimeSeconds, mode: 0o777, uid: 0, gid: 0 };
      return { ...base, type: "symlink", target: "/dev/null" };
    });
  return [...breaks, ...entries];
}
