/**
 * Keeps the cache from growing for ever: what no build has used for a month goes. Nothing is lost
 * by it that cannot be fetched or made again.
 */

import { readdir, rm, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";

const dayMs = 24 * 3600 * 1000;
/** How often a cache is looked through. */
const pruneIntervalMs = dayMs;
/** How long a file stays that no build uses. */
const unusedMs = 30 * dayMs;

/** Folders of the cache whose contents may go, and those that hold folders of such files. */
const flatFolders = ["debs/sha256", "npm", "index/sha256"];
const nestedFolders = ["segments"];
const stampName = "pruned";

/**
 * Marks the files that a build has used, and removes those that were last used or made more than 30
 * days before `now`. Marks only when the cache was looked through on the same day: what is never
 * built first on its day is in use all the same, and a mirror may no longer have it.
 * @param used paths below `cacheDirectory`.
 * @returns how many bytes have gone.
 * Rejects with the system's error when a file can be neither marked nor removed.
 */
export async function pruneCache(
  cacheDirectory: string,
  used: Iterable<string>,
  now: Date,
): Promise<number> {
  await Promise.all(Array.from(used, (path) => utimes(path, now, now)));
  const stamp = join(cacheDirectory, stampName);
  const last = await modifiedMs(stamp);
  if (last !== undefined && now.getTime() - last < pruneIntervalMs) return 0;
  let removedBytes = 0;
  for (const folder of await foldersOf(cacheDirectory)) {
    for (const path of await pathsIn(folder)) {
      const facts = await stat(path).catch(() => undefined);
      if (facts === undefined || now.getTime() - facts.mtimeMs < unusedMs) continue;
      await rm(path, { recursive: true, force: true });
      removedBytes += facts.size;
    }
  }
  await writeFile(stamp, "");
  await utimes(stamp, now, now);
  return removedBytes;
}

async function modifiedMs(path: string): Promise<number | undefined> {
  return (await stat(path).catch(() => undefined))?.mtimeMs;
}

async function foldersOf(cacheDirectory: string): Promise<string[]> {
  const nested = await Promise.all(
    nestedFolders.map(async (name) => {
      const folder = join(cacheDirectory, name);
      const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
      return entries
        .filter((entry) => entry.isDirectory())
        .map((entry) => join(folder, entry.name));
    }),
  );
  return [...flatFolders.map((name) => join(cacheDirectory, name)), ...nested.flat()];
}

/** Folders too: a download by npm that was killed leaves one. */
async function pathsIn(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch(() => []);
  return names.map((name) => join(folder, name));
}
