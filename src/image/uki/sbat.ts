/** `.sbat`: which components an EFI program is made of, for revocation by shim. */

import { ImageError } from "../error.ts";

const versionLine = "sbat,1,SBAT Version,sbat,1,https://github.com/rhboot/shim/blob/main/SBAT.md";
/** The component that every unified kernel image is, as ukify names it. */
export const ukiSbat =
  "uki,1,UKI,uki,1,https://uapi-group.org/specifications/specs/unified_kernel_image/";

/**
 * One `.sbat` text out of several sections' contents and our own lines.
 * @param parts contents of `.sbat` sections: those of the stub and the kernel.
 * @param lines further components, one CSV line each.
 * @throws ImageError `uki` when a part does not begin with the SBAT version.
 */
export function mergeSbat(parts: readonly Uint8Array[], lines: readonly string[]): Uint8Array {
  const components = parts.flatMap((part) => {
    const text = Buffer.from(part).toString("utf8").replace(/\0+$/, "");
    const [first, ...rest] = text.split("\n").filter((line) => line !== "");
    if (!first?.startsWith("sbat,")) {
      throw new ImageError(
        "uki",
        `Cannot merge an .sbat section: it begins with ${JSON.stringify(first ?? "")}, not ` +
          'with "sbat,". Check the stub and the kernel.',
      );
    }
    return rest;
  });
  return Buffer.from(`${[versionLine, ...components, ...lines].join("\n")}\n\0`);
}
