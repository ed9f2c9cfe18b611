/**
 * The disks that tests of our host want of the Linux kernel's target: of memory, with blocks of 512
 * and 4096 bytes, a file, a loop device, a virtual disk whose file lies here, and one with bad
 * blocks; on three ports.
 */

import assert from "node:assert/strict";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import {
  type Controller,
  type ControllerEvent,
  type ControllerOptions,
  connectController,
} from "../src/initiator/index.ts";
import { makeScratchFolder } from "../src/vm/index.ts";
import { patience } from "./driver-box.ts";
import { dissect, findFaults } from "./driver-capture.ts";
import { KernelTarget, scratchDevice } from "./driver-nvmet.ts";
import { has } from "./driver-tools.ts";

/** The subsystem with all disks, and another one. */
export const disksNqn = "nqn.2026-11.org.example:disks";
export const otherNqn = "nqn.2026-11.org.example:other";
/** The host that tests are unless they say otherwise. */
export const hostNqn = "nqn.2014-08.org.nvmexpress:uuid:6c0f57bd-7e5c-4b0c-9a5f-3d2f4e1b8a90";
/** Namespace ids by what lies below; they are not without gaps. */
export const ids = { memory: 1, memory4k: 2, file: 3, loop: 5, scratch: 8, bad: 1000 } as const;
/** Those with blocks of 512 bytes; all others have 4096. */
export const idsOf512: ReadonlySet<number> = new Set([ids.memory, ids.scratch, ids.bad]);
/** The sectors that `ids.bad` cannot read. */
export const badSectors = { first: 4096, last: 4103 } as const;
/** Ports of nvmet: for the disks, for discovery, and one with short queues. */
export const ports = { disks: 1, discovery: 2, narrow: 3 } as const;
/** NGUID of `ids.memory`. */
export const nguid = "5b6b1f0a-4f1c-4d5e-8a77-abcdefabcdef";

/** How long an event may take on a busy machine. */
const eventTimeoutMs = 60_000;

/** UUID of a namespace. */
export function uuidOf(nsid: number): string {
  return `5b6b1f0a-4f1c-4d5e-8a77-${String(nsid).padStart(12, "0")}`;
}

/** A booted target with all of that. */
export class KernelDisks implements AsyncDisposable {
  readonly target: KernelTarget;
  /** Ports of this machine that lead to those of the target. */
  readonly forwarded: Readonly<Record<keyof typeof ports, number>>;

  static async boot(name: string): Promise<KernelDisks> {
    return KernelDisks.on(await KernelTarget.boot(name));
  }

  /** Sets all of that up on a target that is empty; it is disposed of with it. */
  static async on(target: KernelTarget): Promise<KernelDisks> {
    try {
      await addDisks(target);
      return new KernelDisks(target, await addPorts(target));
    } catch (error) {
      await target[Symbol.asyncDispose]();
      throw error;
    }
  }

  private constructor(target: KernelTarget, forwarded: KernelDisks["forwarded"]) {
    this.target = target;
    this.forwarded = forwarded;
  }

  [Symbol.asyncDispose](): PromiseLike<void> {
    return this.target[Symbol.asyncDispose]();
  }

  /** Resets the machine, and sets everything up again; what was in memory is gone. */
  async reset(): Promise<void> {
    await this.target.reset();
    await addDisks(this.target);
    await addPorts(this.target);
  }

  /** Connects to the subsystem with all disks. */
  connect(options: Partial<ControllerOptions & { port: number }> = {}): Promise<Controller> {
    const address = { host: "127.0.0.1", port: this.forwarded.disks };
    const where = { ...address, ...patience, subsystemNqn: disksNqn, hostNqn };
    return connectController({ ...where, ...options });
  }

  /**
   * Does something of which tshark must find nothing wrong; keep it short.
   * @returns the types of the PDUs that it has read, as numbers; none where it is not installed.
   */
  async captured(t: TestContext, body: () => Promise<void>): Promise<ReadonlySet<number>> {
    if (!(await has(t, "tshark"))) return new Set();
    await using folder = await makeScratchFolder();
    const path = join(folder.path, "capture.pcap");
    {
      await using _ = await this.target.vm.capture(path);
      await body();
    }
    assert.deepEqual(await findFaults(path), []);
    const rows = await dissect(path, "nvme-tcp", ["nvme-tcp.type"]);
    t.diagnostic(`${rows.length} frames`);
    return new Set(rows.flatMap(([types = ""]) => types.split(",").map(Number)));
  }

  /** How the file of `ids.scratch` begins. */
  async readScratch(lengthBytes: number): Promise<Buffer> {
    await using file = await open(this.target.scratchPath);
    const { buffer } = await file.read(Buffer.alloc(lengthBytes), 0, lengthBytes, 0);
    return buffer;
  }
}

async function addDisks(target: KernelTarget): Promise<void> {
  const attributes = { attr_serial: "KERNEL-1", attr_model: "Kernel disks", attr_firmware: "7.5" };
  await target.addSubsystem(disksNqn, attributes);
  await target.addSubsystem(otherNqn);
  const paths = new Map<number, string>([
    [ids.memory, await target.makeMemoryDisk("memory", 512)],
    [ids.memory4k, await target.makeMemoryDisk("memory4k", 4096)],
    [ids.file, await target.makeFile("file")],
    [ids.loop, await target.makeLoop("loop", 4096)],
    [ids.scratch, scratchDevice],
    [ids.bad, await target.makeMemoryDisk("bad", 512, `${badSectors.first}-${badSectors.last}`)],
  ]);
  for (const [nsid, path] of paths) {
    const more = nsid === ids.memory ? { nguid } : {};
    await target.addNamespace(disksNqn, { nsid, path, uuid: uuidOf(nsid), ...more });
  }
  await target.addNamespace(otherNqn, { nsid: 1, path: await target.makeFile("other") });
}

async function addPorts(target: KernelTarget): Promise<KernelDisks["forwarded"]> {
  const forwarded = {
    disks: await target.addPort(ports.disks, 4420),
    discovery: await target.addPort(ports.discovery, 8009),
    narrow: await target.addPort(ports.narrow, 4421, { param_max_queue_size: 16 }),
  };
  await target.serve(ports.disks, disksNqn);
  await target.serve(ports.discovery, disksNqn, otherNqn);
  await target.serve(ports.narrow, disksNqn);
  return forwarded;
}

/** The next event of a type; fails after a while, with those that came. */
export function nextEvent<T extends ControllerEvent["type"]>(
  controller: Controller,
  type: T,
): Promise<ControllerEvent & { type: T }> {
  const { promise, resolve, reject } = Promise.withResolvers<ControllerEvent & { type: T }>();
  const seen: string[] = [];
  const isWanted = (event: ControllerEvent): event is ControllerEvent & { type: T } =>
    event.type === type;
  const stop = controller.onEvent((event) => {
    seen.push(event.type);
    if (isWanted(event)) resolve(event);
  });
  const late = setTimeout(() => reject(new Error(`no ${type}, but: ${seen}`)), eventTimeoutMs);
  promise.catch(() => {});
  return promise.finally(() => {
    clearTimeout(late);
    stop();
  });
}

/** A test on a target, whose failure brings the last words of the kernel. */
export function scenarioOn(target: () => KernelTarget) {
  return (title: string, body: (t: TestContext) => Promise<void>): void => {
    test(title, async (t) => {
      try {
        await body(t);
      } catch (error) {
        const { output } = await target().probe.run("dmesg | tail -30");
        t.diagnostic(output);
        throw error;
      }
    });
  };
}
