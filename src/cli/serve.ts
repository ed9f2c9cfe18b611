/** `diskomator serve`: files, disks and memory of this machine as NVMe/TCP namespaces. */

import { createHash, randomUUID } from "node:crypto";
import { realpath, stat } from "node:fs/promises";
import { hostname, networkInterfaces } from "node:os";
import { setTimeout as wait } from "node:timers/promises";
import { type BlockDevice, type FileDisk, MemoryDisk, OverlayDisk } from "../block/index.ts";
import { formatRate, formatSize } from "../bytes/index.ts";
import { uuidOfHash } from "../nvme/index.ts";
import {
  createTarget,
  type ListenOptions,
  type NamespaceOptions,
  type RunningTarget,
  TargetError,
  type TargetEvent,
} from "../target/index.ts";
import type { Command } from "./command.ts";
import { printJson, printLine, progressLine, tell } from "./console.ts";
import { openFileDisk } from "./disk-target.ts";
import { usersOf } from "./disk-use.ts";
import { exitCodes, RefusedError } from "./exit.ts";
import { readServeOptions, type ServeOptions } from "./serve-options.ts";
import { flushAll, ServedSizes } from "./served-files.ts";

const help = `Usage: diskomator serve PATH... [OPTIONS]

Serves files and disks of this machine to NVMe/TCP hosts until Ctrl-C. No root is needed for files.

  --read-only        refuse writes
  --overlay          keep writes in memory, and leave the files as they are
  --memory SIZE      serve a disk of this size in memory too (64M, 2G); may be repeated
  --block-size SIZE  of files and memory, 512 (default) to 64K; Linux before 6.15 takes at most 4K;
                     disks keep their own
  --listen ADDR      address, with or without :PORT (default: 127.0.0.1:4420)
  --nqn NQN          name of the subsystem
  --allow HOSTNQN    let only this host in; may be repeated
  --secret FILE      hosts must prove that they know the DHHC-1 secret in FILE; a second line in it
                     is the secret by which this side proves itself
  --tls FILE         TLS 1.3 with the NVMeTLSkey-1 key in FILE
  --tls-from-secret  TLS 1.3 with keys that hosts make of --secret (secure channel concatenation,
                     which Linux has from 6.15 on: nvme connect --concat)
  --json             events as JSON lines; the last one is the result

Exit codes: 0 ended by a signal, 1 failed, 2 usage, 4 refused, 5 no such file.

Example: diskomator serve disk.img --listen 0.0.0.0 --allow nqn.2014-08.org.nvmexpress:uuid:...`;

const discoveryPort = 8009;
const statusMs = 1000;

/** One served device, and what to call it. */
interface Served {
  readonly name: string;
  readonly device: BlockDevice;
  readonly file: FileDisk | undefined;
  readonly uuid: string;
  /** By which a file is known that has several names. */
  readonly inode: string | undefined;
}

/** The command. */
export const serve: Command = {
  help,
  async run({ args, signal }) {
    const options = await readServeOptions(args);
    await using stack = new AsyncDisposableStack();
    const served = await openAll(options, stack);
    const nqn = options.nqn ?? `nqn.2026-11.io.diskomator:serve:${hostname().toLowerCase()}`;
    const target = createTarget({
      subsystems: [
        {
          nqn,
          serial: createHash("sha256").update(nqn).digest("hex").slice(0, 20),
          hosts: options.hosts,
          ...(options.makesTlsKeys ? { tls: "required" as const } : {}),
          namespaces: served.map(namespaceOf),
        },
      ],
      log: (event, fields) => show(options, event, fields),
    });
    stack.use(target);
    const port = await listen(target, options);
    announce(options, nqn, port, served);
    await run(target, nqn, served, options, signal);
    await target.close();
    await flushAll(served.map(({ device }) => device));
    report(target, options);
    return exitCodes.ok;
  },
};

async function openAll(options: ServeOptions, stack: AsyncDisposableStack): Promise<Served[]> {
  const { readOnly, overlay, blockSizeBytes } = options;
  const block = blockSizeBytes === undefined ? {} : { blockSizeBytes };
  const served: Served[] = [];
  for (const path of options.paths) {
    const file = await openFileDisk(path, { readOnly: readOnly || overlay, ...block });
    const device = overlay ? new OverlayDisk({ below: file }) : file;
    stack.use(device);
    const user = device.readOnly || overlay ? undefined : await usersOf(path);
    if (user !== undefined) {
      throw new RefusedError(
        `Cannot serve ${path} for writing: this machine uses it (${user}). End that first, or use ` +
          "--read-only or --overlay.",
      );
    }
    if (file.sizeBytes === 0) {
      throw new RefusedError(
        `Cannot serve ${path}: it is empty. Give it a size first: truncate -s 1G ${path}`,
      );
    }
    const uuid = await uuidOf(path);
    const inode = await inodeOf(path);
    const same = served.find((other) => other.uuid === uuid || other.inode === inode);
    if (same) {
      throw new RefusedError(
        `Cannot serve ${path}: it is the same file as ${same.name}, and hosts would take them for ` +
          "two disks. Name it once.",
      );
    }
    served.push({ name: path, device, file, uuid, inode });
  }
  for (const sizeBytes of options.memoryBytes) {
    const device = stack.use(new MemoryDisk({ sizeBytes, ...block }));
    const nothing = { file: undefined, inode: undefined };
    served.push({ name: "memory", device, ...nothing, uuid: randomUUID() });
  }
  return served;
}

/** The same for the same file on the same machine, so that hosts know a disk again. */
async function uuidOf(path: string): Promise<string> {
  const place = `${hostname()}:${await realpath(path)}`;
  return uuidOfHash(createHash("sha256").update(`diskomator serve ${place}`).digest());
}

/** Of a device its number: several nodes may lead to it. */
async function inodeOf(path: string): Promise<string> {
  const found = await stat(path, { bigint: true });
  return found.isBlockDevice() ? `device ${found.rdev}` : `${found.dev} ${found.ino}`;
}

function namespaceOf({ device, uuid }: Served): NamespaceOptions {
  return { device, uuid };
}

async function listen(target: RunningTarget, options: ServeOptions): Promise<number> {
  const { host, port } = options;
  const listener = await target.listen({ host, port, ...tlsOf(options) });
  try {
    await target.listen({ host, port: discoveryPort, discoveryOnly: true });
  } catch (error) {
    if (!(error instanceof TargetError)) throw error;
    // Discovery is on the other port too.
    tell(`Not on port ${discoveryPort} as well: ${error.message}`);
  }
  return listener.port;
}

/** TLS of the listener; keys are made on connections in the clear, which are good for nothing else. */
function tlsOf({ tlsKeys: keys, makesTlsKeys }: ServeOptions): Pick<ListenOptions, "tls"> {
  if (makesTlsKeys) return { tls: { policy: "optional", keys } };
  return keys.length > 0 ? { tls: { policy: "required", keys } } : {};
}

function announce(
  options: ServeOptions,
  nqn: string,
  port: number,
  served: readonly Served[],
): void {
  const addresses = addressesOf(options.host);
  const isOpen = options.hosts === "any" && options.tlsKeys.length === 0;
  if (isOpen && addresses.some((address) => !isLoopback(address))) {
    tell("WARNING: everyone who reaches this machine can read and write what is served.");
    tell("Use --secret, --tls or --allow, or leave --listen out.");
  }
  if (options.json) {
    const namespaces = served.map(({ name, device, uuid }, index) => {
      const { sizeBytes, readOnly } = device;
      return { nsid: index + 1, name, uuid, sizeBytes, readOnly };
    });
    printJson({ event: "serving", nqn, port, addresses, namespaces });
    return;
  }
  for (const [index, { name, device }] of served.entries()) {
    const size = formatSize(device.sizeBytes);
    printLine(`namespace ${index + 1}: ${name} (${size}${device.readOnly ? ", read-only" : ""})`);
  }
  for (const address of addresses) {
    printLine(`nvme connect -t tcp -a ${address} -s ${port} -n ${nqn}`);
  }
}

/** Addresses by which hosts reach a listener. */
function addressesOf(host: string): string[] {
  if (host !== "0.0.0.0" && host !== "::") return [host];
  const all = Object.values(networkInterfaces()).flatMap((found) => found ?? []);
  const outside = all.filter(({ internal, family, scopeid }) => {
    return !internal && (family === "IPv4" || (host === "::" && !scopeid));
  });
  return outside.length > 0 ? outside.map(({ address }) => address) : ["127.0.0.1"];
}

function isLoopback(address: string): boolean {
  return address.startsWith("127.") || address === "::1" || address === "localhost";
}

/** Until the signal: the status line, and files whose size changes. */
async function run(
  target: RunningTarget,
  nqn: string,
  served: readonly Served[],
  options: ServeOptions,
  signal: AbortSignal,
): Promise<void> {
  const sizes = new ServedSizes(options.overlay ? [] : served.map(({ file }) => file));
  let before = totals(target);
  while (!signal.aborted) {
    // Ends early with the signal, which is how this command is meant to end.
    await wait(statusMs, undefined, { signal }).catch(() => {});
    for (const index of await sizes.changed()) {
      target.target.subsystems.get(nqn)?.namespaceChanged(index + 1);
    }
    const now = totals(target);
    if (!options.json) progressLine.show(statusLine(target, before, now));
    before = now;
  }
  progressLine.clear();
}

interface Totals {
  readonly readBytes: number;
  readonly writtenBytes: number;
  readonly operations: number;
}

function totals({ target }: RunningTarget): Totals {
  let [readBytes, writtenBytes, operations] = [0, 0, 0];
  for (const { counts } of target.statistics().namespaces) {
    readBytes += counts.read.bytes;
    writtenBytes += counts.write.bytes;
    operations += counts.read.operations + counts.write.operations;
  }
  return { readBytes, writtenBytes, operations };
}

function statusLine({ target }: RunningTarget, before: Totals, now: Totals): string {
  const rate = (bytes: number) => formatRate(bytes);
  return (
    `${target.connectionCount} connections, read ${rate(now.readBytes - before.readBytes)}, ` +
    `write ${rate(now.writtenBytes - before.writtenBytes)}, ` +
    `${now.operations - before.operations} operations/s`
  );
}

const shown: readonly TargetEvent[] = [
  "host-connected",
  "host-refused",
  "host-authenticated",
  "peer-fault",
];

function show(
  { json }: ServeOptions,
  event: TargetEvent,
  fields: Readonly<Record<string, unknown>>,
): void {
  if (!shown.includes(event)) return;
  if (json) printJson({ event, ...fields });
  else {
    const facts = Object.entries(fields).map(([name, value]) => `${name} ${String(value)}`);
    tell(`${event}: ${facts.join(", ")}`);
  }
}

function report(target: RunningTarget, { json }: ServeOptions): void {
  const { readBytes, writtenBytes, operations } = totals(target);
  if (json)
    printJson({ event: "result", outcome: "ok", exitCode: 0, readBytes, writtenBytes, operations });
  else {
    tell(`Served ${formatSize(readBytes)}, took ${formatSize(writtenBytes)}.`);
  }
}
