/** From mirrors to an index that can be resolved against: fetch, verify, unpack, parse. */
import { createHash } from "node:crypto";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { xz } from "@napi-rs/lzma";
import { ImageError } from "../error.ts";
import {
  archiveUrl,
  fetchSmall,
  fetchVerified,
  type RetryPolicy,
  runTogether,
  shownUrl,
  type Transport,
} from "../fetch/index.ts";
import type { LockedRelease } from "../lock.ts";
import { archiveKeyFiles, type TrustedKey, trustedKey } from "./keys.ts";
import { joinIndices, type PackageIndex, parsePackages, withBackports } from "./packages.ts";
import { type Release, readRelease } from "./release.ts";
import type { ArchiveName, Mirrors } from "./sources.ts";

/** What happens while an index is loaded. */
export type IndexEvent = "release-verified" | "packages-read";

/** A key as text, and the archive that it may sign. */
export interface ArmoredKey {
  /** For messages: `trixie-automatic`. */
  readonly label: string;
  readonly archive: ArchiveName;
  readonly armored: string;
}

/** What to load, and with what. */
export interface LoadIndexOptions {
  readonly mirrors: Mirrors;
  /** Code name: `trixie`; its updates and security suites come with it. */
  readonly release: string;
  readonly components: readonly string[];
  /** Packages to take from the release's backports. */
  readonly backports?: readonly string[];
  readonly architecture: string;
  /** Indices go to `index/` below it, and the newest release dates that were seen. */
  readonly cacheDirectory: string;
  readonly transport: Transport;
  readonly now: Date;
  /** Releases of the lock that is about to be replaced: older ones than these are refused. */
  readonly previous?: readonly LockedRelease[];
  readonly ignoreValidUntil?: boolean;
  /** Keys to trust instead of Debian's. */
  readonly keys?: readonly ArmoredKey[];
  readonly retry?: RetryPolicy;
  readonly signal?: AbortSignal;
  readonly log?: (event: IndexEvent, fields: Readonly<Record<string, unknown>>) => void;
}

/** All packages of a release, and the signed files that vouch for them. */
export interface LoadedIndex {
  readonly packages: PackageIndex;
  /** In the order of suites: release, updates, security, and backports if they were asked for. */
  readonly releases: readonly LockedRelease[];
}

const releaseBytesMax = 4 * 1024 * 1024;

/**
 * Loads a release with its updates and security suites.
 * @throws ImageError `signature`, `expired`, `mirror` (a suite or file is not there), `definition`
 * (no such component, or no such package in backports), `network`, `hash`, `disk-full`, `io`; the
 * signal's reason.
 */
export async function loadIndex(options: LoadIndexOptions): Promise<LoadedIndex> {
  const armored = options.keys ?? (await readKeys());
  const keys = await Promise.all(armored.map(trustedKey));
  const names = new Set(options.backports);
  const suites: Suite[] = [
    { archive: "debian", suite: options.release },
    { archive: "debian", suite: `${options.release}-updates` },
    { archive: "debian-security", suite: `${options.release}-security` },
    ...(names.size > 0 ? [{ archive: "debian", suite: backportsOf(options) } as const] : []),
  ];
  const loaded = await runTogether(
    suites.map((suite) => (signal) => loadSuite(suite, keys, { ...options, signal })),
    options.signal,
  );
  for (const { release, suite } of loaded) {
    await rememberDate(options, suite, release.date);
  }
  const [own, backports] = [false, true]
    .map((isBackports) =>
      loaded.filter(({ suite: { suite } }) => (suite === backportsOf(options)) === isBackports),
    )
    .map((part) => joinIndices(part.flatMap(({ indices }) => indices))) as [
    PackageIndex,
    PackageIndex,
  ];
  const gone = [...names].find((name) => backports.named(name).length === 0);
  if (gone !== undefined) {
    throw new ImageError(
      "definition",
      `Cannot take ${gone} from ${backportsOf(options)}: it has no package of that name. Leave it ` +
        "out of the definition's backports.",
      { package: gone, suite: backportsOf(options) },
    );
  }
  return {
    packages: names.size > 0 ? withBackports(own, backports, names) : own,
    releases: loaded.map(({ locked }) => locked),
  };
}

function backportsOf({ release }: LoadIndexOptions): string {
  return `${release}-backports`;
}

interface Suite {
  readonly archive: ArchiveName;
  readonly suite: string;
}

async function loadSuite(suite: Suite, keys: readonly TrustedKey[], options: LoadIndexOptions) {
  const mirror = options.mirrors[suite.archive];
  const file = await fetchRelease(suite, mirror, options);
  const newestSeen = await newestDate(options, suite);
  const release = await readRelease(file, {
    ...suite,
    mirror: shownUrl(mirror),
    keys,
    now: options.now,
    ...(newestSeen === undefined ? {} : { newestSeen }),
    ...(options.ignoreValidUntil === undefined
      ? {}
      : { ignoreValidUntil: options.ignoreValidUntil }),
  });
  options.log?.("release-verified", { ...suite, date: release.date.toISOString() });
  const indices = await runTogether(
    options.components.map(
      (component) => (signal) => loadComponent(component, suite, release, { ...options, signal }),
    ),
    options.signal,
  );
  const locked: LockedRelease = {
    ...suite,
    date: release.date.toISOString(),
    sha256: createHash("sha256").update(file).digest("hex"),
  };
  return { suite, release, indices, locked };
}

async function fetchRelease(
  { suite }: Suite,
  mirror: string,
  options: LoadIndexOptions,
): Promise<Uint8Array> {
  try {
    return await fetchSmall(
      {
        what: `the index of ${suite}`,
        url: archiveUrl(mirror, `dists/${suite}/InRelease`),
        sizeBytesMax: releaseBytesMax,
        adviceWhenGone: "Check the definition's release, or name another mirror with --mirror.",
      },
      options,
    );
  } catch (error) {
    if (error instanceof ImageError && error.code === "gone") {
      throw new ImageError("mirror", error.message, error.facts, { cause: error });
    }
    throw error;
  }
}

async function loadComponent(
  component: string,
  suite: Suite,
  release: Release,
  options: LoadIndexOptions,
): Promise<PackageIndex> {
  const mirror = options.mirrors[suite.archive];
  const name = `${component}/binary-${options.architecture}/Packages.xz`;
  const listed = release.files.get(name);
  if (!release.components.includes(component) || listed === undefined) {
    throw new ImageError(
      "definition",
      `Cannot load ${name} of ${suite.suite} from ${shownUrl(mirror)}: the suite does not list it. Its ` +
        `components are ${release.components.join(", ")}, its architectures ` +
        `${release.architectures.join(", ")}. Choose components among these.`,
      { ...suite, component, components: release.components },
    );
  }
  const folder = `dists/${suite.suite}`;
  const path = release.hasByHash
    ? `${folder}/${component}/binary-${options.architecture}/by-hash/SHA256/${listed.sha256}`
    : `${folder}/${name}`;
  const file = await fetchVerified(
    {
      what: `the package list ${component} of ${suite.suite}`,
      urls: [archiveUrl(mirror, path)],
      path: join(options.cacheDirectory, "index", "sha256", listed.sha256),
      sizeBytes: listed.sizeBytes,
      digest: { algorithm: "sha256", hex: listed.sha256 },
      adviceWhenGone: "The mirror is being updated; try again in some minutes.",
    },
    { ...options, verify: true },
  );
  const text = await xz.decompress(await readFile(file));
  options.signal?.throwIfAborted();
  const index = parsePackages(text, suite);
  options.log?.("packages-read", { ...suite, component, packageCount: index.packageCount });
  return index;
}

async function readKeys(): Promise<ArmoredKey[]> {
  return await Promise.all(
    archiveKeyFiles.map(async ({ label, archive }) => {
      const file = new URL(`./keys/${label}.asc`, import.meta.url);
      return { label, archive, armored: await readFile(file, "utf8") };
    }),
  );
}

/** The newest date of a suite that this cache or the lock to be replaced has seen. */
async function newestDate(options: LoadIndexOptions, suite: Suite): Promise<Date | undefined> {
  const remembered = await readNote(dateFile(options, suite));
  const locked = (options.previous ?? [])
    .filter((entry) => entry.archive === suite.archive && entry.suite === suite.suite)
    .map(({ date }) => date);
  const times = [remembered.trim(), ...locked]
    .map((date) => Date.parse(date))
    .filter((time) => Number.isFinite(time));
  return times.length === 0 ? undefined : new Date(Math.max(...times));
}

/** An unreadable note is not an absent one: without it, an older index would be taken. */
async function readNote(file: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (cause) {
    if (!(cause instanceof Error)) throw cause;
    if ("code" in cause && cause.code === "ENOENT") return "";
    throw new ImageError(
      "io",
      `Cannot read the date of the newest index in ${file}: ${cause.message}. Make it a file that ` +
        "can be read, or remove it.",
      { file },
      { cause },
    );
  }
}

async function rememberDate(options: LoadIndexOptions, suite: Suite, date: Date): Promise<void> {
  const file = dateFile(options, suite);
  const scratch = `${file}.${process.pid}.tmp`;
  try {
    await mkdir(join(options.cacheDirectory, "index", "newest"), { recursive: true });
    await writeFile(scratch, `${date.toISOString()}\n`);
    await rename(scratch, file);
  } catch (cause) {
    throw new ImageError(
      "io",
      `Cannot note the date of ${suite.suite} in ${file}. Check the cache folder's permissions.`,
      { file },
      { cause },
    );
  }
}

function dateFile(options: LoadIndexOptions, suite: Suite): string {
  const name = `${suite.archive}_${suite.suite}`.replace(/[^\w.-]/g, "_");
  return join(options.cacheDirectory, "index", "newest", name);
}
