/**
 * EFI programs as they lie on disks, unified kernel images among them: which bytes of a file are
 * what. Microsoft PE format; UAPI.5 Unified Kernel Image. Any bytes will do.
 */

import {
  dataDirectory,
  dosHeader,
  optionalHeader,
  peHeader,
  peMarks,
  sectionHeader,
} from "./pe-layout.ts";

/** Bytes of the file that are a section's; what it has in memory beyond them is zeros. */
export interface ProgramSection {
  readonly name: string;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

/** What the headers of a program say. */
export interface EfiProgram {
  /** COFF number of the machine that it is for: 8664h x86-64, AA64h ARM64. */
  readonly machine: number;
  /** In the order of the section table. */
  readonly sections: readonly ProgramSection[];
}

/** Of a program's beginning nothing beyond this is looked at. */
export const headersBytesMax = 64 * 1024;

/** The section that begins a further profile (UAPI.5, "Multi-Profile UKIs"). */
const profileSection = ".profile";

/**
 * Reads the headers of a PE32+ file.
 * @param head the file's first `headersBytesMax` bytes, or all of it
 */
export function decodeProgram(
  head: Uint8Array,
  sizeBytes: number,
): EfiProgram | { readonly reason: string } {
  const start = head.subarray(0, headersBytesMax);
  if (start.byteLength < dosHeader.size) return { reason: "it is too short" };
  const { magic, peOffset } = dosHeader.decode(start);
  if (magic !== peMarks.dos) return { reason: "it does not begin with MZ" };
  const optionalOffset = peOffset + peHeader.size;
  if (optionalOffset + optionalHeader.size > start.byteLength) {
    return { reason: "it ends before its headers" };
  }
  const { signature, machine, sectionCount, optionalHeaderSize } = peHeader.decode(start, peOffset);
  if (signature !== peMarks.pe) return { reason: "it has no PE signature" };
  const optional = optionalHeader.decode(start, optionalOffset);
  if (optional.magic !== peMarks.pe32Plus) return { reason: "it is not for 64-bit machines" };
  const table = optionalOffset + optionalHeaderSize;
  if (optionalHeaderSize < optionalHeader.size + optional.directoryCount * dataDirectory.size) {
    return { reason: "its headers overlap" };
  }
  if (table + sectionCount * sectionHeader.size > start.byteLength) {
    return { reason: "it ends before its section table" };
  }
  const sections: ProgramSection[] = [];
  for (let n = 0; n < sectionCount; n++) {
    const { name, virtualSize, rawSize, rawOffset } = sectionHeader.decode(
      start,
      table + n * sectionHeader.size,
    );
    const lengthBytes = Math.min(virtualSize, rawSize);
    if (lengthBytes > 0 && rawOffset + lengthBytes > sizeBytes) {
      return { reason: `it ends before its section ${shown(name)}` };
    }
    sections.push({ name, offsetBytes: rawOffset, lengthBytes });
  }
  return { machine, sections };
}

/**
 * The sections that systemd's stub would use when nothing is chosen: those before the first
 * `.profile`, and over them those of the first profile. Of several with one name it takes the first.
 */
export function bootSections({ sections }: EfiProgram): ReadonlyMap<string, ProgramSection> {
  const marks = sections.flatMap(({ name }, n) => (name === profileSection ? [n] : []));
  const [first = sections.length, second = sections.length] = marks;
  const found = new Map<string, ProgramSection>();
  for (const section of [...sections.slice(first, second), ...sections.slice(0, first)]) {
    if (!found.has(section.name)) found.set(section.name, section);
  }
  return found;
}

/** Foreign bytes in a message. */
function shown(name: string): string {
  return JSON.stringify(name.replace(/[^\x20-\x7e]/g, "?"));
}
