/** The appliances as tests use them: built from this checkout, booted by OVMF, reached from outside. */

import { homedir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { State } from "../src/appliance/index.ts";
import { type BuildOptions, type BuildReport, buildAppliance } from "../src/image/index.ts";
import { addressOf, type Controller, connectController, discover } from "../src/initiator/index.ts";
import type { DiskOptions, Vm } from "../src/vm/index.ts";
import { Ssh, type SshKey } from "./driver-ssh.ts";

/** A boot under TCG on a busy machine. */
export const boot = { timeoutMs: 300_000 };
/** What hosts of this machine grant a box that is emulated, beside others. */
export const patience = { connectTimeoutMs: 60_000 };
/** One a second, or slower. */
const loginAttemptsMax = 60;

/** Builds an appliance of this repository as a user would, with the user's own cache. */
export function build(
  name: string,
  outDirectory: string,
  options: Pick<BuildOptions, "authorizedKeys" | "sshHostKey" | "kernelParameters"> = {},
): Promise<BuildReport> {
  return buildAppliance({
    ...options,
    definitionPath: join(import.meta.dirname, `../appliances/${name}.ts`),
    outDirectory,
    cacheDirectory: join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "diskomator"),
    update: "if-gone",
    compression: "fast",
    now: new Date(),
    clock: () => performance.now(),
  });
}

/** For the kernel command line of a box whose disks everybody may use, as the original has it. */
export const openToAll = "diskomator.access=open";

/** The stick with an appliance on it, first in the boot order. */
export function stickOf(outDirectory: string, name: string): DiskOptions {
  const path = join(outDirectory, `${name}.raw`);
  return { id: "stick", kind: "usb", path, readOnly: true, bootIndex: 0 };
}

/** A shell on the box, once its SSH server answers; disks may be exported before that. */
export async function openShell(box: Vm, key: SshKey): Promise<Ssh> {
  const shell = await Ssh.of(box, key);
  for (let attempt = 1; ; attempt++) {
    const { code, stderr } = await shell.run("true", ["-oConnectTimeout=20"]);
    if (code === 0) return shell;
    if (attempt === loginAttemptsMax) throw new Error(`Cannot log in to the box: ${stderr}`);
    await sleep(1000);
  }
}

/** The state that the box's screen shows. */
export async function readState(shell: Ssh): Promise<State> {
  return JSON.parse(await shell.succeed("cat /run/diskomator/state.json"));
}

/** What the box exports, by its discovery log. */
export class Exports {
  readonly #port: number;

  /** @param box has a card on a `user` network. */
  static async of(
    box: Vm,
    options: Parameters<Vm["forward"]>[1] & { readonly servicePort?: number } = {},
  ): Promise<Exports> {
    const { servicePort = 4420, ...more } = options;
    return new Exports(await box.forward(servicePort, more));
  }

  private constructor(port: number) {
    this.#port = port;
  }

  /** NQNs of the exported disks. */
  async nqns(): Promise<readonly string[]> {
    return (await this.#entries()).map((entry) => entry.subsystemNqn);
  }

  async #entries() {
    const entries = await discover({ host: "127.0.0.1", port: this.#port, ...patience });
    return entries.filter(({ subject }) => subject === "subsystem");
  }

  /** Connects to the disk whose NQN has `serial` in it. */
  async connect(serial: string): Promise<Controller> {
    const entries = await this.#entries();
    const entry = entries.find(({ subsystemNqn }) => subsystemNqn.includes(serial));
    if (entry === undefined) throw new Error(`The box exports no disk with serial ${serial}.`);
    const { subsystemNqn } = entry;
    const address = { ...addressOf(entry, "reached"), ...patience };
    return connectController({ ...address, subsystemNqn, ioQueues: 2 });
  }
}
