/**
 * What a Linux kernel for x86 says of itself before it runs. Linux,
 * Documentation/arch/x86/boot.rst, "The Real-Mode Kernel Header".
 */

import { ascii, bits, flag, layout, reserved, u16le, u32le } from "../bytes/index.ts";

/** A bzImage from its first byte on. */
export const kernelSetup = layout("bzImage setup header", 0x264, {
  reserved0: reserved(0x202),
  magic: ascii(4, "\0"),
  protocol: u16le,
  reserved208: reserved(0x2e),
  loadFlags: bits(2, { is64Bit: flag, isRelocatableAbove4G: flag, reserved2: 14 }),
  /** Longest command line, without its NUL. */
  commandLineBytesMax: u32le,
  reserved23c: reserved(0x24),
  /** Memory that it needs until it manages memory by itself. */
  initBytes: u32le,
});

/** Says where a kernel begins. */
const setupMagic = "HdrS";
/** From this protocol on there are load flags (Linux 3.8). */
const protocolLeast = 0x20c;

/** What matters to who starts it. */
export interface KernelSetup {
  readonly commandLineBytesMax: number;
  readonly initBytes: number;
}

/** Reads a kernel's first bytes; any bytes will do. */
export function decodeKernelSetup(head: Uint8Array): KernelSetup | { readonly reason: string } {
  if (head.byteLength < kernelSetup.size) return { reason: "it is too short" };
  const { magic, protocol, loadFlags, commandLineBytesMax, initBytes } = kernelSetup.decode(head);
  if (magic !== setupMagic) return { reason: "it is no bzImage" };
  if (protocol < protocolLeast) return { reason: "it is older than Linux 3.8" };
  if (!loadFlags.is64Bit) return { reason: "it is not for 64-bit machines" };
  if (!loadFlags.isRelocatableAbove4G) return { reason: "it cannot be loaded anywhere" };
  return { commandLineBytesMax, initBytes };
}
