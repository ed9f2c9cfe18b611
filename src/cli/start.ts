/**
 * `npm start`: the whole path once. Builds the image, boots it in QEMU, goes to it by
 * name as its owner, writes a real disk image to a disk over TLS, reads it back, and compares with the
 * backing file.
 */

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { open, stat } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { BoxError, type BoxErrorCode } from "../box/index.ts";
import { formatSize } from "../bytes/index.ts";
import { makeScratchDisk, type Vm } from "../vm/index.ts";
import { openBoxTarget } from "./box-target.ts";
import { definitionPathOf, runBuild, showEvent } from "./build.ts";
import { type Command, readOptions } from "./command.ts";
import { printLine, progressLine, tell } from "./console.ts";
import { exitCodes } from "./exit.ts";
import type { OpenTarget } from "./namespace-target.ts";
import { ownHostKey, readUsableSshKeys } from "./own-keys.ts";
import { bootBox, makeKnown, stayUp } from "./vm.ts";

const help = `Usage: diskomator start [--out DIR]

Builds the image, boots it in a virtual machine with two scratch disks, writes the image to one of
them over NVMe/TCP with TLS, reads it back and compares. On a terminal the box then stays up until
Ctrl-C, and is a known box named "start" meanwhile.

Example: npm start`;

const boxName = "start";
const diskBytes = 512 * 2 ** 20;
const pieceBytes = 4 * 2 ** 20;
const serialLines = 40;

/** The command. */
export const start: Command = {
  help,
  async run({ args, signal }) {
    const { values } = readOptions(args, { out: { type: "string", default: "out" } }, 0);
    const times = new Times();
    tell("Building the image ...");
    const report = await runBuild({
      appliance: definitionPathOf("diskomator"),
      out: values.out,
      update: "if-gone",
      compression: "fast",
      sshKeys: await readUsableSshKeys(),
      sshHostKey: await ownHostKey(),
      signal,
      onEvent: showEvent,
    });
    progressLine.clear();
    times.mark("image built");
    const imagePath = join(report.outDirectory, "diskomator.raw");

    await using nvme = await makeScratchDisk(diskBytes);
    await using virtio = await makeScratchDisk(diskBytes);
    tell("Booting it from a virtual USB stick, with an NVMe and a virtio disk ...");
    await using box = await bootBox({
      imagePath,
      memoryMiB: 1024,
      nvmePath: nvme.path,
      virtioPath: virtio.path,
      signal,
    });
    try {
      const reached: (readonly [port: number, forwarded: number])[] = [];
      for (const port of [22, 4420, 4421]) reached.push([port, await box.forward(port)]);
      await using _known = await makeKnown(boxName, reached);
      await box.waitForSerial(/SCRATCH-NVME +exported/, { timeoutMs: 300_000, signal });
      times.mark(`booted to exported disks (${box.accelerator})`);
      await exercise({ imagePath, backingPath: nvme.path, times, signal });
      printSummary(times, imagePath);
      if (process.stdin.isTTY && process.stdout.isTTY) await stay(box, signal);
    } catch (error) {
      if (!signal.aborted)
        tell(`The serial log's last lines:\n${box.serialLastLines(serialLines)}`);
      throw error;
    }
    return exitCodes.ok;
  },
};

/** The box's owner is served last: SSH and the control channel come after the disks. */
async function openDisk(signal: AbortSignal): Promise<OpenTarget> {
  const wanted = { box: boxName, disk: "SCRATCH-NVME" };
  for (const late = AbortSignal.timeout(ownerMs); ; ) {
    try {
      return await openBoxTarget(wanted, { readOnly: false, isEncrypted: true, signal });
    } catch (error) {
      signal.throwIfAborted();
      const isEarly = error instanceof BoxError && early.has(error.code);
      if (!isEarly || late.aborted) throw error;
      await sleep(1000, undefined, { signal });
    }
  }
}

/** What a box that is still booting may answer. */
const early: ReadonlySet<BoxErrorCode> = new Set(["unreachable", "timeout", "no-channel"]);
const ownerMs = 180_000;

/** Connects by name, writes, reads back, compares. */
async function exercise(run: {
  readonly imagePath: string;
  readonly backingPath: string;
  readonly times: Times;
  readonly signal: AbortSignal;
}): Promise<void> {
  const { signal, times } = run;
  await using target = await openDisk(signal);
  const { disk } = target;
  times.mark(`${target.name} connected, by keys from the box`);

  const { size } = await stat(run.imagePath);
  await using image = await open(run.imagePath);
  const wanted = createHash("sha256");
  for (let at = 0; at < size; at += pieceBytes) {
    const piece = Buffer.alloc(Math.min(pieceBytes, size - at));
    await image.read(piece, 0, piece.length, at);
    wanted.update(piece);
    await disk.write(at, piece, { signal });
    progressLine.show(`write ${Math.floor((100 * at) / size)} %`);
  }
  await disk.flush({ signal });
  times.mark(`wrote ${formatSize(size)} over NVMe/TCP`);

  const found = createHash("sha256");
  const piece = Buffer.alloc(pieceBytes);
  for (let at = 0; at < size; at += pieceBytes) {
    const part = piece.subarray(0, Math.min(pieceBytes, size - at));
    await disk.read(at, part, { signal });
    found.update(part);
    progressLine.show(`read ${Math.floor((100 * at) / size)} %`);
  }
  progressLine.clear();
  times.mark("read it back");
  const hashes = {
    image: wanted.digest("hex"),
    "read back": found.digest("hex"),
    "backing file": await hashStart(run.backingPath, size),
  };
  if (new Set(Object.values(hashes)).size !== 1) {
    throw new Error(`What was written is not what is there: ${JSON.stringify(hashes)}`);
  }
  times.mark("compared with the backing file: identical");
}

async function hashStart(path: string, sizeBytes: number): Promise<string> {
  const hash = createHash("sha256");
  for await (const piece of createReadStream(path, { end: sizeBytes - 1 })) hash.update(piece);
  return hash.digest("hex");
}

function printSummary(times: Times, imagePath: string): void {
  printLine("");
  for (const line of times.lines()) printLine(line);
  printLine("");
  printLine(`The image: ${imagePath}. Write it to a USB stick, boot a machine from it, and its`);
  printLine("disks are there for you alone: diskomator ls.");
}

async function stay(box: Vm, signal: AbortSignal): Promise<void> {
  printLine(`The box stays up until Ctrl-C. Its name is ${boxName}:`);
  // As the person came here: by `npm start` in a checkout, or by the command itself.
  const program =
    process.env.npm_lifecycle_event === "start" ? "npm run -s diskomator --" : "diskomator";
  for (const command of ["ls", `ssh ${boxName}`]) printLine(`  ${program} ${command}`);
  await stayUp(box, signal);
}

/** What happened when, for the summary. */
class Times {
  #last = performance.now();
  readonly #steps: [step: string, tookMs: number][] = [];

  mark(step: string): void {
    const now = performance.now();
    this.#steps.push([step, now - this.#last]);
    tell(`${((now - this.#last) / 1000).toFixed(1).padStart(6)} s  ${step}`);
    this.#last = now;
  }

  lines(): string[] {
    return this.#steps.map(
      ([step, tookMs]) => `${(tookMs / 1000).toFixed(1).padStart(6)} s  ${step}`,
    );
  }
}
