/**
 * A box with a disk to boot, on OVMF that keeps its variables, and its owner: what tests and benches
 * of `run` share.
 */

import { mkdir, open } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { makeScratchFolder, startVm, type Vm } from "../src/vm/index.ts";
import { boot, build, stickOf } from "./driver-box.ts";
import { type OwnCommands, ownCommands } from "./driver-own-commands.ts";

const mebibyte = 1024 * 1024;
const serial = "RUN-OS";
/** As its owner calls it, and its disk. */
const name = "lunch-feta";

/** What `counter.then` may be. */
export type Ending = "reboot" | "order" | "forget" | "stay" | "panic" | "hang";

/** The box. Disposal ends it and removes its files. */
export class RunBox implements AsyncDisposable {
  readonly folder: string;
  /** The file behind its disk. */
  readonly disk: string;
  readonly owner: OwnCommands;
  /** What both are called on a command line. */
  readonly target = `${name}:${serial}`;
  readonly name = name;
  readonly serial = serial;
  /** What QEMU calls its disk. */
  readonly diskId = "os";
  readonly #diskBytes: number;
  readonly #variables: string;
  readonly #stack: AsyncDisposableStack;
  #vm: Vm | undefined;

  /** Builds the box's image and boots it. */
  static async start(diskBytes = 256 * mebibyte): Promise<RunBox> {
    await using stack = new AsyncDisposableStack();
    const folder = stack.use(await makeScratchFolder()).path;
    const owner = await ownCommands(join(folder, "owner"));
    const built = await owner.run("build", "--access", "paired", "--out", join(folder, "out"));
    if (built.code !== 0) throw new Error(built.stderr);
    const box = new RunBox(folder, owner, diskBytes, stack.move());
    await using failed = new AsyncDisposableStack();
    failed.use(box);
    await using file = await open(box.disk, "wx");
    await file.truncate(diskBytes);
    await box.powerOn();
    failed.move();
    return box;
  }

  private constructor(
    folder: string,
    owner: OwnCommands,
    diskBytes: number,
    stack: AsyncDisposableStack,
  ) {
    this.folder = folder;
    this.#diskBytes = diskBytes;
    this.owner = owner;
    this.disk = join(folder, "disk");
    this.#variables = join(folder, "variables");
    this.#stack = stack;
  }

  /** The machine; it has another one after each `powerOn`. */
  get vm(): Vm {
    if (this.#vm === undefined) throw new Error("The box has no power.");
    return this.#vm;
  }

  /**
   * Gives it power; disks and the firmware's variables are as they were.
   * @param source where there is no stick, the variables name a place on the network
   */
  async powerOn(source: "stick" | "network" = "stick"): Promise<void> {
    // Nothing tells the firmware what to boot but its own variables.
    const { bootIndex: _first, ...stick } = stickOf(join(this.folder, "out"), "diskomator");
    const log = process.env.DISKOMATOR_SERIAL_LOG;
    this.#vm = await startVm({
      name: "box",
      disks: [
        ...(source === "stick" ? [stick] : []),
        { id: this.diskId, kind: "nvme", path: this.disk, serial },
      ],
      nics: [{ network: { kind: "user" } }],
      variablesPath: this.#variables,
      ...(log ? { serialLogPath: log } : {}),
    });
    const ports = { 22: await this.#vm.forward(22), 4420: await this.#vm.forward(4420) };
    await this.owner.know(name, "127.0.0.1", ports);
  }

  /** Pulls the plug: QEMU is killed. */
  async cutPower(): Promise<void> {
    const { pid, exited } = this.vm;
    process.kill(pid, "SIGKILL");
    await exited;
    await this.vm[Symbol.asyncDispose]();
    this.#vm = undefined;
  }

  /** A counter image that ends so, by any boot of its disk; each name makes another one. */
  async imageOf(then: Ending, imageName: string): Promise<string> {
    const out = join(this.folder, imageName);
    await mkdir(out);
    const kernelParameters = [
      `counter.then=${then}`,
      `counter.name=${imageName}`,
      `counter.serial=${serial}`,
    ];
    await build("counter", out, { kernelParameters });
    return join(out, "counter.raw");
  }

  /** What stands in the middle of the disk. */
  async readCounter(): Promise<string> {
    await using file = await open(this.disk);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(512), 0, 512, this.#diskBytes / 2);
    return buffer.toString("latin1", 0, bytesRead).replaceAll("\0", "").trim();
  }

  /** When the box was booted; waits until it answers. */
  async bootedAt(): Promise<string> {
    for (const late = AbortSignal.timeout(2 * boot.timeoutMs); ; await sleep(2000)) {
      const { boxes = [] } = await this.owner.json("ls", "--timeout", "60");
      const [found] = boxes as { kind: string; bootedAt?: string }[];
      if (found?.kind === "open" && found.bootedAt !== undefined) return found.bootedAt;
      if (late.aborted) {
        throw new Error(`The box does not answer:\n${this.vm.serialLastLines()}`);
      }
    }
  }

  /** `diskomator run IMAGE`; its result. `args` win over what is there. */
  async run(image: string, ...args: readonly string[]) {
    // Three boots on a busy machine.
    const words = ["--yes", "--timeout", "500", ...args];
    return await this.owner.json("run", image, this.target, ...words);
  }

  /** Runs a shell command on the box as root; its standard output. */
  async shell(command: string): Promise<string> {
    const { code, stdout, stderr } = await this.owner.run("ssh", name, "--", command);
    if (code !== 0) throw new Error(`On the box this ended with ${code}: ${command}\n${stderr}`);
    return stdout;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#vm?.[Symbol.asyncDispose]();
    await this.#stack.disposeAsync();
  }
}
