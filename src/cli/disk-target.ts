/** Disks as the command line names them: by address and NQN, by box and serial number, by path. */

import { readdir, readFile, realpath } from "node:fs/promises";
import { basename } from "node:path";
import { type BlockDevice, BlockError, FileDisk } from "../block/index.ts";
import type { DiskIdentity, Target } from "../flash/index.ts";
import {
  addressOf,
  type Controller,
  connectController,
  type DiscoveryEntry,
  discover,
  InitiatorError,
  type NamespaceInfo,
  readReservation,
} from "../initiator/index.ts";
import { NotFoundError, UsageError } from "./exit.ts";
import { parseTarget, type TargetAddress } from "./target-address.ts";

/** How a disk is opened. */
export interface OpenTargetOptions {
  readonly readOnly: boolean;
  readonly signal: AbortSignal;
}

/** An open disk; disposal closes it and its connections. */
export interface OpenTarget extends Target, AsyncDisposable {
  /** Where on the network it is. */
  readonly place?: { readonly host: string; readonly port: number; readonly nqn: string };
  /** Calls `listener` when the connection is lost and when it is back; returns what ends that. */
  onConnection?(listener: (state: ConnectionState) => void): () => void;
}

/** How a disk's connection is. */
export interface ConnectionState {
  readonly isConnected: boolean;
  /** For people: why it was lost, or for how long. */
  readonly reason: string;
}

const ioQueues = 2;
const defaultNsid = 1;

/**
 * Opens the disk that `text` names.
 * @throws UsageError, NotFoundError, InitiatorError, BlockError.
 */
export async function openTarget(text: string, options: OpenTargetOptions): Promise<OpenTarget> {
  const address = parseTarget(text);
  if (address.kind === "file") return await openFile(address.path, options);
  if (address.kind === "nqn") return await openRemote(text, address, options);
  const found = await findDisk(address, options.signal);
  return await openRemote(text, found, options);
}

async function openFile(path: string, { readOnly }: OpenTargetOptions): Promise<OpenTarget> {
  let disk: FileDisk;
  try {
    disk = await FileDisk.open(path, { readOnly });
  } catch (error) {
    if (error instanceof BlockError && error.code === "gone") {
      throw new NotFoundError(`There is no disk ${path}: ${error.message}`, { cause: error });
    }
    throw error;
  }
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
  const name = basename(await realpath(path));
  for (const place of ["device/serial", "serial", "device/wwid", "wwid"]) {
    const found = await readFile(`/sys/class/block/${name}/${place}`, "utf8").catch(() => "");
    if (found.trim() !== "") return found.trim();
  }
  return name;
}

/** Whether this machine uses a block device: mounted, swap, or beneath another device. */
async function usersOf(path: string): Promise<string | undefined> {
  const name = basename(await realpath(path));
  const entries = await readdir(`/sys/class/block/${name}`).catch(() => [] as string[]);
  const names = [name, ...entries.filter((entry) => entry.startsWith(name))];
  for (const [file, what] of [
    ["/proc/self/mounts", "mounted"],
    ["/proc/swaps", "swap"],
  ] as const) {
    const lines = (await readFile(file, "utf8").catch(() => "")).split("\n");
    const found = lines.find((line) => names.some((each) => line.startsWith(`/dev/${each} `)));
    if (found) return what === "mounted" ? `mounted at ${found.split(" ")[1]}` : what;
  }
  for (const each of names) {
    const holders = await readdir(`/sys/class/block/${each}/holders`).catch(() => [] as string[]);
    if (holders.length > 0) return `beneath ${holders.join(", ")}`;
  }
  return undefined;
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
  const controller = await connectController({
    host,
    port,
    subsystemNqn: nqn,
    ioQueues,
    reconnect: {},
    signal,
  });
  try {
    const disk = await controller.openNamespace(nsid, { signal });
    const inUseBy = await hostsOf(controller, nsid, signal);
    return {
      name,
      disk: disk satisfies BlockDevice,
      identity: identityOf(controller, disk.info),
      isRemote: true,
      place: { host, port, nqn },
      onConnection: (listener) =>
        controller.onEvent((event) => {
          if (event.type === "disconnected") {
            listener({ isConnected: false, reason: event.error.message });
          } else if (event.type === "reconnected") {
            const seconds = (event.downMs / 1000).toFixed(1);
            listener({ isConnected: true, reason: `it was away for ${seconds} s` });
          }
        }),
      ...(inUseBy ? { inUseBy } : {}),
      identify: async (options) =>
        identityOf(controller, await controller.namespace(nsid, options ?? {})),
      async [Symbol.asyncDispose]() {
        await disk[Symbol.asyncDispose]();
        await controller[Symbol.asyncDispose]();
      },
    };
  } catch (error) {
    await controller[Symbol.asyncDispose]();
    throw error;
  }
}

/** Which other host has reserved a namespace. This one never does. */
async function hostsOf(
  controller: Controller,
  nsid: number,
  signal: AbortSignal,
): Promise<string | undefined> {
  const reservation = await readReservation(controller, nsid, { signal });
  if (!reservation) return undefined;
  const { type, holders } = reservation;
  const who = holders.length > 0 ? `host ${holders.join(", ")}` : "another host";
  return `reserved by ${who} (${type})`;
}

function identityOf(controller: Controller, info: NamespaceInfo): DiskIdentity {
  const { sn, mn } = controller.identify;
  const { uuid, nguid, eui64, sizeBytes, blockSizeBytes } = info;
  return {
    serial: sn.trim(),
    model: mn.trim(),
    sizeBytes,
    blockSizeBytes,
    ...(uuid ? { uuid } : {}),
    ...(nguid ? { nguid } : {}),
    ...(eui64 ? { eui64 } : {}),
  };
}

/** A disk of the discovery log, by the last part of its NQN or by its serial number. */
async function findDisk(
  { host, port, disk }: Extract<TargetAddress, { kind: "box" }>,
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
