/** All packages of a lock file into the cache. */
import { mkdir, stat, statfs } from "node:fs/promises";
import { join } from "node:path";
import { ImageError } from "../error.ts";
import type { LockedPackage } from "../lock.ts";
import { type FetchOptions, fetchVerified, type VerifiedFile } from "./driver-download.ts";
import { errorOfStorage } from "./failure.ts";
import { runTogether } from "./together.ts";

/** How far a set of downloads is; what was cached counts as done. */
export interface FetchProgress {
  readonly doneBytes: number;
  readonly totalBytes: number;
  readonly doneFiles: number;
  readonly totalFiles: number;
}

/** What fetching packages needs to know. */
export interface FetchPackagesOptions extends Omit<FetchOptions, "onBytes"> {
  /** Base URL of each archive that a package names. */
  readonly mirrors: Readonly<Record<string, string>>;
  /** Packages go to `debs/sha256/HEX` below it. */
  readonly cacheDirectory: string;
  /** Downloads at a time; 6 unless told. */
  readonly parallel?: number;
  /** Called for each piece that arrives. */
  readonly onProgress?: (progress: FetchProgress) => void;
}

const parallelDefault = 6;

/**
 * Fetches what the cache lacks, and returns the path of each package's file by name.
 *
 * Packages that the mirrors no longer have are collected, so that one error names them all; any
 * other failure ends the rest at once, keeping their parts.
 * @throws ImageError `gone`, `network`, `hash`, `disk-full`, `io`, or `lock` for an archive that
 * has no mirror; the signal's reason.
 */
export async function fetchPackages(
  packages: readonly LockedPackage[],
  options: FetchPackagesOptions,
): Promise<Map<string, string>> {
  const files = packages.map((entry) => ({ name: entry.name, file: fileOf(entry, options) }));
  const distinct = [...new Map(files.map(({ file }) => [file.path, file])).values()];
  await checkSpace(distinct, options.cacheDirectory);

  let doneBytes = 0;
  let doneFiles = 0;
  const totalBytes = distinct.reduce((sum, file) => sum + file.sizeBytes, 0);
  const report = (deltaBytes: number, deltaFiles: number) => {
    doneBytes += deltaBytes;
    doneFiles += deltaFiles;
    options.onProgress?.({ doneBytes, totalBytes, doneFiles, totalFiles: distinct.length });
  };
  const gone: ImageError[] = [];
  const queue = distinct.toSorted((a, b) => a.sizeBytes - b.sizeBytes);
  const work = async (signal: AbortSignal) => {
    for (let file = queue.pop(); file !== undefined; file = queue.pop()) {
      try {
        await fetchVerified(file, { ...options, signal, onBytes: (delta) => report(delta, 0) });
        report(0, 1);
      } catch (error) {
        if (!(error instanceof ImageError && error.code === "gone")) {
          throw error;
        }
        gone.push(error);
      }
    }
  };
  const workers = Array.from({ length: options.parallel ?? parallelDefault }, () => work);
  await runTogether(workers, options.signal);
  throwGone(gone);
  return new Map(files.map(({ name, file }) => [name, file.path]));
}

function fileOf(entry: LockedPackage, options: FetchPackagesOptions): VerifiedFile {
  const mirror = options.mirrors[entry.archive];
  const what = `the package ${entry.name} ${entry.version}`;
  if (mirror === undefined) {
    throw new ImageError(
      "lock",
      `Cannot fetch ${what}: its archive ${JSON.stringify(entry.archive)} has no mirror; known ` +
        `are ${Object.keys(options.mirrors).join(", ")}. Make the lock file anew with --update.`,
      { package: entry.name, archive: entry.archive },
    );
  }
  return {
    what,
    urls: [archiveUrl(mirror, entry.path)],
    path: join(options.cacheDirectory, "debs", "sha256", entry.sha256),
    sizeBytes: entry.sizeBytes,
    digest: { algorithm: "sha256", hex: entry.sha256 },
    adviceWhenGone:
      "The mirror has moved on to a newer version; take that with --update, or name a mirror " +
      "that keeps old versions with --mirror.",
  };
}

/** The URL of a path below a mirror; paths are text, so a percent sign in one stands for itself. */
export function archiveUrl(mirror: string, path: string): string {
  return `${mirror.replace(/\/+$/, "")}/${path.replaceAll("%", "%25")}`;
}

/** One error for all packages that are gone. */
function throwGone(gone: readonly ImageError[]): void {
  const [first, ...more] = gone;
  if (first === undefined) {
    return;
  }
  if (more.length === 0) {
    throw first;
  }
  const names = gone.map((error) => String(error.facts.what).replace("the package ", "")).sort();
  throw new ImageError(
    "gone",
    `Cannot fetch ${gone.length} packages: the mirror has moved on to newer versions of ` +
      `${names.join(", ")}. Take those with --update, or name a mirror that keeps old versions ` +
      "with --mirror.",
    { packages: names },
    { cause: first },
  );
}

/** Refuses before the first byte when the cache's disk cannot hold what is missing. */
async function checkSpace(files: readonly VerifiedFile[], cacheDirectory: string): Promise<void> {
  let neededBytes = 0;
  for (const file of files) {
    const found = await stat(file.path).catch(() => undefined);
    neededBytes += found === undefined ? file.sizeBytes : 0;
  }
  try {
    await mkdir(cacheDirectory, { recursive: true });
    const { bavail, bsize } = await statfs(cacheDirectory);
    const freeBytes = bavail * bsize;
    if (neededBytes > freeBytes) {
      throw new ImageError(
        "disk-full",
        `Cannot fetch the packages into ${cacheDirectory}: ${neededBytes} more bytes are needed ` +
          `and ${freeBytes} are free. Make room there, or choose another cache folder.`,
        { path: cacheDirectory, neededBytes, freeBytes },
      );
    }
  } catch (error) {
    throw error instanceof ImageError ? error : errorOfStorage(error, cacheDirectory, neededBytes);
  }
}
