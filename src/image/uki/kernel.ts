/** What a UKI needs to know of a Linux kernel: its release, from the bzImage header. */

import { ascii, layout, reserved, u16le } from "../../bytes/index.ts";
import { ImageError } from "../error.ts";

/** Linux, Documentation/arch/x86/boot.rst, "The Real-Mode Kernel Header", from 1F1h on. */
const setupHeader = layout("bzImage setup header", 0x210, {
  reserved0: reserved(0x202),
  magic: ascii(4, "\0"),
  reserved206: reserved(8),
  /** Where the version text stands, from 200h on. */
  versionOffset: u16le,
});

const textMax = 128;

/**
 * The release of an x86 kernel, as `uname -r` says it: `6.12.107+deb13-amd64`.
 * @throws ImageError `kernel` when the file is no bzImage.
 */
export function kernelRelease(name: string, vmlinuz: Uint8Array): string {
  const fail = (why: string): ImageError =>
    new ImageError(
      "kernel",
      `Cannot find the release of the kernel ${name}: ${why}. Check that it is a bzImage.`,
      { name },
    );
  if (vmlinuz.byteLength < setupHeader.size) throw fail("it is too short");
  const { magic, versionOffset } = setupHeader.decode(vmlinuz);
  if (magic !== "HdrS") throw fail('it has no "HdrS" at 202h');
  const start = 0x200 + versionOffset;
  const text = Buffer.from(vmlinuz.subarray(start, start + textMax)).toString("latin1");
  const release = /^([A-Za-z0-9._+~-]+) \([^)]*\) #[^\0]*\0/.exec(`${text}\0`)?.[1];
  if (release === undefined) throw fail(`its version text is ${JSON.stringify(text)}`);
  return release;
}
