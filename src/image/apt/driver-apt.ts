/** Reads the host's apt configuration: mirrors and proxies. */
import { execFile } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { ProxySettings } from "../fetch/index.ts";
import { parseAptConfiguration, proxyFromApt } from "./configuration.ts";
import {
  type AptSource,
  chooseMirrors,
  type MirrorOptions,
  type Mirrors,
  parseDeb822Sources,
  parseMirrorList,
  parseOneLineSources,
} from "./sources.ts";

/** Where apt's configuration is; `/etc/apt` unless told. */
export interface AptDirectory {
  readonly directory?: string;
}

const directoryDefault = "/etc/apt";

/**
 * Finds the mirrors: the user's options, else those of apt.
 * @throws ImageError `mirror` when there is none, naming the option that tells it.
 */
export async function findMirrors(options: MirrorOptions & AptDirectory = {}): Promise<Mirrors> {
  const isTold = options.mirror !== undefined;
  return chooseMirrors(isTold ? [] : await readSources(options), options);
}

/** Proxies of apt and of the environment, as apt combines them; reads nothing without apt. */
export async function findProxy(
  environment: ProxySettings,
  options: AptDirectory & { readonly signal?: AbortSignal } = {},
): Promise<ProxySettings> {
  const dump = options.directory === undefined ? await dumpConfiguration(options) : undefined;
  const text = dump ?? (await readConfiguration(options.directory ?? directoryDefault));
  return proxyFromApt(parseAptConfiguration(text), environment);
}

async function readSources(options: AptDirectory): Promise<AptSource[]> {
  const directory = options.directory ?? directoryDefault;
  const parts = join(directory, "sources.list.d");
  const files = [join(directory, "sources.list"), ...(await listFolder(parts))];
  const sources: AptSource[] = [];
  for (const file of files) {
    if (file.endsWith(".list")) {
      sources.push(...parseOneLineSources(await readIfThere(file)));
    } else if (file.endsWith(".sources")) {
      sources.push(...parseDeb822Sources(await readIfThere(file)));
    }
  }
  return (await Promise.all(sources.map(expandMirrorList))).flat();
}

/** `mirror+file:` sources, as cloud images have them, stand for the URLs in the file. */
async function expandMirrorList(source: AptSource): Promise<AptSource[]> {
  const file = /^mirror\+file:(\/.*)$/.exec(source.uri)?.[1];
  if (file === undefined) {
    return [source];
  }
  const path = fileURLToPath(`file://${file.replace(/^\/+/, "/")}`);
  return parseMirrorList(await readIfThere(path)).map((uri) => ({ ...source, uri }));
}

function dumpConfiguration(options: {
  readonly signal?: AbortSignal;
}): Promise<string | undefined> {
  const { signal } = options;
  return new Promise((resolve) => {
    execFile("apt-config", ["dump"], signal === undefined ? {} : { signal }, (error, stdout) => {
      resolve(error === null ? stdout : undefined);
    });
  });
}

async function readConfiguration(directory: string): Promise<string> {
  const files = [...(await listFolder(join(directory, "apt.conf.d"))), join(directory, "apt.conf")];
  const texts = await Promise.all(files.map(readIfThere));
  return texts.join("\n");
}

async function listFolder(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch(() => []);
  return names.sort().map((name) => join(folder, name));
}

async function readIfThere(path: string): Promise<string> {
  return await readFile(path, "utf8").catch(() => "");
}
