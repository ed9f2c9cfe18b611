/**
 * A Linux host in a virtual machine, and a target of ours that it reaches over QEMU's own network:
 * what the tests of the target with the kernel's own host share.
 */

import assert from "node:assert/strict";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { FileDisk } from "../src/block/index.ts";
import type { DhchapHash } from "../src/nvme/index.ts";
import {
  createTarget,
  type ListenOptions,
  type RunningTarget,
  type SubsystemOptions,
} from "../src/target/index.ts";
import { type DiskOptions, makeScratchFolder, startVm, type Vm } from "../src/vm/index.ts";
import { boot, build, stickOf } from "./driver-box.ts";
import type { Reading } from "./driver-capture.ts";
import { fio, type Load, Rounds } from "./driver-fio.ts";
import { freePort } from "./driver-port.ts";
import { Probe } from "./driver-probe.ts";
import { makeTlsKey } from "./driver-tls-key.ts";

const mebibyte = 1024 * 1024;
export const diskBytes = 512 * mebibyte;
export const nqn = "nqn.2026-11.org.example:linux";
export const uuid = "5b6b1f0a-4f1c-4d5e-8a77-0d3a1c2b9e10";
export const hostNqn = "nqn.2014-08.org.nvmexpress:uuid:6c0f57bd-7e5c-4b0c-9a5f-3d2f4e1b8a90";
/** The name by which the host knows a disk, whatever the kernel calls it. */
export const diskPath = (served: string) => `/dev/disk/by-id/nvme-uuid.${served}`;
export const disk = diskPath(uuid);
/** The machine that runs QEMU, on QEMU's own network: what its loopback address is there. */
export const gateway = "10.0.2.2";

/** What the kernel says when something is wrong with a disk, its controller or its file system. */
const trouble =
  /(nvme|EXT4|XFS).*(error|invalid|failed|unexpected|timeout|reconnect|recovery|no usable path)/i;

/**
 * The kernel makes one queue of each kind per CPU. All but the first sleep until they are asked
 * for: a boot is as fast as with one.
 */
const cpus = 16;

/** A recorded conversation. */
export interface Capture {
  readonly title: string;
  readonly path: string;
  readonly reading: Required<Reading>;
}

/** How a subsystem is served. */
export interface Serving {
  readonly subsystem?: Partial<SubsystemOptions>;
  readonly listen?: ListenOptions;
}

/** Which machine the host is. */
export interface LinuxHostOptions {
  /** `probe` unless given. */
  readonly appliance?: string;
  readonly memoryMiB?: number;
  /** Disks beside the stick that it boots from. */
  readonly disks?: readonly DiskOptions[];
}

/** The host, with the target that it uses. */
export class LinuxHost implements AsyncDisposable {
  readonly probe: Probe;
  readonly vm: Vm;
  /** The port of the target, the same after a restart. */
  readonly port: number;
  /** What is served, and its file. */
  readonly device: FileDisk;
  readonly path: string;
  readonly captures: Capture[] = [];
  readonly #owned: AsyncDisposableStack;
  readonly #folder: string;
  #running: RunningTarget | undefined;
  #authentication: Readonly<Record<string, unknown>> | undefined;

  /** Builds and boots the probe; nothing is served yet. */
  static async start(options: LinuxHostOptions = {}): Promise<LinuxHost> {
    const { appliance = "probe", memoryMiB = 768, disks = [] } = options;
    await using stack = new AsyncDisposableStack();
    const folder = stack.use(await makeScratchFolder());
    const path = join(folder.path, "disk.img");
    const device = stack.use(await FileDisk.open(path, { createBytes: diskBytes }));
    await build(appliance, folder.path);
    const vm = stack.use(
      await startVm({
        name: "linux",
        memoryMiB,
        cpus,
        disks: [stickOf(folder.path, appliance), ...disks],
        nics: [{ network: { kind: "user" } }],
        extraKernelCommandLine: "maxcpus=1",
      }),
    );
    const probe = await Probe.of(vm);
    await probe.useForwardedAddress();
    await probe.succeed("mkdir -p /etc/nvme");
    const port = await freePort();
    return new LinuxHost(stack.move(), { probe, vm, port, device, path, folder: folder.path });
  }

  private constructor(
    owned: AsyncDisposableStack,
    parts: Pick<LinuxHost, "probe" | "vm" | "port" | "device" | "path"> & { folder: string },
  ) {
    this.#owned = owned;
    this.#folder = parts.folder;
    this.probe = parts.probe;
    this.vm = parts.vm;
    this.port = parts.port;
    this.device = parts.device;
    this.path = parts.path;
  }

  /** The target that serves now. */
  get running(): RunningTarget {
    assert.ok(this.#running, "something is served");
    return this.#running;
  }

  /** Serves the disk in this way, in place of what was served. */
  async serve({ subsystem = {}, listen = {} }: Serving = {}): Promise<void> {
    await this.stop();
    this.#authentication = undefined;
    const running = createTarget({
      log: (event, fields) => {
        if (event === "host-authenticated") this.#authentication = fields;
      },
      subsystems: [
        {
          nqn,
          serial: "L1",
          hosts: "any",
          namespaces: [{ device: this.device, uuid }],
          ...subsystem,
        },
      ],
    });
    this.#running = running;
    await running.listen({ port: this.port, ...listen });
  }

  /** Serves nothing. */
  async stop(): Promise<void> {
    await this.#running?.close();
    this.#running = undefined;
  }

  connectLine(more = ""): string {
    return `nvme connect -t tcp -a ${gateway} -s ${this.port} -n ${nqn} -q ${hostNqn} ${more}`;
  }

  /** Connects, waits for the disk, lets `body` use it, and disconnects. */
  async connected(more: string, body: () => Promise<void>): Promise<void> {
    // The kernel complains about disks that were disconnected under udev's eyes.
    await this.probe.succeed("dmesg -C");
    await this.probe.succeed(this.connectLine(more), boot);
    await this.probe.until(`test -b ${disk}`);
    await body();
    await this.disconnect();
  }

  disconnect(): Promise<string> {
    return this.probe.succeed(`nvme disconnect -n ${nqn}`, boot);
  }

  /** I/O queues that the host has now. */
  queueCount(): number {
    const controllers = this.running.target.subsystems.get(nqn)?.controllers.values() ?? [];
    return [...controllers].reduce((sum, { ioQueues }) => sum + ioQueues.size, 0);
  }

  /** Runs a test; one that fails brings the last words of the kernel, and leaves nothing behind. */
  async watched(t: TestContext, body: () => Promise<void>): Promise<void> {
    try {
      await this.probe.succeed("dmesg -C");
      await body();
    } catch (error) {
      t.diagnostic((await this.probe.run("dmesg | tail -40")).output);
      await this.probe.run("nvme disconnect-all", boot);
      await this.setCpus(1);
      await this.serve();
      throw error;
    }
  }

  /** Writes and compares; nothing may have disturbed it. */
  async verify(t: TestContext, loads: readonly Load[], more?: string): Promise<void> {
    const { code, output } = await this.probe.run(fio(disk, loads, more), boot);
    assert.equal(code, 0, output);
    for (const line of output.match(/^ +(READ|WRITE): .*/gm) ?? []) t.diagnostic(line.trim());
    await this.checkKernel();
  }

  /** The kernel has nothing to complain about. */
  async checkKernel(): Promise<void> {
    assert.doesNotMatch(await this.probe.succeed("dmesg"), trouble);
  }

  /** Starts rounds of writes that are then read and compared, until one fails or it is ended. */
  startRounds(served: string = uuid): Promise<Rounds> {
    return Rounds.start(this.probe, diskPath(served));
  }

  /** Makes a secret for DH-HMAC-CHAP, as nvme-cli does. */
  makeSecret(hash: DhchapHash): Promise<string> {
    const hmac = { sha256: 1, sha384: 2, sha512: 3 }[hash];
    return this.probe.succeed(`nvme gen-dhchap-key -m ${hmac} -n ${hostNqn}`);
  }

  /** How the host authenticated last. */
  lastAuthentication(): Readonly<Record<string, unknown>> {
    assert.ok(this.#authentication, "the host has authenticated");
    const { hash, group, bidirectional } = this.#authentication;
    return { hash, group, bidirectional };
  }

  /** Makes a TLS key, as nvme-cli does, and puts it in the place of those that the kernel has. */
  makeTlsKey(): Promise<string> {
    return makeTlsKey(this.probe, { hostnqn: hostNqn, subnqn: nqn });
  }

  /** Wakes CPUs up, or lets them sleep. */
  async setCpus(count: number): Promise<void> {
    const cpu = (n: number) => `/sys/devices/system/cpu/cpu${n}/online`;
    const lines = Array.from({ length: cpus - 1 }, (_, index) => {
      const state = index + 1 < count ? 1 : 0;
      return `test $(cat ${cpu(index + 1)}) = ${state} || echo ${state} >${cpu(index + 1)}`;
    });
    await this.probe.succeed(lines.join("; "), boot);
    assert.equal(await this.probe.succeed("nproc"), String(count));
  }

  /** Records all that passes until it is disposed: keep it short. */
  async capture(
    title: string,
    protocol: Reading["protocol"] = "nvme-tcp",
  ): Promise<AsyncDisposable> {
    const path = join(this.#folder, `${this.captures.length}.pcap`);
    this.captures.push({ title, path, reading: { port: this.port, protocol } });
    return this.vm.capture(path);
  }

  /** Records all that passes while `body` runs. */
  async captured(
    title: string,
    body: () => Promise<void>,
    protocol?: Reading["protocol"],
  ): Promise<void> {
    await using _ = await this.capture(title, protocol);
    await body();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    await this.#owned.disposeAsync();
  }
}

/**
 * An address of this machine that is the same on QEMU's network, where its loopback address has
 * another name.
 */
export function sharedAddress(): string | undefined {
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  return addresses.find(({ family, internal }) => family === "IPv4" && !internal)?.address;
}

/** A test on a host; one that fails brings the last words of its kernel. */
export function scenarioOn(host: () => LinuxHost) {
  return (title: string, body: (t: TestContext) => Promise<void>): void => {
    test(title, (t) => host().watched(t, () => body(t)));
  };
}
