/** Local .deb files that take the place of locked packages, for those who hack on one. */

import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import {
  compareVersions,
  indexRecords,
  type PackageRecord,
  type Problem,
  problemsError,
  recordFromControl,
  resolvePackages,
} from "../apt/index.ts";
import type { ApplianceDefinition } from "../definition.ts";
import { ImageError } from "../error.ts";
import type { Lock, LockedPackage } from "../lock.ts";
import { readDeb } from "../unpack/index.ts";
import { wantedPackages } from "./plan.ts";

/** A lock with local packages in place, and where those lie. */
export interface LocalSubstitution {
  readonly pinned: Lock;
  /** Name → path of each local package that is used. */
  readonly local: ReadonlyMap<string, string>;
}

/**
 * Puts the packages of `packageDirectories` in the place of their namesakes; of several of one name,
 * as builds leave them behind, the latest version counts. The lock file itself never holds them.
 * @throws ImageError `definition` for a folder that cannot be read, a package whose name the lock
 * does not have, or one for other machines; `unsatisfied` when one needs what the lock does not have.
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
      const found = await readLocal(path, lock, definition.architecture);
      const known = replaced.get(found.name);
      if (known && compareVersions(found.version, known.version) < 0) continue;
      replaced.set(found.name, found);
      local.set(found.name, path);
    }
  }
  const pinned = {
    ...lock,
    packages: lock.packages.map((locked) => replaced.get(locked.name) ?? locked),
  };
  if (local.size > 0) await checkRelations(definition, lock, packages, local);
  return { pinned, local };
}

/** What the lock would say of a local package. */
async function readLocal(path: string, lock: Lock, wanted: string): Promise<LockedPackage> {
  const bytes = await readFile(path);
  const { control } = readDeb(bytes, path);
  const name = control.get("Package") ?? "";
  const architecture = control.get("Architecture") ?? "";
  if (architecture !== wanted && architecture !== "all") {
    throw new ImageError(
      "definition",
      `Cannot use ${path}: it is for ${architecture}, and the image for ${wanted}. Take it out of ` +
        "the folder.",
      { path, found: architecture, wanted },
    );
  }
  const locked = lock.packages.find((candidate) => candidate.name === name);
  if (locked === undefined) {
    throw new ImageError(
      "definition",
      `Cannot use ${path}: the image has no package "${name}" that it could replace. ` +
        "Add it to the definition's packages and run build --update first.",
      { path, package: name },
    );
  }
  const sha256 = createHash("sha256").update(bytes).digest("hex");
  const version = control.get("Version") ?? locked.version;
  return { ...locked, version, architecture, sha256, sizeBytes: bytes.length };
}

/**
 * Resolves with nothing but the lock's packages to choose from, and with the local ones in their
 * place: what stands in the way only then is the local packages' doing. Something always does,
 * since the lock does not have what the definition leaves out.
 */
async function checkRelations(
  definition: ApplianceDefinition,
  lock: Lock,
  packages: ReadonlyMap<string, string>,
  local: ReadonlyMap<string, string>,
): Promise<void> {
  const recordsWith = (paths: ReadonlyMap<string, string>) =>
    Promise.all(
      lock.packages.map((locked) =>
        recordOf(locked, paths.get(locked.name) ?? packages.get(locked.name)!),
      ),
    );
  const usual = problemsOf(definition, await recordsWith(new Map()));
  const known = new Set(usual.map((problem) => JSON.stringify(problem)));
  const fresh = problemsOf(definition, await recordsWith(local)).filter(
    // A local package may well ask for less than the one that the definition was written for.
    (problem) => problem.kind !== "idle-exclusion" && !known.has(JSON.stringify(problem)),
  );
  if (fresh.length === 0) return;
  const cause = problemsError(definition.name, fresh);
  throw new ImageError(
    "unsatisfied",
    `Cannot use the local packages ${[...local.values()].join(", ")}: the lock file does not ` +
      "have all that they need. Add it to the definition's packages and run build --update. " +
      cause.message,
    { ...cause.facts, local: [...local.values()] },
    { cause },
  );
}

function problemsOf(
  definition: ApplianceDefinition,
  records: readonly PackageRecord[],
): readonly Problem[] {
  try {
    resolvePackages({
      index: indexRecords(records),
      appliance: definition.name,
      architecture: definition.architecture,
      wanted: wantedPackages(definition),
      excludeDependencies: definition.excludeDependencies,
    });
    return [];
  } catch (error) {
    if (!(error instanceof ImageError) || error.facts.problems === undefined) throw error;
    return error.facts.problems as readonly Problem[];
  }
}

async function recordOf(locked: LockedPackage, path: string): Promise<PackageRecord> {
  const { control } = readDeb(await readFile(path), path);
  const text = [...control].map(([field, value]) => `${field}: ${value}\n`).join("");
  const { archive, sizeBytes, sha256 } = locked;
  return recordFromControl(text, { archive, suite: "", path: locked.path, sizeBytes, sha256 });
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
