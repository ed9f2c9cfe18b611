/** The check that every set-id rule of a definition means something. */

import type { ApplianceDefinition } from "../definition.ts";
import type { Ownership } from "../entry.ts";
import { ImageError } from "../error.ts";
import { matcherOf } from "../unpack/index.ts";

/** Permission and sticky bits are below it, set-uid and set-gid not. */
const setIdUnit = 0o2000;

/**
 * Whether each glob of `keepSetuid` names a file that has set-id bits.
 * @param found mode by path of the image's files, after unpacking under these rules.
 * @param ownerships what maintainer scripts would have set.
 * @throws ImageError `definition` that names the first glob that does not.
 */
export function checkSetuid(
  definition: ApplianceDefinition,
  found: ReadonlyMap<string, number>,
  ownerships: ReadonlyMap<string, Ownership>,
): void {
  const modes = new Map(found);
  for (const [path, { mode }] of ownerships) if (modes.has(path)) modes.set(path, mode);
  const paths = [...modes].filter(([, mode]) => mode >= setIdUnit).map(([path]) => path);
  for (const glob of definition.keepSetuid ?? []) {
    if (paths.some(matcherOf([glob]))) continue;
    throw new ImageError(
      "definition",
      `Cannot keep set-id bits of ${glob}, as keepSetuid of ${definition.name} says: the image has ` +
        "no such file with a set-uid or set-gid bit. Correct the path, or take it out of the list.",
      { glob },
    );
  }
}
