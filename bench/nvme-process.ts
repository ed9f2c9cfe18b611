/** Processes of the NVMe/TCP bench: pinned to a core, with what the kernel knows of them. */

import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createConnection } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { freePort } from "../test/driver-port.ts";

/** Servers run on one core, clients on another. */
export const cores = { server: 0, client: 1 } as const;

const execute = promisify(execFile);
/** Unit of processor times in /proc, in milliseconds: USER_HZ is 100 on every Linux. */
const tickMs = 10;
const readyMs = 10_000;

/** A server that listens. */
export interface Server extends AsyncDisposable {
  readonly pid: number;
  readonly port: number;
}

/** User and system time of all threads of a process so far, in steps of 10 ms. */
export function cpuMsOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  // The name in brackets may hold anything; utime and stime are fields 14 and 15.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * tickMs;
}

/** Bytes of memory that a process has, and has had at most. */
export function memoryOf(pid: number): { readonly nowBytes: number; readonly mostBytes: number } {
  const status = readFileSync(`/proc/${pid}/status`, "latin1");
  const bytes = (name: string) =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(status)?.[1]) * 1024;
  return { nowBytes: bytes("VmRSS"), mostBytes: bytes("VmHWM") };
}

/** Runs a program pinned to a core until it ends, and gives what it printed. */
export async function runPinned(
  core: number,
  program: string,
  args: readonly string[],
): Promise<string> {
  const options = { maxBuffer: 16 * 2 ** 20 };
  const { stdout } = await execute("taskset", ["-c", `${core}`, program, ...args], options);
  return stdout;
}

/** Runs a program of this folder on the core of the clients, and gives the JSON that it printed. */
export async function runOurs<T>(name: string, order: object): Promise<T> {
  const path = join(import.meta.dirname, name);
  const text = await runPinned(cores.client, process.execPath, [path, JSON.stringify(order)]);
  return JSON.parse(text) as T;
}

/** Where our target is as a program. */
export const serverProgram: string = join(import.meta.dirname, "nvme-server.ts");

/** How a server of ours is started. */
export interface OwnServer {
  readonly program?: string;
  /** Options for its Node. */
  readonly nodeOptions?: readonly string[];
  /** May be a list, as taskset takes it. */
  readonly core?: number | string;
}

/** Starts our target over a file; it prints its port. */
export async function serveOurs(path: string, options: OwnServer = {}): Promise<Server> {
  const { program = serverProgram, nodeOptions = [], core = cores.server } = options;
  const child = start(core, process.execPath, [...nodeOptions, program, path], "inherit");
  const lines = createInterface({ input: child.stdout! });
  const [line] = await Promise.race([
    once(lines, "line"),
    once(child, "close").then(([code]) => {
      throw new Error(`The target ended with ${code} before it listened.`);
    }),
  ]);
  return serverOf(child, Number(line));
}

/** Starts a server that is told its port, and waits until it listens. */
export async function servePeer(
  program: string,
  argsOf: (port: number) => readonly string[],
  core: number | string = cores.server,
): Promise<Server> {
  const port = await freePort();
  // It complains of whoever looks whether it listens.
  const child = start(core, program, argsOf(port), "ignore");
  const endMs = performance.now() + readyMs;
  while (!(await answers(port))) {
    if (child.exitCode !== null || performance.now() > endMs) {
      child.kill();
      throw new Error(`${program} does not listen on port ${port}.`);
    }
    await sleep(50);
  }
  return serverOf(child, port);
}

function start(
  core: number | string,
  program: string,
  args: readonly string[],
  errors: "inherit" | "ignore",
): ChildProcess {
  // taskset becomes the program: the process is the server's.
  return spawn("taskset", ["-c", `${core}`, program, ...args], {
    stdio: ["ignore", "pipe", errors],
  });
}

function serverOf(child: ChildProcess, port: number): Server {
  return {
    pid: child.pid!,
    port,
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const closed = once(child, "close");
      child.kill();
      await closed;
    },
  };
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection({ host: "127.0.0.1", port });
    socket.once("connect", () => resolve(true));
    socket.once("error", () => resolve(false));
    socket.once("connect", () => socket.destroy());
  });
}
