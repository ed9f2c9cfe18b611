/** The command line of `serve` as values: addresses, sizes, keys. */

import { readFile } from "node:fs/promises";
import { isIPv6 } from "node:net";
import {
  ConfiguredPsk,
  DhchapSecret,
  describeInterchangeFault,
  nqnFault,
  type ParsedPsk,
  type ParsedSecret,
} from "../nvme/index.ts";
import { everyHost, type HostAccess, type TlsKey } from "../target/index.ts";
import { readOptions } from "./command.ts";
import { UsageError } from "./exit.ts";

/** What `serve` was asked for. */
export interface ServeOptions {
  readonly paths: readonly string[];
  readonly memoryBytes: readonly number[];
  readonly blockSizeBytes: number | undefined;
  readonly readOnly: boolean;
  readonly overlay: boolean;
  readonly host: string;
  readonly port: number;
  readonly nqn: string | undefined;
  readonly hosts: "any" | ReadonlyMap<string, HostAccess>;
  readonly tlsKeys: readonly TlsKey[];
  /** Hosts come by TLS with a key that they make by authentication. */
  readonly makesTlsKeys: boolean;
  readonly json: boolean;
}

const portDefault = 4420;
const pathsMax = 1024;

/**
 * Reads the command line, and the files with keys that it names.
 * @throws UsageError for what makes no sense.
 */
export async function readServeOptions(args: readonly string[]): Promise<ServeOptions> {
  const { values, positionals } = readOptions(
    args,
    {
      "read-only": { type: "boolean", default: false },
      overlay: { type: "boolean", default: false },
      memory: { type: "string", multiple: true, default: [] },
      "block-size": { type: "string" },
      listen: { type: "string", default: "127.0.0.1" },
      nqn: { type: "string" },
      allow: { type: "string", multiple: true, default: [] },
      secret: { type: "string" },
      tls: { type: "string" },
      "tls-from-secret": { type: "boolean", default: false },
      json: { type: "boolean", default: false },
    },
    pathsMax,
  );
  if (positionals.length + values.memory.length === 0) {
    throw new UsageError("Name what to serve: a file, a disk, or --memory SIZE.");
  }
  if (values["read-only"] && values.overlay) {
    throw new UsageError("With --overlay nothing is written to the file: leave --read-only out.");
  }
  const makesTlsKeys = values["tls-from-secret"];
  if (makesTlsKeys && values.secret === undefined) {
    throw new UsageError("With --tls-from-secret keys are made of the secret: add --secret FILE.");
  }
  const secrets = values.secret === undefined ? undefined : await readSecrets(values.secret);
  const { host, port } = parseListen(values.listen);
  const blockSizeBytes = parseBlockSize(values["block-size"]);
  if (values.nqn !== undefined) checkNqn("--nqn", values.nqn);
  for (const nqn of values.allow) checkNqn("--allow", nqn);
  return {
    paths: positionals,
    memoryBytes: values.memory.map((text) => parseMemory(text, blockSizeBytes)),
    blockSizeBytes,
    readOnly: values["read-only"],
    overlay: values.overlay,
    host,
    port,
    nqn: values.nqn,
    hosts: hostsOf(values.allow, secrets),
    tlsKeys: values.tls === undefined ? [] : await readTlsKeys(values.tls),
    makesTlsKeys,
    json: values.json,
  };
}

/** Address, with a port after a colon; IPv6 addresses with a port stand in brackets. */
export function parseListen(text: string): { readonly host: string; readonly port: number } {
  const match = /^(?:\[([^\]]+)\]|([^:]*))(?::(\d+))?$/.exec(text);
  if (!match) {
    if (isIPv6(text)) return { host: text, port: portDefault };
    throw new UsageError(`"${text}" is no address. Write --listen 0.0.0.0 or --listen [::]:4420.`);
  }
  const port = match[3] === undefined ? portDefault : Number(match[3]);
  if (port > 65535) throw new UsageError(`There is no port ${port}.`);
  return { host: match[1] ?? (match[2] || "0.0.0.0"), port };
}

const units: Readonly<Record<string, number>> = {
  "": 1,
  K: 2 ** 10,
  M: 2 ** 20,
  G: 2 ** 30,
  T: 2 ** 40,
};

/** A number of bytes: digits, and K, M, G or T for powers of 1024. */
export function parseSize(text: string): number {
  const match = /^(\d+)([KMGT]?)$/i.exec(text);
  const bytes = match ? Number(match[1]) * units[match[2]!.toUpperCase()]! : 0;
  if (bytes > 0 && Number.isSafeInteger(bytes)) return bytes;
  throw new UsageError(`"${text}" is no size. Write a number of bytes, or one like 64M or 2G.`);
}

const blockSizeMin = 512;
const blockSizeMax = 64 * 1024;

function parseBlockSize(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const bytes = parseSize(text);
  if (Number.isInteger(Math.log2(bytes)) && bytes >= blockSizeMin && bytes <= blockSizeMax) {
    return bytes;
  }
  throw new UsageError(`--block-size takes a power of two from 512 to 64K, not "${text}".`);
}

function parseMemory(text: string, blockSizeBytes = blockSizeMin): number {
  const bytes = parseSize(text);
  if (bytes % blockSizeBytes === 0) return bytes;
  throw new UsageError(`--memory takes whole blocks of ${blockSizeBytes} bytes, not "${text}".`);
}

function checkNqn(option: string, nqn: string): void {
  const fault = nqnFault(nqn);
  if (fault === undefined) return;
  throw new UsageError(
    `${option} takes an NVMe qualified name, such as nqn.2026-11.org.example:disk or ` +
      `nqn.2014-08.org.nvmexpress:uuid:UUID, not "${nqn}".`,
  );
}

/** Access of the hosts named, or of every host. */
function hostsOf(
  allowed: readonly string[],
  secrets: HostAccess | undefined,
): "any" | ReadonlyMap<string, HostAccess> {
  if (allowed.length === 0 && !secrets) return "any";
  const names = allowed.length === 0 ? [everyHost] : allowed;
  return new Map(names.map((name) => [name, secrets ?? {}]));
}

/** First line: the hosts' secret; second line, if any: the controller's. */
async function readSecrets(path: string): Promise<HostAccess> {
  const lines = await readKeyFile(path);
  for (const line of lines) checkKey(path, DhchapSecret.parse(line));
  const [secret, controllerSecret] = lines;
  return controllerSecret === undefined
    ? { secret: secret! }
    : { secret: secret!, controllerSecret };
}

/** The first line that is no comment. */
async function readTlsKeys(path: string): Promise<readonly TlsKey[]> {
  const [key = ""] = await readKeyFile(path);
  checkKey(path, ConfiguredPsk.parse(key));
  return [{ key }];
}

/** Says what is wrong with a key of a file, and shows nothing of it. */
function checkKey(path: string, parsed: ParsedSecret | ParsedPsk): void {
  if (parsed.ok) return;
  throw new UsageError(`Cannot use the key in ${path}: ${describeInterchangeFault(parsed.fault)}.`);
}

async function readKeyFile(path: string): Promise<string[]> {
  const text = await readFile(path, "utf8").catch((cause: Error) => {
    throw new UsageError(`Cannot read the key in ${path}: ${cause.message}.`);
  });
  const lines = text.split("\n").map((line) => line.trim());
  const found = lines.filter((line) => line !== "" && !line.startsWith("#"));
  if (found.length === 0) throw new UsageError(`There is no key in ${path}.`);
  return found;
}
