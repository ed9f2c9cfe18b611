/** Maintainer scripts of downloaded packages, by hash. */

import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import type { LockedPackage } from "../lock.ts";
import { maintainerScripts, readDeb } from "../unpack/index.ts";

/** SHA-256 of each maintainer script that a .deb has, names in the order of the lock. */
export async function maintainerScriptHashes(path: string): Promise<LockedPackage["scripts"]> {
  // The whole path: a damaged one is to be removed by hand, and its name is but a hash.
  const deb = readDeb(await readFile(path), path);
  const hashes: Partial<Record<(typeof maintainerScripts)[number], string>> = {};
  for (const name of maintainerScripts.toSorted()) {
    const script = deb.scripts.get(name);
    if (script) hashes[name] = createHash("sha256").update(script).digest("hex");
  }
  return hashes;
}
