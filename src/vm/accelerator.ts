/** Which accelerator a host offers, told from facts that the driver has gathered. */

import type { TcgThreads } from "./options.ts";

/** What must be known of a host to choose. */
export interface HostFacts {
  /** Text of /proc/cpuinfo; empty where there is none. */
  readonly cpuInfo: string;
  /** /dev/kvm can be opened for reading and writing. */
  readonly kvmWritable: boolean;
  /** As Node names it: `x64`, `arm64`. */
  readonly architecture: string;
}

/**
 * Whether KVM is worth a trial: a /dev/kvm without `vmx` or `svm` in the CPU's flags exists on
 * some virtual machines and does not work.
 */
export function mayOfferKvm(facts: HostFacts): boolean {
  const flags = /^flags\s*:(.*)$/m.exec(facts.cpuInfo)?.[1] ?? "";
  return facts.architecture === "x64" && facts.kvmWritable && /\b(vmx|svm)\b/.test(flags);
}

/**
 * All virtual CPUs take turns in one thread: with a thread each, a stock kernel oopses now and then
 * (QEMU 7.2), and hosts that are not x86 lack the memory order. The likely cause, inferred and not
 * proven: until 8.1 ("Always lock pages before translation") a CPU could keep an old translation of code
 * that another was just patching, and the kernel patches itself whatever the CPU model.
 */
export const tcgThreadsDefault: TcgThreads = "single";

/**
 * What QEMU translated of a system outlives its reset, and is taken back piece by piece as the next one
 * writes over its memory, ten thousand a second (QEMU 7.2). Of QEMU's own gigabyte that is a minute.
 */
const translationsMiBDefault = 128;

/**
 * QEMU's `-accel` for translation.
 * @param translationsMiB memory for what is translated
 */
export function tcgArgument(threads: TcgThreads, translationsMiB = translationsMiBDefault): string {
  return `tcg,thread=${threads},tb-size=${translationsMiB}`;
}
