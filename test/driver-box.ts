/** The appliances as tests use them: built from this checkout, booted by OVMF, reached from outside. */

import { homedir } from "node:os";
import { join } from "node:path";
import { type BuildReport, buildAppliance } from "../src/image/index.ts";
import { addressOf, type Controller, connectController, discover } from "../src/initiator/index.ts";
import type { DiskOptions, Vm } from "../src/vm/index.ts";

/** A boot under TCG on a busy machine. */
export const boot = { timeoutMs: 300_000 };

/** Builds an appliance of this repository as a user would, with the user's own cache. */
export function build(name: string, outDirectory: string): Promise<BuildReport> {
  return buildAppliance({
    definitionPath: join(import.meta.dirname, `../appliances/${name}.ts`),
    outDirectory,
    cacheDirectory: join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "diskomator"),
    update: "if-gone",
    compression: "small",
    now: new Date(),
    clock: () => performance.now(),
  });
}

/** The stick with an appliance on it, first in the boot order. */
export function stickOf(outDirectory: string, name: string): DiskOptions {
  const path = join(outDirectory, `${name}.raw`);
  return { id: "stick", kind: "usb", path, readOnly: true, bootIndex: 0 };
}

/** What the box exports, by its discovery log. */
export class Exports {
  readonly #port: number;

  /** @param box has a card on a `user` network. */
  static async of(box: Vm): Promise<Exports> {
    return new Exports(await box.forward(4420));
  }

  private constructor(port: number) {
    this.#port = port;
  }

  /** NQNs of the exported disks. */
  async nqns(): Promise<readonly string[]> {
    return (await this.#entries()).map((entry) => entry.subsystemNqn);
  }

  async #entries() {
    const entries = await discover({ host: "127.0.0.1", port: this.#port });
    return entries.filter(({ subject }) => subject === "subsystem");
  }

  /** Connects to the disk whose NQN has `serial` in it. */
  async connect(serial: string): Promise<Controller> {
    const entries = await this.#entries();
    const entry = entries.find(({ subsystemNqn }) => subsystemNqn.includes(serial));
    if (entry === undefined) throw new Error(`The box exports no disk with serial ${serial}.`);
    const { subsystemNqn } = entry;
    return connectController({ ...addressOf(entry, "reached"), subsystemNqn, ioQueues: 2 });
  }
}
