/** Disks as the command line names them: by address and NQN, by box and serial number, by path. */

import { readFile, realpath } from "node:fs/promises";
import { basename } from "node:path";
import { BlockError, FileDisk, type FileDiskOptions, filePlaceOf } from "../block/index.ts";
import { tell } from "./console.ts";
import { findDisk, networkLookup, type SubsystemAddress } from "./discovered-target.ts";
import { kernelNameOf, usersOf } from "./disk-use.ts";
import { NotFoundError } from "./exit.ts";
import { type OpenTarget, openNamespaceTarget } from "./namespace-target.ts";
import { parseTarget } from "./target-address.ts";

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
  const found = await findDisk(address, networkLookup(options.signal));
  return await openRemote(text, found, options);
}

/** Warns that a disk may change while it is copied: what is read then is of no one moment. */
export function warnOfUse({ name, inUseBy }: OpenTarget): void {
  if (inUseBy === undefined) return;
  tell(
    `Warning: ${name} is in use: ${inUseBy}. If anything is written to it meanwhile, what is ` +
      "copied may be neither what it was before nor what it is after.",
  );
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
  // Before it is opened: what is put in its place meanwhile is noticed later.
  const place = await filePlaceOf(path).catch(() => undefined);
  const { disk, isHeld } = await openAlone(path, readOnly);
  const inUseBy = (await usersOf(path)) ?? (isHeld ? heldWords : undefined);
  const serial = await serialOf(path);
  const { sizeBytes, blockSizeBytes } = disk;
  const shape = { model: "file", sizeBytes, blockSizeBytes };
  const identity = { ...shape, serial, ...(place === undefined ? {} : { place }) };
  return {
    name: path,
    disk,
    identity,
    isRemote: false,
    ...(inUseBy ? { inUseBy } : {}),
    identify: async () => ({
      ...shape,
      serial: await serialOf(path),
      place: await filePlaceOf(path),
    }),
    [Symbol.asyncDispose]: () => disk[Symbol.asyncDispose](),
  };
}

/** ZFS, further disks of a btrfs, and mounts of other containers stand in no table. */
const heldWords = "something of this machine holds it, such as a ZFS or btrfs pool, or a program";

/** Opens it so that nobody else can take it, where that can be; else as it is, to be refused. */
async function openAlone(
  path: string,
  readOnly: boolean,
): Promise<{ readonly disk: FileDisk; readonly isHeld: boolean }> {
  try {
    return { disk: await openFileDisk(path, { readOnly, isExclusive: true }), isHeld: false };
  } catch (error) {
    const cause = error instanceof BlockError ? error.cause : undefined;
    const isHeld = cause instanceof Error && "code" in cause && cause.code === "EBUSY";
    if (!isHeld) throw error;
    return { disk: await openFileDisk(path, { readOnly }), isHeld };
  }
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

async function openRemote(
  name: string,
  {
    host,
    port,
    nqn,
    nsid = defaultNsid,
  }: SubsystemAddress & { readonly nsid?: number | undefined },
  { signal }: OpenTargetOptions,
): Promise<OpenTarget> {
  return await openNamespaceTarget(name, { host, port, subsystemNqn: nqn }, nsid, signal);
}
