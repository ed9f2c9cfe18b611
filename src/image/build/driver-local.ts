/** Local .deb files that take the place of locked packages, for those who hack on one. */

import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import type { ApplianceDefinition } from "../definition.ts";
import { ImageError } from "../error.ts";
import type { Lock, LockedPackage } from "../lock.ts";
import { readDeb } from "../unpack/index.ts";

/** A lock with local packages in place, and where those lie. */
export interface LocalSubstitution {
  readonly pinned: Lock;
  /** Name → path of each local package that is used. */
  readonly local: ReadonlyMap<string, string>;
}

/**
 * Puts the packages of `packageDirectories` in the place of their namesakes. The lock file itself
 * never holds them.
 * @throws ImageError `definition` for a folder that cannot be read, or a package whose name the
 * lock does not have.
 */
export async function applyLocalPackages(
  definition: ApplianceDefinition,
  definitionPath: string,
  lock: Lock,
  packages: ReadonlyMap<string, string>,
): Promise<LocalSubstitution> {
  const local = new Map<string, string>();
  const replaced = new Map<string, LockedPackage>();
  for (const folder of definition.packageDirectories ?? []) {
    const directory = resolve(dirname(definitionPath), folder);
    for (const name of await listDebs(directory)) {
      const path = join(directory, name);
      const bytes = await readFile(path);
      const { control } = readDeb(bytes, name);
      const packageName = control.get("Package") ?? "";
      const locked = lock.packages.find((candidate) => candidate.name === packageName);
      if (locked === undefined || !packages.has(packageName)) {
        throw new ImageError(
          "definition",
          `Cannot use ${path}: the image has no package "${packageName}" that it could replace. ` +
            "Add it to the definition's packages and run build --update first.",
          { path, package: packageName },
        );
      }
      const sha256 = createHash("sha256").update(bytes).digest("hex");
      const version = control.get("Version") ?? locked.version;
      replaced.set(packageName, { ...locked, version, sha256, sizeBytes: bytes.length });
      local.set(packageName, path);
    }
  }
  const pinned = {
    ...lock,
    packages: lock.packages.map((locked) => replaced.get(locked.name) ?? locked),
  };
  return { pinned, local };
}

async function listDebs(directory: string): Promise<string[]> {
  try {
    return (await readdir(directory)).filter((name) => name.endsWith(".deb")).sort();
  } catch (cause) {
    throw new ImageError(
      "definition",
      `Cannot read the package folder ${directory}.`,
      { directory },
      { cause },
    );
  }
}
