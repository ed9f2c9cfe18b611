/**
 * Whether package-lock.json pins every package that it names, those of other systems included. npm
 * leaves out what is not installed here when it updates a lock beside a `node_modules`; then
 * `npm ci` refuses, and other systems install what no hash was written down for.
 */

import { posix } from "node:path";
import type { Finding } from "./walls.ts";

interface LockedPackage {
  readonly integrity?: string;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

/** Checks the text of a lock of npm's, version 3: its packages by their places. */
export function checkLock(path: string, text: string): Finding[] {
  const { packages } = JSON.parse(text) as { packages: Record<string, LockedPackage> };
  return Object.entries(packages).flatMap(([place, found]) => {
    const { integrity, dependencies, devDependencies, optionalDependencies } = found;
    const wanted = { ...dependencies, ...devDependencies, ...optionalDependencies };
    const missing = Object.keys(wanted)
      .filter((name) => !isPinned(packages, place, name))
      .map((name) => ({
        path,
        message: `Does not pin ${name}, which ${place || "this project"} depends on. Make it anew: rm package-lock.json && npm install --package-lock-only, where no node_modules is.`,
      }));
    const bare = place === "" || integrity !== undefined;
    return bare ? missing : [...missing, { path, message: `Has no integrity for ${place}.` }];
  });
}

/** Whether the package at `place` finds `name`, in its own folder or one above, as Node does. */
function isPinned(
  packages: Readonly<Record<string, LockedPackage>>,
  place: string,
  name: string,
): boolean {
  if (packages[posix.join(place, "node_modules", name)] !== undefined) return true;
  if (place === "") return false;
  const above = place.slice(0, place.lastIndexOf("node_modules/")).replace(/\/$/, "");
  return isPinned(packages, above, name);
}
