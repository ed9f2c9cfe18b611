/**
 * Packages of the npm registry, by way of the user's own npm, so that the registry, proxies,
 * certificates and tokens of their configuration apply.
 */
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { ImageError } from "../error.ts";
import { digestOfFile } from "./driver-part.ts";
import { errorOfStorage } from "./failure.ts";
import { sha512OfIntegrity } from "./integrity.ts";

/** How npm is run. */
export interface NpmOptions {
  /** Command that npm's arguments are appended to; see `npmCommand`. */
  readonly npm: readonly [string, ...string[]];
  readonly signal?: AbortSignal;
}

/** Finds npm: the one that runs this program when it does, else the one in the path. */
export function npmCommand(
  environment: Readonly<Record<string, string | undefined>>,
): readonly [string, ...string[]] {
  const script = environment.npm_execpath;
  return script?.endsWith(".js") ? [process.execPath, script] : ["npm"];
}

/**
 * Sees to it that a package's tarball is in the cache (`npm/SHA512HEX.tgz` below
 * `cacheDirectory`), and returns its path. A cached one is trusted by its name.
 * @throws ImageError `gone`, `network`, `hash`, `lock` (unreadable name or integrity),
 * `disk-full` or `io`; the signal's reason.
 */
export async function fetchNpm(
  wanted: { readonly name: string; readonly version: string; readonly integrity: string },
  options: NpmOptions & { readonly cacheDirectory: string },
): Promise<string> {
  const spec = specOf(wanted);
  const sha512 = sha512OfIntegrity(wanted.integrity);
  const folder = join(options.cacheDirectory, "npm");
  const path = join(folder, `${sha512}.tgz`);
  if (await stat(path).catch(() => undefined)) {
    return path;
  }
  let scratch: string | undefined;
  try {
    await mkdir(folder, { recursive: true });
    scratch = await mkdtemp(join(folder, "fetch-"));
    await runNpm(["pack", spec, "--ignore-scripts", "--pack-destination", scratch], spec, options);
    const names = (await readdir(scratch)).filter((name) => name.endsWith(".tgz"));
    const found = names.length === 1 ? await digestOfFile(join(scratch, names[0]!), "sha512") : "";
    if (found !== sha512) {
      throw new ImageError(
        "hash",
        `Cannot use the npm package ${spec}: found the SHA-512 ${found || "of no file"}, wanted ` +
          `${sha512}. The registry has other contents than when the lock file was made.`,
        { package: spec, found, wanted: sha512 },
      );
    }
    await rename(join(scratch, names[0]!), path);
    return path;
  } catch (error) {
    options.signal?.throwIfAborted();
    throw error instanceof ImageError ? error : errorOfStorage(error, path, 0);
  } finally {
    if (scratch !== undefined) {
      await rm(scratch, { recursive: true, force: true });
    }
  }
}

/**
 * Asks the registry for the integrity of one version, for a new lock file.
 * @throws ImageError `gone`, `network` or `lock` (no SHA-512); the signal's reason.
 */
export async function npmIntegrity(
  wanted: { readonly name: string; readonly version: string },
  options: NpmOptions,
): Promise<string> {
  const spec = specOf(wanted);
  const output = await runNpm(["view", spec, "dist.integrity", "--json"], spec, options);
  const integrity = parseJson(output);
  if (typeof integrity !== "string") {
    throw new ImageError(
      "gone",
      `Cannot pin the npm package ${spec}: the registry knows no integrity of this version. ` +
        "Check its name and version.",
      { package: spec, found: output },
    );
  }
  sha512OfIntegrity(integrity);
  return integrity;
}

function specOf(wanted: { readonly name: string; readonly version: string }): string {
  const isName = /^(@[a-z0-9][\w.-]*\/)?[a-z0-9][\w.-]*$/.test(wanted.name);
  if (!isName || !/^\d+\.\d+\.\d+[\w.+-]*$/.test(wanted.version)) {
    throw new ImageError(
      "lock",
      `Cannot fetch the npm package ${JSON.stringify(`${wanted.name}@${wanted.version}`)}: wanted ` +
        "a package name and one exact version.",
      { name: wanted.name, version: wanted.version },
    );
  }
  return `${wanted.name}@${wanted.version}`;
}

/** Standard output of npm; npm tries again by itself when a connection fails. */
function runNpm(arguments_: readonly string[], spec: string, options: NpmOptions): Promise<string> {
  const [command, ...first] = options.npm;
  const { signal } = options;
  return new Promise((resolve, reject) => {
    execFile(
      command,
      [...first, ...arguments_],
      { maxBuffer: 16 * 1024 * 1024, ...(signal === undefined ? {} : { signal }) },
      (error, stdout, stderr) => {
        if (error === null) {
          resolve(stdout);
        } else {
          reject(signal?.aborted ? signal.reason : errorOfNpm(error, stderr, spec));
        }
      },
    );
  });
}

function errorOfNpm(error: Error, stderr: string, spec: string): ImageError {
  if ("code" in error && error.code === "ENOENT") {
    return new ImageError(
      "io",
      `Cannot fetch the npm package ${spec}: npm is not there. Install npm, or start this through it.`,
      { package: spec },
      { cause: error },
    );
  }
  const npmCode = /npm (?:error|ERR!) code (\w+)/.exec(stderr)?.[1] ?? "";
  const facts = { package: spec, npmCode };
  const reason = stderr.trim().split("\n").slice(-3).join(" ") || error.message;
  const options = { cause: error };
  switch (npmCode) {
    case "E404":
    case "ETARGET":
      return new ImageError(
        "gone",
        `Cannot fetch the npm package ${spec}: the registry does not have it. Check npm's registry ` +
          "setting, or pin another version with --update.",
        facts,
        options,
      );
    case "ENOSPC":
      return new ImageError(
        "disk-full",
        `Cannot fetch the npm package ${spec}: the disk is full. Make room, or choose another ` +
          "cache folder.",
        facts,
        options,
      );
    default:
      return new ImageError(
        "network",
        `Cannot fetch the npm package ${spec}: npm says ${JSON.stringify(reason)}. Check the ` +
          "connection and npm's registry and proxy settings.",
        facts,
        options,
      );
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
