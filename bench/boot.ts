/**
 * The box: from the firmware's hand-over to an exported disk, from a disk's uevent to its export,
 * and the daemon's memory. With `least`, also the least memory that boots to an exported disk.
 *
 * `npm run bench boot [RUNS] [cpus=N] [thread=single|multi] [translations=MIB] [least]` (3 runs unless
 * told, and what the tests have: without KVM, one CPU). In QEMU, under OVMF.
 */

import { readFile } from "node:fs/promises";
import {
  makeScratchDisk,
  makeScratchFolder,
  startVm,
  type TcgThreads,
  type Vm,
} from "../src/vm/index.ts";
import { boot, build, openShell, readState, stickOf } from "../test/driver-box.ts";
import { makeSshKey } from "../test/driver-ssh.ts";
import { describeMachine } from "./machine.ts";
import { showRuns } from "./timing.ts";

const mebibyte = 1024 * 1024;
const hotDisks = 3;
const memoryStepMiB = 16;
const memoryMiBMin = 384;
const memoryMiBMax = 640;
/** A box that has not exported anything by then has not booted. */
const leastMemoryTimeoutMs = 120_000;
const ticksPerSecond = 100;

const words = process.argv.slice(2);
const runs = Number(words.find((word) => /^\d+$/.test(word)) ?? 3);
const cpus = valueAfter("cpus");
const thread = valueAfter("thread");
const translations = valueAfter("translations");
const wantsLeast = words.includes("least");

await using folder = await makeScratchFolder();
await using key = await makeSshKey();
await build("diskomator", folder.path, { authorizedKeys: [key.publicKey] });

const handovers = [];
for (let run = 0; run < runs; run++) {
  await using disk = await makeScratchDisk(64 * mebibyte);
  await using box = await startBox(disk.path, 1024);
  handovers.push(await timeBoot(box));
  if (run === 0) console.log([describeMachine(), box.accelerator, ...words].join(", "));
  if (run === runs - 1) await measureLive(box);
}
console.log(`firmware's hand-over to an exported NVMe disk: ${showRuns(handovers)}`);
if (wantsLeast) console.log(`least memory that boots to it: ${await findLeastMemory()} MiB`);

function startBox(diskPath: string, memoryMiB: number): Promise<Vm> {
  return startVm({
    name: "bench",
    memoryMiB,
    ...(cpus ? { cpus: Number(cpus) } : {}),
    ...(translations ? { translationsMiB: Number(translations) } : {}),
    ...(thread ? { tcgThreads: thread as TcgThreads } : {}),
    disks: [
      stickOf(folder.path, "diskomator"),
      { id: "nvme", kind: "nvme", path: diskPath, serial: "BENCH" },
    ],
    nics: [{ network: { kind: "user" } }],
    smbios: { uuid: "3f6c2a0e-9d51-4f7b-8a46-0c5e1b7d2f90" },
  });
}

async function timeBoot(box: Vm) {
  await box.waitForSerial("BdsDxe: starting", boot);
  const startMs = performance.now();
  const cpuBefore = await cpuMsOf(box.pid);
  await box.waitForSerial(/serial BENCH +exported/, boot);
  return {
    wallMs: performance.now() - startMs,
    cpuMs: (await cpuMsOf(box.pid)) - cpuBefore,
  };
}

/** User and system time of QEMU so far. */
async function cpuMsOf(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return ((Number(fields[11]) + Number(fields[12])) * 1000) / ticksPerSecond;
}

/** What the daemon says of disks that are plugged in one by one, and what it takes to say it. */
async function measureLive(box: Vm): Promise<void> {
  const shell = await openShell(box, key);
  for (let n = 0; n < hotDisks; n++) {
    await using disk = await makeScratchDisk(64 * mebibyte);
    await box.addDisk({ id: `hot${n}`, kind: "scsi", path: disk.path, serial: `HOT-${n}` });
    await box.waitForSerial(new RegExp(`serial HOT-${n} +exported`), boot);
  }
  const { disks } = await readState(shell);
  const took = disks.flatMap(({ disk, state }) =>
    state.kind === "exported" && disk.serial.startsWith("HOT-") ? [state.tookMs] : [],
  );
  console.log(`uevent to export, one disk at a time: ${took.join(", ")} ms`);
  const status = await shell.succeed("cat /proc/$(systemctl show -P MainPID diskomator)/status");
  const kibibytes = Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]);
  const peak = Number(/VmHWM:\s+(\d+)/.exec(status)?.[1]);
  const inMiB = (value: number) => (value / 1024).toFixed(1);
  console.log(`the daemon's memory: ${inMiB(kibibytes)} MiB, at most ${inMiB(peak)} MiB`);
}

/** Halves the range until a step is left. */
async function findLeastMemory(): Promise<number> {
  let [fails, boots] = [memoryMiBMin, memoryMiBMax];
  while (boots - fails > memoryStepMiB) {
    const memoryMiB = Math.round((fails + boots) / 2 / memoryStepMiB) * memoryStepMiB;
    if (await bootsWith(memoryMiB)) boots = memoryMiB;
    else fails = memoryMiB;
  }
  return boots;
}

async function bootsWith(memoryMiB: number): Promise<boolean> {
  await using disk = await makeScratchDisk(64 * mebibyte);
  await using box = await startBox(disk.path, memoryMiB);
  return box.waitForSerial(/serial BENCH +exported/, { timeoutMs: leastMemoryTimeoutMs }).then(
    () => true,
    () => false,
  );
}

function valueAfter(name: string): string | undefined {
  return words.find((word) => word.startsWith(`${name}=`))?.slice(name.length + 1);
}
