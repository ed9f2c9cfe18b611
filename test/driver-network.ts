/**
 * A network of a test's own: a namespace with a bridge to which virtual machines are plugged, and
 * in which programs run as on a host of that network. Multicast works there; nothing else is there.
 */

import { type ChildProcess, execFile, spawn } from "node:child_process";
import { chmod, writeFile } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";
import { makeScratchFolder } from "../src/vm/index.ts";
import { toolEnv } from "./driver-tools.ts";

const runFile = promisify(execFile);
const outputBytesMax = 64 * 1024 * 1024;

/** How a program ended. */
export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** The namespace; disposal removes it. Machines have to be gone by then. */
export interface Network extends AsyncDisposable {
  /** Interfaces for `tap` cards, already on the bridge. */
  readonly taps: readonly string[];
  /** The host's interface on the bridge. */
  readonly bridge: string;
  /** Starts a program in it. */
  start(program: string, args: readonly string[], env?: NodeJS.ProcessEnv): ChildProcess;
  /** Runs a program in it to its end. */
  run(program: string, args: readonly string[], env?: NodeJS.ProcessEnv): Promise<Ended>;
}

/**
 * Makes it. From then on `startVm` starts machines in it: its QEMU is found first on PATH.
 * Needs root.
 */
export async function makeNetwork(tapCount: number): Promise<Network> {
  await using cleanup = new AsyncDisposableStack();
  const folder = cleanup.use(await makeScratchFolder());
  const name = `dk-${process.pid}`;
  const ip = (...args: string[]) => runFile("ip", args, { env: toolEnv });
  await ip("netns", "add", name);
  cleanup.defer(async () => void (await ip("netns", "del", name)));
  const inside = (...args: string[]) => ip("-n", name, ...args);
  const bridge = "bridge0";
  await inside("link", "set", "lo", "up");
  await inside("link", "add", bridge, "type", "bridge", "mcast_snooping", "0");
  // Machines without a DHCP server give themselves addresses of this network (RFC 3927).
  await inside("addr", "add", "169.254.1.1/16", "brd", "+", "dev", bridge);
  await inside("link", "set", bridge, "up");
  const taps = Array.from({ length: tapCount }, (_, n) => `tap${n}`);
  for (const tap of taps) {
    await inside("tuntap", "add", tap, "mode", "tap");
    await inside("link", "set", tap, "master", bridge, "up");
  }
  const { stdout } = await runFile("sh", ["-c", "command -v qemu-system-x86_64"], { env: toolEnv });
  const wrapper = join(folder.path, "qemu-system-x86_64");
  await writeFile(wrapper, `#!/bin/sh\nexec ip netns exec ${name} ${stdout.trim()} "$@"\n`);
  await chmod(wrapper, 0o755);
  const before = process.env.PATH;
  process.env.PATH = [folder.path, toolEnv.PATH].join(delimiter);
  cleanup.defer(() => {
    process.env.PATH = before;
  });
  const all = cleanup.move();
  const start: Network["start"] = (program, args, env = toolEnv) =>
    spawn("ip", ["netns", "exec", name, program, ...args], {
      env,
      stdio: ["ignore", "pipe", "pipe"],
    });
  return {
    taps,
    bridge,
    start,
    run: (program, args, env) => collect(start(program, args, env)),
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

async function collect(child: ChildProcess): Promise<Ended> {
  let [stdout, stderr] = ["", ""];
  child.stdout?.setEncoding("utf8").on("data", (text: string) => {
    stdout = (stdout + text).slice(-outputBytesMax);
  });
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    stderr = (stderr + text).slice(-outputBytesMax);
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  return { code, stdout, stderr };
}
