/** What the tests of the commands about disks share: commands, a workshop of files, a served disk. */

import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, open, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { BlockDevice } from "../src/block/index.ts";
import { createTarget } from "../src/target/index.ts";
import { root } from "./driver-build.ts";
import { Relay } from "./driver-relay.ts";

const mebibyte = 1024 * 1024;

/** How a command ended. */
export interface CommandEnd {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** `diskomator ARGUMENTS`, while it runs. */
export class RunningCommand {
  /** Its end. */
  readonly ended: Promise<CommandEnd>;
  readonly #child: ChildProcess;
  readonly #watches = new Map<RegExp, () => void>();
  #stdout = "";
  #stderr = "";

  constructor(args: readonly string[]) {
    const main = join(root, "src/cli/main.ts");
    const child = spawn(process.execPath, [main, ...args], { stdio: ["ignore", "pipe", "pipe"] });
    this.#child = child;
    child.stdout.on("data", (data) => {
      this.#stdout += data;
      this.#look();
    });
    child.stderr.on("data", (data) => {
      this.#stderr += data;
      this.#look();
    });
    this.ended = new Promise((done) => {
      child.on("close", (exitCode) => {
        for (const found of this.#watches.values()) found();
        done({ exitCode, stdout: this.#stdout, stderr: this.#stderr });
      });
    });
  }

  /** Waits until it has said something; its end ends the waiting, too. */
  says(pattern: RegExp): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#watches.set(pattern, resolve);
    this.#look();
    return promise;
  }

  /** Ctrl-C. */
  interrupt(): void {
    this.#child.kill("SIGINT");
  }

  #look(): void {
    for (const [pattern, found] of this.#watches) {
      if (pattern.test(this.#stdout) || pattern.test(this.#stderr)) found();
    }
  }
}

/** Runs `diskomator ARGUMENTS` to its end. */
export function runCommand(args: readonly string[]): Promise<CommandEnd> {
  return new RunningCommand(args).ended;
}

/** A folder of images and disks that goes with the test. */
export class Workshop implements AsyncDisposable {
  readonly path: string;

  static async open(): Promise<Workshop> {
    return new Workshop(await mkdtemp(join(tmpdir(), "diskomator-flash-")));
  }

  private constructor(path: string) {
    this.path = path;
  }

  at(name: string): string {
    return join(this.path, name);
  }

  async file(name: string, content: Uint8Array | string): Promise<string> {
    await writeFile(this.at(name), content);
    return this.at(name);
  }

  /** A new disk in a file. */
  async disk(name: string, sizeBytes = 8 * mebibyte, first = ""): Promise<string> {
    const path = await this.file(name, first);
    await truncate(path, sizeBytes);
    return path;
  }

  /** The first bytes of a file. */
  async startOf(name: string, lengthBytes: number): Promise<Buffer> {
    await using file = await open(this.at(name));
    return (await file.read(Buffer.alloc(lengthBytes), 0, lengthBytes, 0)).buffer;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return rm(this.path, { recursive: true, force: true });
  }
}

/** Who a served disk says it is. */
export interface ServedIdentity {
  readonly serial: string;
  readonly uuid: string;
  readonly readOnly?: boolean;
}

/** A box on loopback with one disk, whose power and cable a test holds in its hand. */
export class ServedDisk implements AsyncDisposable {
  static readonly identity: ServedIdentity = {
    serial: "SERIAL0001",
    uuid: "12345678-1234-4234-8234-123456789abc",
  };
  readonly nqn = "nqn.2026-11.io.diskomator:test:SERIAL0001";
  /** The cable. */
  readonly relay: Relay;
  #target: ReturnType<typeof createTarget> | undefined;

  static async of(device: BlockDevice, identity = ServedDisk.identity): Promise<ServedDisk> {
    const served = new ServedDisk(await Relay.to(0));
    await served.start(device, identity);
    return served;
  }

  private constructor(relay: Relay) {
    this.relay = relay;
  }

  /** By NQN. */
  get url(): string {
    return `nvme-tcp://127.0.0.1:${this.relay.port}/${this.nqn}`;
  }

  /** By serial number. */
  get named(): string {
    return `127.0.0.1:${this.relay.port}:${ServedDisk.identity.serial}`;
  }

  /** Switches the box on, with this disk in it. */
  async start(device: BlockDevice, identity = ServedDisk.identity): Promise<void> {
    const { serial, uuid, readOnly = false } = identity;
    const namespaces = [{ device, uuid, readOnly }];
    this.#target = createTarget({
      subsystems: [{ nqn: this.nqn, serial, hosts: "any", namespaces }],
    });
    this.relay.targetPort = (await this.#target.listen({ port: 0 })).port;
  }

  /** Switches the box off. */
  async stop(): Promise<void> {
    const target = this.#target;
    this.#target = undefined;
    await target?.[Symbol.asyncDispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.relay[Symbol.asyncDispose]();
    await this.stop();
  }
}
