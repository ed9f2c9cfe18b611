/** What this host offers for virtual machines: QEMU, OVMF, KVM. Asked once per process. */

import { spawn } from "node:child_process";
import { constants } from "node:fs";
import { access, readFile } from "node:fs/promises";
import { delimiter, join } from "node:path";
import { mayOfferKvm } from "./accelerator.ts";
import { VmError } from "./error.ts";
import { firmwareCandidates, installHint } from "./firmware.ts";
import type { Accelerator, Firmware } from "./options.ts";

const emulatorName = "qemu-system-x86_64";

/** Path of a program that is on PATH. */
export async function findProgram(name: string): Promise<string | undefined> {
  for (const folder of (process.env.PATH ?? "").split(delimiter)) {
    const path = join(folder, name);
    if (folder !== "" && (await mayAccess(path, constants.X_OK))) return path;
  }
  return undefined;
}

/**
 * Path of QEMU for x86-64.
 * @throws VmError `missing`.
 */
export async function findEmulator(): Promise<string> {
  const path = await findProgram(emulatorName);
  if (path !== undefined) return path;
  throw new VmError(
    "missing",
    `Cannot start a virtual machine: ${emulatorName} is not on PATH. ${installHint}`,
    { program: emulatorName },
  );
}

/**
 * The OVMF that is installed.
 * @throws VmError `missing`.
 */
export async function findFirmware(): Promise<Firmware> {
  for (const firmware of firmwareCandidates) {
    const { codePath, variablesPath } = firmware;
    const found = await Promise.all([
      mayAccess(codePath, constants.R_OK),
      mayAccess(variablesPath, constants.R_OK),
    ]);
    if (!found.includes(false)) return firmware;
  }
  throw new VmError(
    "missing",
    `Cannot start a virtual machine: no OVMF firmware in its usual places. ${installHint}`,
    { searched: firmwareCandidates.map((firmware) => firmware.codePath) },
  );
}

let kvmWorks: Promise<boolean> | undefined;

/** `kvm` where the CPU has it, the device opens, and QEMU starts with it. */
export async function chooseAccelerator(emulator: string): Promise<Accelerator> {
  kvmWorks ??= tryKvm(emulator);
  return (await kvmWorks) ? "kvm" : "tcg";
}

async function tryKvm(emulator: string): Promise<boolean> {
  const facts = {
    cpuInfo: await readFile("/proc/cpuinfo", "utf8").catch(() => ""),
    kvmWritable: await mayAccess("/dev/kvm", constants.R_OK | constants.W_OK),
    architecture: process.arch,
  };
  if (!mayOfferKvm(facts)) return false;
  const child = spawn(
    emulator,
    ["-machine", "q35,accel=kvm", "-nodefaults", "-display", "none", "-S", "-qmp", "stdio"],
    { stdio: ["pipe", "ignore", "ignore"] },
  );
  const ended = new Promise<boolean>((resolve) => {
    child.on("error", () => resolve(false));
    child.on("close", (code) => resolve(code === 0));
  });
  // A QEMU that cannot start closes its end; the exit code says so too.
  child.stdin.on("error", () => {});
  child.stdin.end('{"execute":"qmp_capabilities"}\n{"execute":"quit"}\n');
  return ended;
}

async function mayAccess(path: string, mode: number): Promise<boolean> {
  return access(path, mode).then(
    () => true,
    () => false,
  );
}
