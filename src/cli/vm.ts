/** `diskomator vm`: boots a built image in QEMU with scratch disks and says how to reach it. */

import { existsSync } from "node:fs";
import { connect } from "node:net";
import { join, resolve } from "node:path";
import { addKnownBox, type KnownBox, readHome, writeKnownBoxes } from "../box/index.ts";
import { exitError, makeScratchDisk, startVm, type Vm } from "../vm/index.ts";
import { type Command, readOptions } from "./command.ts";
import { printJson, printLine, tell } from "./console.ts";
import { exitCodes, UsageError } from "./exit.ts";
import { homePaths } from "./user-home.ts";

const help = `Usage: diskomator vm [APPLIANCE] [OPTIONS]

Boots out/APPLIANCE.raw (default: diskomator) from a virtual USB stick, with an NVMe and a virtio
scratch disk, and stays until Ctrl-C. While it runs it is a known box: "diskomator ls" shows
it, and its disks are vm:SCRATCH-NVME and vm:SCRATCH-VIRTIO.

  --out DIR       where the image is (default: out)
  --memory MIB    default 1024
  --disk-size MIB size of each scratch disk (default 1024)
  --name NAME     name of the box while it runs (default vm)
  --display KIND  QEMU's -display, such as gtk (default: none)
  --json          JSON lines: one when it runs, one when the box exports its disks; the last one is
                  the result

Example: diskomator vm --memory 640`;

/** The command. */
export const vm: Command = {
  help,
  async run({ args, signal }) {
    const { values, positionals } = readOptions(
      args,
      {
        out: { type: "string", default: "out" },
        memory: { type: "string", default: "1024" },
        "disk-size": { type: "string", default: "1024" },
        name: { type: "string", default: "vm" },
        display: { type: "string", default: "none" },
        json: { type: "boolean", default: false },
      },
      1,
    );
    if (!namePattern.test(values.name)) {
      throw new UsageError(
        `--name takes letters, digits, ".", "_" and "-", not "${values.name}": boxes are named BOX:DISK.`,
      );
    }
    const appliance = positionals[0] ?? "diskomator";
    const imagePath = join(resolve(values.out), `${appliance}.raw`);
    if (!existsSync(imagePath)) {
      throw new UsageError(
        `There is no image ${imagePath}. Make it: diskomator build ${appliance}.`,
      );
    }
    const memoryMiB = mebibytes("--memory", values.memory);
    const diskBytes = mebibytes("--disk-size", values["disk-size"]) * 2 ** 20;
    await using nvme = await makeScratchDisk(diskBytes);
    await using virtio = await makeScratchDisk(diskBytes);
    await using machine = await bootBox({
      imagePath,
      memoryMiB,
      nvmePath: nvme.path,
      virtioPath: virtio.path,
      display: values.display,
      signal,
    });
    const ports = { nvme: await machine.forward(4420), ssh: await machine.forward(22) };
    const others = [[4421, await machine.forward(4421)]] as const;
    await using _known = await makeKnown(values.name, [
      [22, ports.ssh],
      [4420, ports.nvme],
      ...others,
    ]);
    if (values.json) printJson({ event: "started", pid: machine.pid, ...ports });
    else for (const line of reachLines(values.name, ports.nvme)) printLine(line);
    await machine.waitForSerial(/SCRATCH-NVME +exported/, { timeoutMs: 300_000, signal });
    if (values.json) printJson({ event: "exported" });
    else tell(`The box exports its disks: diskomator ls, or ${values.name}:DISK. Ctrl-C ends it.`);
    await stayUp(machine, signal);
    if (values.json) printJson({ event: "result", outcome: "ok", exitCode: exitCodes.ok });
    return exitCodes.ok;
  },
};

/** What the file of known boxes and `BOX:DISK` can hold. */
const namePattern = /^[a-z0-9][a-z0-9._-]{0,62}$/i;

/** Makes a machine a known box, behind forwarded ports, until it is disposed of. */
export async function makeKnown(
  name: string,
  ports: readonly (readonly [port: number, forwarded: number])[],
): Promise<AsyncDisposable> {
  const paths = homePaths();
  const before = (await readHome(paths)).knownBoxes;
  const namesakes = before.filter((one) => one.name === name);
  const isLeft = await Promise.all(namesakes.map((one) => isLeftover(one, ports)));
  const replaced = namesakes.filter((_, n) => !isLeft[n]);
  const box = { name, address: "127.0.0.1", ports: new Map(ports) };
  await writeKnownBoxes(paths, addKnownBox(before, box));
  return {
    async [Symbol.asyncDispose]() {
      const now = (await readHome(paths)).knownBoxes;
      const isOurs = (one: KnownBox) =>
        one.name === name && one.ports.get(sshPort) === box.ports.get(sshPort);
      await writeKnownBoxes(paths, [...now.filter((one) => !isOurs(one)), ...replaced]);
    },
  };
}

const sshPort = 22;

/** Whether a machine of this kind was killed and left its entry: nobody has its forwarded ports. */
async function isLeftover(
  { address, ports }: KnownBox,
  own: readonly (readonly [port: number, forwarded: number])[],
): Promise<boolean> {
  const isOfThisKind = ports.size === own.length && own.every(([port]) => ports.has(port));
  if (address !== "127.0.0.1" || !isOfThisKind) return false;
  const socket = connect({ host: address, port: ports.get(sshPort) ?? sshPort });
  try {
    return await new Promise<boolean>((resolve) => {
      socket.once("connect", () => resolve(false));
      socket.once("error", () => resolve(true));
    });
  } finally {
    socket.destroy();
  }
}

/** A box in a virtual machine: the stick that it boots from, and two disks to export. */
export interface BoxMachine {
  readonly imagePath: string;
  readonly memoryMiB: number;
  readonly nvmePath: string;
  readonly virtioPath: string;
  readonly display?: string;
  readonly signal: AbortSignal;
}

/** Starts the machine; the stick is attached read-only, so that several can share an image. */
export async function bootBox(box: BoxMachine): Promise<Vm> {
  const { imagePath, memoryMiB, nvmePath, virtioPath, display, signal } = box;
  return await startVm(
    {
      name: "box",
      memoryMiB,
      disks: [
        { id: "stick", kind: "usb", path: imagePath, readOnly: true, bootIndex: 0 },
        { id: "nvme", kind: "nvme", path: nvmePath, serial: "SCRATCH-NVME" },
        { id: "virtio", kind: "virtio-blk", path: virtioPath, serial: "SCRATCH-VIRTIO" },
      ],
      nics: [{ network: { kind: "user" } }],
      ...(display ? { display } : {}),
    },
    { signal },
  );
}

/** How to reach a box through forwarded ports. */
function reachLines(name: string, port: number): string[] {
  return [
    `NVMe/TCP: nvme discover -t tcp -a 127.0.0.1 -s ${port}`,
    `SSH:      diskomator ssh ${name}`,
  ];
}

/**
 * Until the machine is switched off, or the signal aborts.
 * @throws VmError `exited` when QEMU itself has failed
 */
export async function stayUp(
  machine: Pick<Vm, "name" | "commandLine" | "exited" | "serialLastLines">,
  signal: AbortSignal,
): Promise<void> {
  const exit = await Promise.race([machine.exited, aborted(signal)]);
  if (exit === undefined || exit.code === 0) return;
  const { name, commandLine } = machine;
  throw exitError("exited", exit, { name, commandLine, lastLines: machine.serialLastLines() });
}

/** Resolves when the signal is aborted. */
async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise((done) => signal.addEventListener("abort", done, { once: true }));
}

function mebibytes(option: string, value: string): number {
  if (!/^[1-9]\d{0,6}$/.test(value)) {
    throw new UsageError(`${option} takes a number of MiB, not "${value}".`);
  }
  return Number(value);
}
