/** The peers of the NVMe/TCP bench: nbdkit and qemu-nbd under fio, and nbdcopy. */

import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { Load, Measured } from "./nvme-loads.ts";
import { cores, cpuMsOf, runPinned, type Server, servePeer } from "./nvme-process.ts";

const execute = promisify(execFile);

/** A program that may be there, and how to get it on Debian. */
export interface Peer {
  readonly name: string;
  readonly debianPackage: string;
}

/** What the bench would like to have. */
export const peers = {
  nbdkit: { name: "nbdkit", debianPackage: "nbdkit" },
  "qemu-nbd": { name: "qemu-nbd", debianPackage: "qemu-utils" },
  fio: { name: "fio", debianPackage: "fio" },
  nbdcopy: { name: "nbdcopy", debianPackage: "libnbd-bin" },
} as const;

/** Version of a program, or undefined where there is none. */
export async function versionOf({ name }: Peer): Promise<string | undefined> {
  const output = await execute(name, ["--version"]).catch(() => undefined);
  return output?.stdout.split("\n")[0]?.replace(/\s*\(.*\)/, "");
}

/** Starts nbdkit's file plugin. */
export function serveNbdkit(path: string, core?: number | string): Promise<Server> {
  const argsOf = (port: number) => [
    "--foreground",
    "--exit-with-parent",
    "--ipaddr=127.0.0.1",
    `--port=${port}`,
    "file",
    path,
  ];
  return servePeer("nbdkit", argsOf, core);
}

/** Starts qemu-nbd. */
export function serveQemu(path: string, core?: number | string): Promise<Server> {
  const argsOf = (port: number) => [
    "--persistent",
    "--shared=0",
    "--format=raw",
    "--bind=127.0.0.1",
    `--port=${port}`,
    path,
  ];
  return servePeer("qemu-nbd", argsOf, core);
}

interface FioSide {
  readonly total_ios: number;
  /** Milliseconds. */
  readonly runtime: number;
}

/** Runs a load by fio against an NBD server. */
export async function runFio(server: Server, load: Load, durationMs: number): Promise<Measured> {
  const before = cpuMsOf(server.pid);
  const text = await runPinned(cores.client, "fio", [
    "--name=load",
    "--ioengine=nbd",
    `--uri=nbd://127.0.0.1:${server.port}/`,
    `--rw=${load.isRandom ? "rand" : ""}${load.kind}`,
    `--bs=${load.blockBytes}`,
    `--iodepth=${load.depth}`,
    "--time_based",
    `--runtime=${Math.round(durationMs)}ms`,
    "--output-format=json",
  ]);
  const serverCpuMs = cpuMsOf(server.pid) - before;
  // Notes may stand before the report.
  const report = JSON.parse(text.slice(text.indexOf("{"))) as {
    readonly jobs: readonly Readonly<Record<Load["kind"], FioSide>>[];
  };
  const side = report.jobs[0]![load.kind];
  return { operations: side.total_ios, seconds: side.runtime / 1000, serverCpuMs };
}

/** Time that nbdcopy takes for the whole disk, by requests of 1 MiB: from it, or of `path` to it. */
export async function runNbdcopy(
  server: Server,
  kind: Load["kind"],
  path: string,
): Promise<number> {
  const uri = `nbd://127.0.0.1:${server.port}/`;
  const fromTo = kind === "read" ? [uri, "null:"] : [path, uri];
  const startMs = performance.now();
  await runPinned(cores.client, "nbdcopy", ["--request-size=1048576", ...fromTo]);
  return (performance.now() - startMs) / 1000;
}
