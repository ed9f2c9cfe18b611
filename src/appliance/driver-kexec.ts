/**
 * Loads the kernel of a disk's unified kernel image into the kernel that runs, to be started by an
 * orderly shutdown.
 *
 * By Debian's `kexec`: neither Node.js nor systemd 257 makes the system call `kexec_file_load`.
 */
import { type FileHandle, mkdir, mkdtemp, open, rm } from "node:fs/promises";
import { join } from "node:path";
import { type BlockDevice, BlockError } from "../block/index.ts";
import {
  bootSections,
  decodeKernelSetup,
  decodeProgram,
  type FatDamage,
  type FatOpenFile,
  type FatVolume,
  headersBytesMax,
  openFat,
  type ProgramSection,
} from "../disk/index.ts";
import { RpcError } from "../rpc/index.ts";
import type { LoaderPlace } from "./boot-option.ts";
import { kernelsIn } from "./driver-boot-path.ts";
import { readOptional } from "./driver-files.ts";
import { runTool } from "./driver-process.ts";
import { ApplianceError } from "./error.ts";
import {
  commandLineBytesMax,
  gapAfter,
  type KexecPlan,
  kexecObstacle,
  machineFault,
  memoryFault,
  planKexec,
  programName,
} from "./kexec.ts";

/** Files as large as the image's kernel and initrd: /run may have a fifth of the memory only. */
const stagingFolder = "tmp";
const chunkBytes = 4 * 1024 * 1024;
const setupBytes = 4096;
const sbatBytesMax = 4096;
/** Reading, hashing and copying some hundred megabytes on a slow machine. */
const loadTimeoutMs = 120_000;

/** An image that is ready to be started. */
export interface LoadedKernel {
  /** As the firmware names files. */
  readonly file: string;
  readonly plan: KexecPlan;
  /** What the firmware would have loaded instead, and why that was not taken. */
  readonly passedOver: string | null;
}

/** Why the machine below `root` starts no other kernel; null when it does. */
export function readKexecObstacle(root: string, secureBoot: boolean): string | null {
  return kexecObstacle({
    secureBoot,
    lockdown: readOptional(root, "sys/kernel/security/lockdown"),
    loadDisabled: readOptional(root, "proc/sys/kernel/kexec_load_disabled"),
    loaded: readOptional(root, "sys/kernel/kexec_loaded"),
    architecture: process.arch,
  });
}

/**
 * Loads the kernel of the image whose loader is at `place`: of that file if it is a unified kernel
 * image, else of the only one in `\EFI\Linux`.
 * @throws RpcError `refused` or `failed`; then nothing is loaded
 */
export async function loadKernel(
  root: string,
  device: BlockDevice,
  disk: string,
  place: LoaderPlace,
): Promise<LoadedKernel> {
  const refuse = (why: string, reason: string) => {
    const message = `Cannot start the kernel of ${disk} by kexec: ${why}. Boot it by the firmware.`;
    return new RpcError("refused", message, { reason, disk });
  };
  try {
    const found = await findUki(device, place);
    if ("fault" in found) {
      const why = `${found.fault}. Only a unified kernel image can be started so, and menus of loaders are not read`;
      throw refuse(why, "no-uki");
    }
    const { file, uki, passedOver } = found;
    const { plan, setup } = uki;
    const memory = memoryFault(plan, setup, availableBytes(root));
    if (memory !== null) throw refuse(memory, "memory");
    await load(root, uki.source, plan);
    return { file, plan, passedOver };
  } catch (error) {
    if (error instanceof RpcError) throw error;
    const isDisk = error instanceof ApplianceError && error.code === "disk";
    if (isDisk || error instanceof BlockError) throw refuse(error.message, "unreadable");
    const why = error instanceof Error ? error.message : String(error);
    const message = `Cannot start the kernel of ${disk} by kexec: ${why}. Nothing was booted.`;
    throw new RpcError("failed", message, { reason: "kexec", disk });
  }
}

/** Takes a kernel back: else an ordinary reboot would start it. */
export async function unloadKernel(): Promise<void> {
  await runTool("kexec", ["--kexec-file-syscall", "--unload"], loadTimeoutMs).catch(() => "");
}

function damaged(text: string, { reason }: FatDamage): ApplianceError {
  return new ApplianceError("disk", `${text} (${reason})`, { reason });
}

interface Uki {
  readonly source: FatOpenFile;
  readonly plan: KexecPlan;
  readonly setup: Parameters<typeof memoryFault>[1];
}

async function findUki(
  device: BlockDevice,
  { file, firstLba }: LoaderPlace,
): Promise<
  | { readonly file: string; readonly uki: Uki; readonly passedOver: string | null }
  | { readonly fault: string }
> {
  const opened = await openFat(device, firstLba * device.blockSizeBytes);
  if (!opened.ok) throw damaged("its FAT file system is damaged", opened.damage);
  const first = await readUki(opened.value, file);
  if ("plan" in first) return { file, uki: first, passedOver: null };
  const kernels = (await kernelsIn(opened.value)).filter((name) => name !== file);
  const [other] = kernels;
  const fault = `${file}: ${first.fault}`;
  if (other === undefined) return { fault };
  if (kernels.length > 1) {
    const choice = `there are ${kernels.length} to choose from (${kernels.join(", ")}), and the box chooses none`;
    return { fault: `${fault}; ${choice}: leave one of them in \\EFI\\Linux` };
  }
  const second = await readUki(opened.value, other);
  if ("plan" in second) return { file: other, uki: second, passedOver: fault };
  return { fault: `${fault}; ${other}: ${second.fault}` };
}

async function readUki(volume: FatVolume, file: string): Promise<Uki | { readonly fault: string }> {
  const opened = await volume.openFile(file.replaceAll("\\", "/"));
  if (!opened.ok) throw damaged(`${file} cannot be read`, opened.damage);
  const source = opened.value;
  const program = decodeProgram(await readAt(source, 0, headersBytesMax), source.sizeBytes);
  if ("reason" in program) return { fault: program.reason };
  const sections = bootSections(program);
  const linux = sections.get(".linux");
  if (linux === undefined) {
    const sbat = await readSection(source, sections.get(".sbat"), sbatBytesMax);
    return { fault: `it is ${programName(sbat) ?? "a program"} and has no kernel in it` };
  }
  const machine = machineFault(program);
  if (machine !== null) return { fault: machine };
  const setup = decodeKernelSetup(await readSection(source, linux, setupBytes));
  if ("reason" in setup) return { fault: `its kernel cannot be started: ${setup.reason}` };
  const text = await readSection(source, sections.get(".cmdline"), commandLineBytesMax);
  const plan = planKexec(sections, setup, text);
  return "reason" in plan ? { fault: plan.reason } : { source, plan, setup };
}

/** Its first bytes. */
async function readSection(
  source: FatOpenFile,
  section: ProgramSection | undefined,
  bytesMax: number,
): Promise<Uint8Array> {
  if (section === undefined) return new Uint8Array();
  return await readAt(source, section.offsetBytes, Math.min(section.lengthBytes, bytesMax));
}

async function readAt(
  source: FatOpenFile,
  offsetBytes: number,
  lengthBytes: number,
): Promise<Uint8Array> {
  const read = await source.read(offsetBytes, lengthBytes);
  if (!read.ok) throw damaged("its kernel cannot be read", read.damage);
  return read.value;
}

async function load(root: string, source: FatOpenFile, plan: KexecPlan): Promise<void> {
  const parent = join(root, stagingFolder);
  await mkdir(parent, { recursive: true });
  const folder = await mkdtemp(join(parent, "kexec-"));
  try {
    const [kernel, initrd] = [join(folder, "kernel"), join(folder, "initrd")];
    await stage(source, [plan.kernel], kernel);
    await stage(source, plan.initrd, initrd);
    const parameters = [
      "--kexec-file-syscall",
      "--load",
      kernel,
      ...(plan.initrdBytes > 0 ? [`--initrd=${initrd}`] : []),
      `--command-line=${plan.commandLine}`,
    ];
    await runTool("kexec", parameters, loadTimeoutMs);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function stage(
  source: FatOpenFile,
  sections: readonly ProgramSection[],
  path: string,
): Promise<void> {
  await using file = await open(path, "wx", 0o600);
  let staged = 0;
  for (const section of sections) {
    const gap = gapAfter(staged);
    await file.writeFile(new Uint8Array(gap));
    await copy(source, section, file);
    staged += gap + section.lengthBytes;
  }
}

async function copy(
  source: FatOpenFile,
  { offsetBytes, lengthBytes }: ProgramSection,
  file: FileHandle,
): Promise<void> {
  for (let done = 0; done < lengthBytes; done += chunkBytes) {
    const wanted = Math.min(chunkBytes, lengthBytes - done);
    await file.writeFile(await readAt(source, offsetBytes + done, wanted));
  }
}

function availableBytes(root: string): number {
  const found = /^MemAvailable:\s+(\d+) kB$/m.exec(readOptional(root, "proc/meminfo") ?? "");
  return Number(found?.[1] ?? 0) * 1024;
}
