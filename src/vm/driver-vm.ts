/** A running virtual machine, as its user drives it. */

import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { networkName, planCapture, planNic } from "./arguments.ts";
import { blockNodeName, isHotPluggable, planDisk, portKindOf } from "./disk.ts";
import type { ScratchFolder } from "./driver-files.ts";
import { type EmulatorProcess, exitError, type VmExit } from "./driver-process.ts";
import { type Qmp, QmpClient } from "./driver-qmp.ts";
import { Bell, type WaitOptions, waitUntil } from "./driver-wait.ts";
import { VmError } from "./error.ts";
import { findForward, forwardCommand } from "./forwards.ts";
import type { Accelerator, DiskOptions, NicOptions, VmOptions } from "./options.ts";
import { planPorts } from "./ports.ts";
import { SerialLog, type SerialMatch } from "./serial.ts";

const serialTimeoutMsDefault = 120_000;
const removalTimeoutMsDefault = 60_000;
const quitTimeoutMs = 10_000;
/** Lines of the serial log that stand in a message. */
const lastLineCount = 30;
/** QEMU lets go of a removed device's block node a moment after it has reported the removal. */
const releaseAttemptsMax = 100;
const releasePauseMs = 50;

/** What `startVm` hands to the machine. */
export interface VmParts {
  readonly options: VmOptions;
  readonly accelerator: Accelerator;
  readonly folder: ScratchFolder;
  readonly sparePorts: number;
}

/**
 * A running machine; made by `startVm`. Disposing it ends QEMU and removes its temporary files.
 *
 * Whatever waits fails with VmError `exited` when QEMU ends, and with `timeout` when it is late.
 */
export class Vm implements AsyncDisposable {
  readonly name: string;
  readonly accelerator: Accelerator;
  readonly pid: number;
  /** QEMU's command line, for people. */
  readonly commandLine: string;
  /** Resolves when QEMU has ended; never rejects. */
  readonly exited: Promise<VmExit>;

  readonly #process: EmulatorProcess;
  readonly #folder: ScratchFolder;
  readonly #log = new SerialLog();
  readonly #bell = new Bell();
  readonly #disks = new Map<string, { readonly port: string | undefined }>();
  readonly #freePorts: string[];
  readonly #qmp: QmpClient;
  #started = false;
  #exit: VmExit | undefined;
  #screenshots = 0;
  #captures = 0;
  #nicCount: number;

  constructor(process: EmulatorProcess, parts: VmParts) {
    const { options } = parts;
    this.name = options.name ?? "vm";
    this.accelerator = parts.accelerator;
    this.pid = process.pid;
    this.commandLine = process.commandLine;
    this.#process = process;
    this.#folder = parts.folder;
    const disks = options.disks ?? [];
    const { freePciePorts, byDisk } = planPorts(disks, parts.sparePorts);
    for (const { id } of disks) this.#disks.set(id, { port: byDisk.get(id) });
    this.#freePorts = [...freePciePorts];
    this.#nicCount = options.nics?.length ?? 0;
    this.#qmp = new QmpClient(process.qmp);
    process.serial.on("data", (chunk: Uint8Array) => {
      this.#log.append(chunk);
      this.#bell.ring();
    });
    // QEMU's end is told by its exit.
    process.serial.on("error", () => {});
    this.exited = process.exited.then((exit) => {
      this.#exit = exit;
      this.#qmp.fail(this.#exitError(exit));
      this.#bell.ring();
      return exit;
    });
  }

  /** Waits until QEMU listens; `startVm` calls this. */
  async start(options: WaitOptions): Promise<void> {
    await this.#qmp.negotiate(options);
    this.#started = true;
  }

  /** QEMU's machine protocol. */
  get qmp(): Qmp {
    return this.#qmp;
  }

  /** All that the guest wrote to its serial line so far, without control sequences. */
  get serial(): string {
    return this.#log.text;
  }

  /** Position after the last character so far: `after` for a search in what comes next. */
  get serialEnd(): number {
    return this.#log.end;
  }

  /** The last lines of the serial log that are not blank, for messages. */
  serialLastLines(count: number = lastLineCount): string {
    return this.#log.lastLines(count);
  }

  /**
   * Waits until the serial log has a match at or after `after` (default: its start). The error
   * carries the last lines.
   */
  waitForSerial(
    pattern: string | RegExp,
    options: WaitOptions & { readonly after?: number } = {},
  ): Promise<SerialMatch> {
    const { timeoutMs = serialTimeoutMsDefault, after } = options;
    return waitUntil(
      this.#bell,
      () => {
        const match = this.#log.find(pattern, after);
        if (match === undefined && this.#exit !== undefined) throw this.#exitError(this.#exit);
        return match;
      },
      () =>
        new VmError(
          "timeout",
          `Waited ${timeoutMs} ms in vain for ${pattern} on the serial line of "${this.name}". ` +
            `Its last lines:\n${this.serialLastLines()}`,
          { pattern: String(pattern), timeoutMs },
        ),
      { ...options, timeoutMs },
    );
  }

  /** Types on the serial line. */
  sendSerial(text: string): void {
    this.#process.serial.write(text);
  }

  /**
   * Writes what is on the screen to a PNG file.
   * @param path default: a file that goes with the machine.
   * @returns the path.
   */
  async screenshot(path?: string): Promise<string> {
    const filename = path ?? join(this.#folder.path, `screen-${this.#screenshots++}.png`);
    await this.qmp.execute("screendump", { filename, format: "png" });
    return filename;
  }

  /**
   * Plugs a disk in: nvme, virtio-blk, scsi or usb.
   * @throws VmError `options` for another kind, or when no port is free.
   */
  async addDisk(disk: DiskOptions): Promise<void> {
    const port = portKindOf(disk.kind) ? this.#freePorts[0] : undefined;
    this.#checkPluggable(disk, port);
    const { blockNode, devices } = planDisk(disk, port);
    if (blockNode !== undefined) await this.qmp.execute("blockdev-add", blockNode);
    try {
      for (const device of devices) await this.qmp.execute("device_add", device);
    } catch (error) {
      await this.#releaseBlockNode(disk.id);
      throw error;
    }
    if (port !== undefined) this.#freePorts.shift();
    this.#disks.set(disk.id, { port });
  }

  #checkPluggable(disk: DiskOptions, port: string | undefined): void {
    const refuse = (why: string): never => {
      throw new VmError("options", `Cannot plug "${disk.id}" into "${this.name}": ${why}`, {
        disk,
      });
    };
    if (!isHotPluggable(disk.kind)) {
      refuse(`a ${disk.kind} disk must be there from the start.`);
    }
    if (this.#disks.has(disk.id)) refuse("it has a disk of that name. Choose another id.");
    if (portKindOf(disk.kind) && port === undefined) {
      refuse("all PCI Express ports are taken. Start the machine with more `sparePorts`.");
    }
  }

  /**
   * Pulls a disk out, and waits until the guest has let it go. An nvme or virtio-blk disk is let
   * go by the guest's operating system, or by a reset; scsi and usb disks go at once.
   */
  async removeDisk(id: string, options: WaitOptions = {}): Promise<void> {
    const entry = this.#disks.get(id);
    if (entry === undefined) {
      throw new VmError("options", `Cannot pull "${id}" out of "${this.name}": no such disk.`, {
        id,
      });
    }
    const refused = new AbortController();
    const signal = options.signal
      ? AbortSignal.any([options.signal, refused.signal])
      : refused.signal;
    const timeoutMs = options.timeoutMs ?? removalTimeoutMsDefault;
    const isOurs = (data: Readonly<Record<string, unknown>>) => data.device === id;
    try {
      await Promise.all([
        this.qmp.waitForEvent("DEVICE_DELETED", isOurs, { timeoutMs, signal }),
        this.qmp.execute("device_del", { id }),
      ]);
    } finally {
      refused.abort();
    }
    await this.#releaseBlockNode(id);
    this.#disks.delete(id);
    if (entry.port !== undefined) this.#freePorts.push(entry.port);
  }

  async #releaseBlockNode(id: string): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      try {
        await this.qmp.execute("blockdev-del", { "node-name": blockNodeName(id) });
        return;
      } catch (error) {
        const busy = error instanceof VmError && /in use/.test(error.message);
        if (!busy || attempt === releaseAttemptsMax) throw error;
        await sleep(releasePauseMs);
      }
    }
  }

  /**
   * Plugs a network card in, into a port like a disk's, or into USB.
   * @returns its place, for `forward`.
   * @throws VmError `options` when no port is free.
   */
  async addNic(nic: NicOptions): Promise<number> {
    const port = nic.model === "usb" ? undefined : this.#freePorts[0];
    if (nic.model !== "usb" && port === undefined) {
      throw new VmError(
        "options",
        `Cannot plug a network card into "${this.name}": all PCI Express ports are taken. Start ` +
          "the machine with more `sparePorts`.",
        { nic },
      );
    }
    const place = this.#nicCount;
    const { netdev, device } = planNic(this.name, nic, place);
    await this.qmp.execute("netdev_add", netdev);
    try {
      await this.qmp.execute("device_add", port === undefined ? device : { ...device, bus: port });
    } catch (error) {
      await this.qmp.execute("netdev_del", { id: netdev.id });
      throw error;
    }
    if (port !== undefined) this.#freePorts.shift();
    this.#nicCount += 1;
    return place;
  }

  /**
   * Writes the frames of a card to a file in pcap format, until what this returns is disposed.
   * @param options.nic place of the card; default the first.
   */
  async capture(path: string, options: { readonly nic?: number } = {}): Promise<AsyncDisposable> {
    const id = `capture${this.#captures++}`;
    await this.qmp.execute("object-add", planCapture(id, options.nic ?? 0, path));
    let isOn = true;
    return {
      [Symbol.asyncDispose]: async () => {
        if (isOn) await this.qmp.execute("object-del", { id });
        isOn = false;
      },
    };
  }

  /** Gives a disk's file another size and tells the guest, where the kind can: not nvme. */
  async resizeDisk(id: string, sizeBytes: number): Promise<void> {
    await this.qmp.execute("block_resize", { "node-name": blockNodeName(id), size: sizeBytes });
  }

  /**
   * Makes a port of the guest reachable on 127.0.0.1; asked again, gives the same answer.
   * @param options.nic place of a card on a `user` network; default the first.
   * @param options.guestAddress of a guest that does not have the first address of DHCP.
   * @returns the host's port, a free one that the host has chosen.
   */
  async forward(
    guestPort: number,
    options: {
      readonly nic?: number;
      readonly protocol?: "tcp" | "udp";
      readonly guestAddress?: string;
    } = {},
  ): Promise<number> {
    const { nic = 0, protocol = "tcp", guestAddress } = options;
    const network = networkName(nic);
    const to = guestAddress === undefined ? {} : { guestAddress };
    const forward = { network, protocol, guestPort, ...to };
    const known = findForward(await this.#monitor("info usernet"), forward);
    if (known !== undefined) return known;
    const answer = await this.#monitor(forwardCommand(forward));
    const hostPort = findForward(await this.#monitor("info usernet"), forward);
    if (hostPort !== undefined) return hostPort;
    throw new VmError(
      "qmp",
      `Cannot forward port ${guestPort} of "${this.name}" on ${network}: QEMU said: ${answer.trim()}`,
      { guestPort, network, answer },
    );
  }

  /** QEMU's monitor for people: the only way to some of its functions. */
  async #monitor(line: string): Promise<string> {
    return String(await this.qmp.execute("human-monitor-command", { "command-line": line }));
  }

  /** Presses the power button. What the guest makes of it shows in `exited`. */
  async powerdown(): Promise<void> {
    await this.qmp.execute("system_powerdown");
  }

  /** Presses the reset button. */
  async reset(): Promise<void> {
    await this.qmp.execute("system_reset");
  }

  /** Waits for QEMU's end, at most `timeoutMs`. */
  waitForExit(options: WaitOptions = {}): Promise<VmExit> {
    const late = () =>
      new VmError(
        "timeout",
        `Waited ${options.timeoutMs} ms in vain for the end of "${this.name}". ` +
          `The last lines of its serial log:\n${this.serialLastLines()}`,
        { timeoutMs: options.timeoutMs },
      );
    return waitUntil(this.#bell, () => this.#exit, late, options);
  }

  /** Pulls the power cord: ends QEMU in order, or by force when it does not listen. */
  async quit(): Promise<VmExit> {
    if (!this.#started) this.#process.kill();
    if (this.#exit === undefined) {
      const timeoutMs = quitTimeoutMs;
      // It may end before it has answered; the wait below tells.
      await this.#qmp.execute("quit", undefined, { timeoutMs }).catch(() => {});
      await this.waitForExit({ timeoutMs }).catch(() => this.#process.kill());
    }
    return this.exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.quit();
    await this.#folder[Symbol.asyncDispose]();
  }

  #exitError(exit: VmExit): VmError {
    const { name, commandLine } = this;
    const code = this.#started ? "exited" : "start";
    return exitError(code, exit, { name, commandLine, lastLines: this.serialLastLines() });
  }
}
