/** The kernel's NVMe/TCP host on this machine: what it has, and running steps as root. */

import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { lookup } from "node:dns/promises";
import { access, constants, readdir, readFile } from "node:fs/promises";
import { isIP } from "node:net";
import { delimiter, join } from "node:path";
import { nqnOfUuid, uuidOfHash } from "../nvme/index.ts";
import { readOptional } from "./driver-home.ts";
import { BoxError } from "./error.ts";
import type { KernelController, KernelStep } from "./kernel.ts";

/** Programs for administrators are not on everybody's PATH. */
const administratorFolders = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/** A program's path, or null. */
export async function findProgram(name: string, path: string): Promise<string | null> {
  for (const folder of [...path.split(delimiter), ...administratorFolders]) {
    const candidate = join(folder, name);
    const isThere = await access(candidate, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (folder !== "" && isThere) return candidate;
  }
  return null;
}

/**
 * The IP address of a host: the kernel looks up no names.
 * @throws BoxError `unreachable`
 */
export async function numericAddress(host: string): Promise<string> {
  if (isIP(host.replace(/%.*$/, "")) !== 0) return host;
  try {
    return (await lookup(host)).address;
  } catch (cause) {
    throw new BoxError("unreachable", `Cannot find the address of ${host}.`, { host }, { cause });
  }
}

/**
 * The NVMe/TCP controllers that the kernel's host has, and their block devices, which are named
 * after the subsystem and not after the controller where the kernel joins paths.
 * @param folder sysfs
 */
export async function readControllers(folder = "/sys"): Promise<readonly KernelController[]> {
  const read = async (...path: string[]) =>
    (await readFile(join(folder, ...path), "utf8").catch(() => "")).trim();
  const list = (...path: string[]) => readdir(join(folder, ...path)).catch(() => [] as string[]);
  const blocks = (await list("block")).filter((name) => /^nvme\d+n\d+$/.test(name));
  const owners = await Promise.all(
    blocks.map(async (name) => ({ name, nqn: await read("block", name, "device", "subsysnqn") })),
  );
  const found = await Promise.all(
    (await list("class/nvme")).map(async (name) => {
      const subsystemNqn = await read("class/nvme", name, "subsysnqn");
      // traddr=192.0.2.7,trsvcid=4420,src_addr=192.0.2.9
      const where = await read("class/nvme", name, "address");
      return {
        name,
        transport: await read("class/nvme", name, "transport"),
        subsystemNqn,
        hostnqn: await read("class/nvme", name, "hostnqn"),
        state: await read("class/nvme", name, "state"),
        address: /\btraddr=([^,]*)/.exec(where)?.[1] ?? "",
        port: Number(/\btrsvcid=(\d+)/.exec(where)?.[1] ?? 0),
        devices: owners.filter(({ nqn }) => nqn === subsystemNqn).map((owner) => owner.name),
      };
    }),
  );
  return found
    .filter(({ transport }) => transport === "tcp")
    .map(({ transport: _tcp, ...controller }) => controller);
}

/**
 * This machine to boxes, the same at every time: its kernel comes back under the same name. It is
 * not nvme-cli's name, so that neither takes the other's keys away.
 * @throws BoxError `unsupported` on a machine without an id, `configuration` when it cannot be read.
 */
export async function machineHostnqn(path = "/etc/machine-id"): Promise<string> {
  const id = ((await readOptional(path)) ?? "").trim();
  if (id === "") {
    throw new BoxError(
      "unsupported",
      `Cannot name this machine to the box: ${path} is not there. Make it with ` +
        '"systemd-machine-id-setup".',
    );
  }
  return nqnOfUuid(
    uuidOfHash(createHash("sha256").update(`diskomator kernel host ${id}`).digest()),
  );
}

/** How steps are run. */
export interface RunStepsOptions {
  /** Before each program: nothing for root, else `sudo`. */
  readonly prefix: readonly string[];
  readonly signal?: AbortSignal;
}

/**
 * Runs steps one after the other.
 * @throws BoxError `unsupported` that says which step failed, and what the program said.
 */
export async function runSteps(
  steps: readonly KernelStep[],
  { prefix, signal }: RunStepsOptions,
): Promise<void> {
  for (const step of steps) {
    signal?.throwIfAborted();
    await runStep(step, prefix);
  }
}

/** What a program says is of use in its last lines. */
const saidMax = 2000;

async function runStep({ program, args, input, purpose }: KernelStep, prefix: readonly string[]) {
  const [first = program, ...rest] = [...prefix, program, ...args];
  const child = spawn(first, rest, { stdio: ["pipe", "ignore", "pipe"] });
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    said = (said + text).slice(-saidMax);
  });
  // What was not read is told by the exit code.
  child.stdin.on("error", () => {});
  child.stdin.end(input ?? "");
  const fault = await new Promise<string | null>((resolve) => {
    child.once("error", (error) => resolve(error.message));
    child.once("close", (code) =>
      resolve(code === 0 ? null : said.trim() || `it ended with ${code}`),
    );
  });
  if (fault === null) return;
  throw new BoxError(
    "unsupported",
    `Cannot ${purpose}: ${program} said: ${fault}. "diskomator doctor" looks for what is missing; ` +
      "the kernel's log (dmesg) has more.",
    { program, args },
  );
}
