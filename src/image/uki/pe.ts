/** EFI programs read: headers, sections, and what firmware signs of them. */

import { createHash } from "node:crypto";
import { type LayoutValue, paddingOf } from "../../bytes/index.ts";
import {
  certificateDirectory,
  dataDirectory,
  dosHeader,
  optionalHeader,
  peHeader,
  peMarks,
  sectionHeader,
} from "../../disk/index.ts";
import { ImageError } from "../error.ts";
import { type Chunks, lengthOf, sliceChunks } from "./chunks.ts";

/** A section as its header has it. */
export interface PeSection {
  readonly name: string;
  readonly virtualAddress: number;
  /** Bytes that it has in memory; with a file behind them up to `rawSize`. */
  readonly virtualSize: number;
  readonly rawOffset: number;
  readonly rawSize: number;
}

/** An EFI program's headers. */
export interface PeImage {
  readonly header: LayoutValue<typeof peHeader>;
  readonly optional: LayoutValue<typeof optionalHeader>;
  /** Where in the file `header`, `optional`, the data directories and the sections lie. */
  readonly offsets: {
    readonly header: number;
    readonly optional: number;
    readonly directories: number;
    readonly sections: number;
  };
  readonly sections: readonly PeSection[];
  /** The certificate table: place in the file and length; 0 when the file is not signed. */
  readonly certificates: { readonly offset: number; readonly size: number };
  readonly sizeBytes: number;
}

/** No program that we handle has more before its first section. */
const headersMax = 64 * 1024;

/**
 * Reads the headers of a PE32+ file.
 * @param name what messages call the file.
 * @throws ImageError `uki` when it is none, or ends before what its headers speak of.
 */
export function inspectPe(name: string, chunks: Chunks): PeImage {
  const sizeBytes = lengthOf(chunks);
  const start = Buffer.concat(sliceChunks(chunks, 0, Math.min(sizeBytes, headersMax)));
  const need = (end: number, what: string): void => {
    if (end > start.byteLength) throw notPe(name, `it ends before its ${what}`);
  };
  need(dosHeader.size, "DOS header");
  const dos = dosHeader.decode(start);
  if (dos.magic !== peMarks.dos) throw notPe(name, `it begins with "${dos.magic}"`);
  const header = dos.peOffset;
  need(header + peHeader.size + optionalHeader.size, "headers");
  const coff = peHeader.decode(start, header);
  if (coff.signature !== peMarks.pe) throw notPe(name, "it has no PE signature");
  const optional = header + peHeader.size;
  const opt = optionalHeader.decode(start, optional);
  if (opt.magic !== peMarks.pe32Plus) {
    throw notPe(name, `its optional header is of kind ${opt.magic.toString(16)}h, not 20bh`);
  }
  const directories = optional + optionalHeader.size;
  const sections = optional + coff.optionalHeaderSize;
  if (directories + opt.directoryCount * dataDirectory.size > sections) {
    throw notPe(name, `its ${opt.directoryCount} data directories overlap the section table`);
  }
  const sectionsEnd = sections + coff.sectionCount * sectionHeader.size;
  need(sectionsEnd, "section table");
  const { sectionAlignment, fileAlignment } = opt;
  for (const alignment of [sectionAlignment, fileAlignment]) {
    if (alignment < 1 || !Number.isInteger(Math.log2(alignment))) {
      throw notPe(name, `it is aligned to ${alignment} bytes`);
    }
  }
  if (opt.headersSize < sectionsEnd || opt.headersSize > sizeBytes) {
    throw notPe(name, `its headers have ${opt.headersSize} bytes`);
  }
  const hasCertificates = opt.directoryCount > certificateDirectory;
  return {
    header: coff,
    optional: opt,
    offsets: { header, optional, directories, sections },
    sections: readSections(name, start.subarray(sections, sectionsEnd), sizeBytes),
    certificates: hasCertificates
      ? dataDirectory.decode(start, directories + certificateDirectory * dataDirectory.size)
      : { offset: 0, size: 0 },
    sizeBytes,
  };
}

/** The bytes of a section that come from the file. */
export function sectionContent(section: PeSection, chunks: Chunks): Uint8Array {
  const { rawOffset, rawSize, virtualSize } = section;
  return Buffer.concat(sliceChunks(chunks, rawOffset, rawOffset + Math.min(rawSize, virtualSize)));
}

/**
 * SHA-256 of what a signature covers: everything but the checksum, the certificate table's entry
 * and the table itself. Windows Authenticode Portable Executable Signature Format, "Calculating
 * the PE Image Hash".
 * @throws ImageError `uki` when it is no PE32+ file.
 */
export function authenticodeHash(name: string, chunks: Chunks): Uint8Array {
  const { offsets, optional, sections, certificates, sizeBytes } = inspectPe(name, chunks);
  const hash = createHash("sha256");
  const add = (from: number, to: number): void => {
    for (const part of sliceChunks(chunks, from, to)) hash.update(part);
  };
  const checkSum = offsets.optional + optionalHeader.offsets.checkSum!;
  const entry = offsets.directories + certificateDirectory * dataDirectory.size;
  add(0, checkSum);
  if (optional.directoryCount > certificateDirectory) {
    add(checkSum + 4, entry);
    add(entry + dataDirectory.size, optional.headersSize);
  } else {
    add(checkSum + 4, optional.headersSize);
  }
  let hashed = optional.headersSize;
  for (const { rawOffset, rawSize } of sections.toSorted((a, b) => a.rawOffset - b.rawOffset)) {
    add(rawOffset, rawOffset + rawSize);
    hashed += rawSize;
  }
  const end = certificates.size > 0 ? certificates.offset : sizeBytes;
  if (end > hashed) add(hashed, end);
  hash.update(new Uint8Array(paddingOf(Math.max(end, hashed), 8)));
  return hash.digest();
}

function readSections(name: string, table: Uint8Array, sizeBytes: number): PeSection[] {
  return Array.from({ length: table.byteLength / sectionHeader.size }, (_, i) => {
    const section = sectionHeader.decode(table, i * sectionHeader.size);
    const { virtualAddress, virtualSize, rawOffset, rawSize } = section;
    if (rawSize > 0 && rawOffset + rawSize > sizeBytes) {
      throw notPe(name, `it ends before its section ${section.name}`);
    }
    return { name: section.name, virtualAddress, virtualSize, rawOffset, rawSize };
  });
}

function notPe(name: string, why: string): ImageError {
  return new ImageError(
    "uki",
    `Cannot read ${name} as an EFI program for 64-bit machines: ${why}. Check that it is complete.`,
    { name },
  );
}
