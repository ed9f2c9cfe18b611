/** Disks as the command line names them: by address and NQN, by box and serial number, by path. */

import { readFile, realpath } from "node:fs/promises";
import { basename } from "node:path";
import { BlockError, FileDisk, type FileDiskOptions } from "../block/index.ts";
import {
  addressOf,
  connectController,
  type DiscoveryEntry,
  discover,
  InitiatorError,
} from "../initiator/index.ts";
import { kernelNameOf, usersOf } from "./disk-use.ts";
import { NotFoundError, UsageError } from "./exit.ts";
import { type OpenTarget, openNamespaceTarget } from "./namespace-target.ts";
import { parseTarget, type TargetAddress } from "./target-address.ts";

/** How a disk is opened. */
export interface OpenTargetOptions {
  readonly readOnly: boolean;
  /** For disks of boxes: unless told, what goes to and from them is encrypted. */
  readonly isEncrypted?: boolean;
  readonly signal: AbortSignal;
}

const defaultNsid = 1;

/**
 * Opens the disk that `text` names.
 * @throws UsageError, NotFoundError, InitiatorError, BlockError.
 */
export async function openTarget(text: string, options: OpenTargetOptions): Promise<OpenTarget> {
  const address = parseTarget(text);
  if (address.kind === "file") return await openFile(address.path, options);
  if (address.kind === "box") {
    // What boxes need takes a tenth of a second to load.
    const { openBoxTarget } = await import("./box-target.ts");
    return await openBoxTarget(address, { isEncrypted: true, ...options });
  }
  if (address.kind === "nqn") return await openRemote(text, address, options);
  const found = await findDisk(address, options.signal);
  return await openRemote(text, found, options);
}

/**
 * Opens a file or a block device of this machine.
 * @throws NotFoundError when there is none, else BlockError.
 */
export async function openFileDisk(path: string, options: FileDiskOptions): Promise<FileDisk> {
  try {
    return await FileDisk.open(path, options);
  } catch (error) {
    if (error instanceof BlockError && error.code === "gone") {
      throw new NotFoundError(`There is no disk ${path}. Check the path.`, { cause: error });
    }
    throw error;
  }
}

async function openFile(path: string, { readOnly }: OpenTargetOptions): Promise<OpenTarget> {
  const disk = await openFileDisk(path, { readOnly });
  const inUseBy = await usersOf(path);
  const serial = await serialOf(path);
  const { sizeBytes, blockSizeBytes } = disk;
  const identity = { serial, model: "file", sizeBytes, blockSizeBytes };
  return {
    name: path,
    disk,
    identity,
    isRemote: false,
    ...(inUseBy ? { inUseBy } : {}),
    identify: async () => ({ ...identity, serial: await serialOf(path) }),
    [Symbol.asyncDispose]: () => disk[Symbol.asyncDispose](),
  };
}

/** A disk's own serial number; for a file its name. */
async function serialOf(path: string): Promise<string> {
  const name = (await kernelNameOf(path)) ?? basename(await realpath(path));
  for (const place of ["device/serial", "serial", "device/wwid", "wwid"]) {
    const found = await readFile(`/sys/class/block/${name}/${place}`, "utf8").catch(() => "");
    if (found.trim() !== "") return found.trim();
  }
  return name;
}

interface RemoteAddress {
  readonly host: string;
  readonly port: number;
  readonly nqn: string;
  readonly nsid?: number | undefined;
}

async function openRemote(
  name: string,
  { host, port, nqn, nsid = defaultNsid }: RemoteAddress,
  { signal }: OpenTargetOptions,
): Promise<OpenTarget> {
  return await openNamespaceTarget(name, { host, port, subsystemNqn: nqn }, nsid, signal);
}

/** A disk of the discovery log, by the last part of its NQN or by its serial number. */
async function findDisk(
  { host, port, disk }: Extract<TargetAddress, { kind: "discovered" }>,
  signal: AbortSignal,
): Promise<RemoteAddress> {
  const entries = (await discover({ host, port, signal })).filter(
    (entry) => entry.subject === "subsystem" && entry.transport === "tcp",
  );
  if (disk === undefined) {
    const names = entries.map(({ subsystemNqn }) => `  ${host}:${lastPart(subsystemNqn)}`);
    throw new UsageError(
      `Name a disk of ${host}. ${names.length === 0 ? "It exports none." : `It exports:\n${names.join("\n")}`}`,
    );
  }
  const named = entries.filter(
    ({ subsystemNqn }) => subsystemNqn === disk || lastPart(subsystemNqn) === disk,
  );
  const found: RemoteAddress[] = [];
  const serials: string[] = [];
  for (const entry of named.length > 0 ? named : entries) {
    const reached = await reach(entry, signal);
    serials.push(reached.serial);
    if (named.length > 0 || reached.serial === disk) found.push(reached);
  }
  const [only, ...others] = found;
  if (only && others.length === 0) return only;
  const there = entries.map(
    ({ subsystemNqn }, n) => `${lastPart(subsystemNqn)} (${serials[n] ?? "?"})`,
  );
  throw new NotFoundError(
    `${only ? `${found.length} disks` : "No disk"} of ${host}:${port} ${only ? "are" : "is"} ` +
      `called ${disk}; there are: ${there.join(", ") || "none"}. Name one by its serial number.`,
  );
}

/** The serial number of a subsystem, and the address at which it answers. */
async function reach(
  entry: DiscoveryEntry,
  signal: AbortSignal,
): Promise<RemoteAddress & { readonly serial: string }> {
  const nqn = entry.subsystemNqn;
  // Behind the forwarding of one port only the address that was reached will do.
  for (const choice of ["reached-host", "reached"] as const) {
    const address = addressOf(entry, choice);
    try {
      await using controller = await connectController({ ...address, subsystemNqn: nqn, signal });
      return { ...address, nqn, serial: controller.identify.sn.trim() };
    } catch (error) {
      const isLast = choice === "reached";
      const isAbsent = error instanceof InitiatorError && error.code === "connect-refused";
      if (isLast || !isAbsent) throw error;
    }
  }
  throw new TypeError("Every choice of an address returns or throws.");
}

function lastPart(nqn: string): string {
  return nqn.slice(nqn.lastIndexOf(":") + 1);
}
