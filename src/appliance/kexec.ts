/**
 * Starting the kernel of a unified kernel image without the firmware: what of the image is the
 * kernel, its initrd and its command line, what the machine must allow, and what it must have.
 * Pure. What systemd's stub does with the same sections: UAPI.5, and `stub.c` of systemd 257.
 */
import type { EfiProgram, KernelSetup, ProgramSection } from "../disk/index.ts";

/** What the machine says of kexec; null where it does not. */
export interface KexecFacts {
  readonly secureBoot: boolean;
  /** `/sys/kernel/security/lockdown`: `[none] integrity confidentiality`. */
  readonly lockdown: string | null;
  /** `/proc/sys/kernel/kexec_load_disabled`. */
  readonly loadDisabled: string | null;
  /** `/sys/kernel/kexec_loaded`, which kernels that can do it have. */
  readonly loaded: string | null;
  /** Node's name of the machine. */
  readonly architecture: string;
}

/** Why this machine starts no other kernel by itself; null when it does. */
export function kexecObstacle(facts: KexecFacts): string | null {
  if (facts.architecture !== "x64") {
    return `it is a machine of kind ${facts.architecture}, and it is known for x64 only`;
  }
  if (facts.loaded === null) return "the box's kernel cannot start another one";
  if (facts.secureBoot) return "Secure Boot is on, which only the firmware's own boot keeps up";
  const lockdown = /\[(\w+)\]/.exec(facts.lockdown ?? "")?.[1] ?? "none";
  if (lockdown !== "none") return `the box's kernel is locked down (${lockdown})`;
  if (facts.loadDisabled?.trim() === "1") {
    return "kernel.kexec_load_disabled is set on the box, until it boots again";
  }
  return null;
}

/**
 * Whether the kernel that runs was started by another one (Documentation/arch/x86/boot.rst: loaders
 * of number Dh are kexec).
 * @param bootloaderType `/proc/sys/kernel/bootloader_type`, of which the upper bits are the number
 */
export function isStartedByKexec(bootloaderType: string | null): boolean {
  return Number(bootloaderType ?? 0) >> 4 === 0xd;
}

/** What of a file is what. */
export interface KexecPlan {
  readonly kernel: ProgramSection;
  /** One behind the other; each begins at a word of four bytes, as the stub has it. */
  readonly initrd: readonly ProgramSection[];
  readonly commandLine: string;
  readonly kernelBytes: number;
  readonly initrdBytes: number;
}

/** COFF numbers of machines, and what they are called. */
const machines: ReadonlyMap<number, string> = new Map([
  [0x8664, "x86-64"],
  [0x14c, "32-bit x86"],
  [0xaa64, "64-bit ARM"],
  [0x5064, "64-bit RISC-V"],
  [0x6264, "LoongArch"],
]);
const ownMachine = 0x8664;

/** Why a program is not for this machine; null when it is. */
export function machineFault({ machine }: EfiProgram): string | null {
  if (machine === ownMachine) return null;
  const name = machines.get(machine) ?? `number ${machine.toString(16)}h`;
  return `it is for another kind of machine: ${name}, not ${machines.get(ownMachine)}`;
}

/** Room for a command line; the kernel itself takes less. */
export const commandLineBytesMax = 16 * 1024;

/**
 * @param sections as `bootSections` gives them
 * @param commandLine bytes of the section `.cmdline`; empty where there is none
 */
export function planKexec(
  sections: ReadonlyMap<string, ProgramSection>,
  kernel: KernelSetup,
  commandLine: Uint8Array,
): KexecPlan | { readonly reason: string } {
  const linux = sections.get(".linux");
  if (linux === undefined) return { reason: "it has no kernel" };
  const text = stubCommandLine(commandLine);
  const textBytes = Buffer.byteLength(text);
  if (textBytes > kernel.commandLineBytesMax) {
    return {
      reason:
        `its command line has ${textBytes} bytes, and its kernel takes ` +
        `${kernel.commandLineBytesMax}`,
    };
  }
  // The stub puts microcode first: the kernel looks for it only there.
  const initrd = [".ucode", ".initrd"]
    .flatMap((name) => sections.get(name) ?? [])
    .filter(({ lengthBytes }) => lengthBytes > 0);
  return {
    kernel: linux,
    initrd,
    commandLine: text,
    kernelBytes: linux.lengthBytes,
    initrdBytes: initrd.reduce((sum, { lengthBytes }) => sum + gapAfter(sum) + lengthBytes, 0),
  };
}

/** Zeros between what has this length and the next part of an initrd. */
export function gapAfter(lengthBytes: number): number {
  return (4 - (lengthBytes % 4)) % 4;
}

/** What the stub gives to the kernel: no control characters, no blanks at the ends. */
function stubCommandLine(bytes: Uint8Array): string {
  const text = new TextDecoder().decode(bytes).replace(/\0[\s\S]*$/, "");
  return text.replace(/\p{Cc}/gu, " ").trim();
}

/** For the box itself while it loads. */
const spareBytes = 64 * 1024 * 1024;
const mebibyte = 1024 * 1024;

/**
 * Why the memory does not do; null when it does. While it loads, kernel and initrd are in memory as
 * files, as the kernel reads these, and where they will be started from.
 */
export function memoryFault(
  { kernelBytes, initrdBytes }: KexecPlan,
  { initBytes }: KernelSetup,
  availableBytes: number,
): string | null {
  const wanted = 2 * kernelBytes + initBytes + 3 * initrdBytes + spareBytes;
  if (availableBytes >= wanted) return null;
  const text = (bytes: number) => `${Math.ceil(bytes / mebibyte)} MiB`;
  return (
    `its kernel has ${text(kernelBytes)} (${text(initBytes)} unpacked) and its initrd ` +
    `${text(initrdBytes)}; to load them takes ${text(wanted)} of memory, and the box has ` +
    `${text(availableBytes)} free`
  );
}

const nameBytesMax = 60;

/**
 * What a program without a kernel says that it is: `systemd-boot 257.13-1`, `grub 2.12`, `shim 15.8`.
 * @param sbat bytes of its section `.sbat`, empty where there is none: lines of component,
 *   generation, vendor, package, version and address
 */
export function programName(sbat: Uint8Array): string | null {
  const lines = new TextDecoder("latin1").decode(sbat).split("\n");
  for (const line of lines) {
    const [component = "", , , , version = ""] = line.split(",");
    if (component === "sbat" || component.trim() === "") continue;
    const name = `${component} ${version}`.replace(/[^\x20-\x7e]/g, "").trim();
    if (name !== "") return name.slice(0, nameBytesMax);
  }
  return null;
}
