/** Starts virtual machines. */

import { constants } from "node:fs";
import { copyFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { tcgArgument, tcgThreadsDefault } from "./accelerator.ts";
import { qemuArguments, sparePortsDefault } from "./arguments.ts";
import { makeScratchFolder } from "./driver-files.ts";
import { chooseAccelerator, findEmulator, findFirmware, findProgram } from "./driver-host.ts";
import { channelFds, startProcess } from "./driver-process.ts";
import { Vm } from "./driver-vm.ts";
import type { WaitOptions } from "./driver-wait.ts";
import type { Accelerator, TcgThreads, VmOptions } from "./options.ts";

const cpusMax = 8;
/** Where virtual CPUs would take turns in one thread, a second one only costs time. */
const cpusInOneThread = 1;
const startTimeoutMsDefault = 60_000;

/**
 * Starts a machine; it is running when this returns.
 * @throws VmError `missing` without QEMU or OVMF, `options` for a machine that cannot exist,
 *   `start` with QEMU's words and command line when it ends at once.
 */
export async function startVm(options: VmOptions, wait: WaitOptions = {}): Promise<Vm> {
  const emulator = await findEmulator();
  const firmware = options.firmware ?? (await findFirmware());
  const accelerator = options.accelerator ?? (await chooseAccelerator(emulator));
  await using cleanup = new AsyncDisposableStack();
  const folder = cleanup.use(await makeScratchFolder());
  const variablesPath = options.variablesPath ?? join(folder.path, "variables.fd");
  await copyFile(firmware.variablesPath, variablesPath, constants.COPYFILE_EXCL).catch(
    (error: NodeJS.ErrnoException) => {
      if (error.code !== "EEXIST") throw error;
    },
  );
  const threads = options.tcgThreads ?? tcgThreadsDefault;
  const args = qemuArguments(options, {
    accelerator:
      accelerator === "kvm" ? accelerator : tcgArgument(threads, options.translationsMiB),
    cpus: options.cpus ?? defaultCpus(accelerator, threads),
    firmware: { codePath: firmware.codePath, variablesPath },
    ...channelFds,
  });
  const guard = process.platform === "linux" ? await findProgram("setpriv") : undefined;
  const emulatorProcess = startProcess(emulator, args, guard);
  const sparePorts = options.sparePorts ?? sparePortsDefault;
  const vm = new Vm(emulatorProcess, { options, accelerator, folder, sparePorts });
  cleanup.use(vm);
  await vm.start({ timeoutMs: startTimeoutMsDefault, ...wait });
  // From here on the machine's owner cleans up.
  cleanup.move();
  return vm;
}

function defaultCpus(accelerator: Accelerator, threads: TcgThreads): number {
  const isOneThread = accelerator === "tcg" && threads === "single";
  return isOneThread ? cpusInOneThread : Math.min(availableParallelism(), cpusMax);
}
