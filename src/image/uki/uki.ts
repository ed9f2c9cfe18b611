/**
 * A unified kernel image: systemd's stub with kernel, initrd and texts as further PE sections.
 *
 * UAPI.5 Unified Kernel Image; the way sections are appended is ukify's (`pe_add_sections`), and
 * for the same sections in the same order the bytes are the same.
 */

import { paddingOf, roundUp, viewOf } from "../../bytes/index.ts";
import { optionalHeader, peHeader, sectionHeader } from "../../disk/index.ts";
import { ImageError } from "../error.ts";
import { type Chunks, lengthOf } from "./chunks.ts";
import { kernelRelease } from "./kernel.ts";
import { inspectPe, type PeImage, type PeSection, sectionContent } from "./pe.ts";
import { mergeSbat, ukiSbat } from "./sbat.ts";

/** What goes into a UKI. */
export interface UkiSections {
  /** Contents of `os-release`. */
  readonly osrel: string;
  /** The kernel's command line, without a line end. */
  readonly cmdline: string;
  /** The kernel's release; read from `linux` unless told. */
  readonly uname?: string;
  /** A BMP for the screen while it starts. */
  readonly splash?: Uint8Array;
  /** An uncompressed cpio with CPU microcode; the stub puts it before `initrd`. */
  readonly ucode?: Uint8Array;
  readonly linux: Uint8Array;
  /** Segments, already padded so that each may follow the one before. */
  readonly initrd: Chunks;
  /** Further SBAT components, one CSV line each; `uki` alone unless told. */
  readonly sbat?: readonly string[];
}

/** A finished file and where its parts lie. */
export interface Uki {
  /** The file is their concatenation; kernel and initrd are the caller's own buffers. */
  readonly chunks: Chunks;
  readonly sizeBytes: number;
  readonly layout: {
    /** In the order of the file, the stub's own first. */
    readonly sections: readonly PeSection[];
    /** Memory that the image takes. */
    readonly imageSizeBytes: number;
  };
}

/** AMI firmware 5.12 fails with an access violation above this (systemd/particleos#44). */
const sectionsMax = 25;
/** Firmware allocates the image in one piece and fails from 2 GiB on (systemd#31452). */
const imageBytesMax = 2 ** 31 - 1;

/** x86 kernels cut what is longer without a word (COMMAND_LINE_SIZE, with its NUL). */
const cmdlineBytesMax = 2047;

/**
 * Builds a UKI.
 * @param stub systemd's `linuxx64.efi.stub`.
 * @throws ImageError `uki` when the stub is signed, has no room for a section, or is no PE file, or
 *   the command line is too long; `kernel` when the kernel's release cannot be read.
 */
export function buildUki(wanted: {
  readonly stub: Uint8Array;
  readonly sections: UkiSections;
}): Uki {
  const { sections } = wanted;
  const pe = inspectPe("the stub", [wanted.stub]);
  const kernel = inspectPe("the kernel", [sections.linux]);
  if (pe.certificates.size > 0 || pe.certificates.offset > 0) {
    throw refuse("its stub is signed, and the signature would not hold. Use an unsigned stub");
  }
  const cmdlineBytes = Buffer.byteLength(sections.cmdline);
  if (cmdlineBytes > cmdlineBytesMax) {
    throw refuse(
      `its kernel would drop the end of a command line of ${cmdlineBytes} bytes, and takes ` +
        `${cmdlineBytesMax}. Name fewer parameters`,
    );
  }
  const fresh = listSections(sections);
  const count = pe.sections.length + fresh.length;
  const slots = Math.floor((headerRoom(pe) - pe.offsets.sections) / sectionHeader.size);
  if (count > slots || count > sectionsMax) {
    throw refuse(
      `${fresh.length} sections do not fit beside the stub's ${pe.sections.length}: its headers ` +
        `have room for ${slots} in all, and firmware for ${sectionsMax}. Leave some out`,
    );
  }
  const head = stubImage(wanted.stub, pe);
  const appended = appendSections(pe, head.byteLength, fresh);
  const imageSizeBytes = roundUp(
    Math.max(...[...pe.sections, ...appended.sections].map(endInMemory)),
    pe.optional.sectionAlignment,
  );
  if (imageSizeBytes > imageBytesMax) {
    throw refuse(
      `it would take ${imageSizeBytes} bytes, and firmware cannot load ${imageBytesMax + 1}. ` +
        "Make the initrd smaller",
    );
  }
  const sbat = replaceSbat(pe, kernel, sections, head);
  writeHeaders(head, pe, {
    appended: appended.sections,
    sbat,
    imageSizeBytes,
    keepNx: kernel.optional.dllCharacteristics.nxCompatible,
  });
  const chunks = [head, ...appended.chunks];
  const own = pe.sections.map((section) => (section.name === ".sbat" ? sbat : section));
  return {
    chunks,
    sizeBytes: lengthOf(chunks),
    layout: { sections: [...own, ...appended.sections], imageSizeBytes },
  };
}

interface FreshSection {
  readonly name: string;
  readonly content: Chunks;
}

/** Small ones first and the initrd last, so that a new initrd moves nothing else. */
function listSections(sections: UkiSections): FreshSection[] {
  const { osrel, cmdline, uname, splash, ucode, linux, initrd } = sections;
  const release = uname ?? kernelRelease("that the image is made of", linux);
  const all: readonly (readonly [string, Chunks | undefined])[] = [
    [".osrel", [Buffer.from(osrel)]],
    [".cmdline", [Buffer.from(cmdline)]],
    [".uname", [Buffer.from(release)]],
    [".splash", splash && [splash]],
    [".ucode", ucode && [ucode]],
    [".linux", [linux]],
    [".initrd", initrd],
  ];
  return all.flatMap(([name, content]) =>
    content && lengthOf(content) > 0 ? [{ name, content }] : [],
  );
}

/** A copy of the stub up to the end of its last section: what comes after, symbols, is dropped. */
function stubImage(stub: Uint8Array, pe: PeImage): Uint8Array {
  const { fileAlignment } = pe.optional;
  for (const { name, rawOffset, rawSize } of pe.sections) {
    if (rawOffset % fileAlignment !== 0 || rawSize % fileAlignment !== 0) {
      throw refuse(`section ${name} of its stub is not aligned to ${fileAlignment} bytes`);
    }
  }
  const end = Math.max(...pe.sections.map(({ rawOffset, rawSize }) => rawOffset + rawSize));
  return Uint8Array.from(stub.subarray(0, end));
}

function appendSections(
  pe: PeImage,
  headBytes: number,
  fresh: readonly FreshSection[],
): { chunks: Uint8Array[]; sections: PeSection[] } {
  const { fileAlignment, sectionAlignment } = pe.optional;
  const chunks: Uint8Array[] = [];
  const sections: PeSection[] = [];
  let rawOffset = headBytes;
  let virtualAddress = roundUp(Math.max(...pe.sections.map(endInMemory)), sectionAlignment);
  for (const { name, content } of fresh) {
    const virtualSize = lengthOf(content);
    const rawSize = roundUp(virtualSize, fileAlignment);
    sections.push({ name, virtualAddress, virtualSize, rawOffset, rawSize });
    chunks.push(...content.filter(({ byteLength }) => byteLength > 0));
    const padding = paddingOf(virtualSize, fileAlignment);
    if (padding > 0) chunks.push(new Uint8Array(padding));
    rawOffset += rawSize;
    virtualAddress = roundUp(virtualAddress + virtualSize, sectionAlignment);
  }
  return { chunks, sections };
}

/** Puts the merged SBAT in the place of the stub's; only its length in memory changes. */
function replaceSbat(
  pe: PeImage,
  kernel: PeImage,
  { linux, sbat = [ukiSbat] }: UkiSections,
  head: Uint8Array,
): PeSection {
  const own = pe.sections.find(({ name }) => name === ".sbat");
  if (!own)
    throw refuse("its stub has no .sbat section. Use systemd's stub of version 254 or later");
  const ofKernel = kernel.sections.find(({ name }) => name === ".sbat");
  const text = mergeSbat(
    [sectionContent(own, [head]), ...(ofKernel ? [sectionContent(ofKernel, [linux])] : [])],
    sbat,
  );
  if (text.byteLength > own.rawSize) {
    throw refuse(
      `its .sbat would have ${text.byteLength} bytes, and the stub has room for ${own.rawSize}. ` +
        "Name fewer components",
    );
  }
  head.fill(0, own.rawOffset, own.rawOffset + own.rawSize);
  head.set(text, own.rawOffset);
  return { ...own, virtualSize: text.byteLength };
}

function writeHeaders(
  head: Uint8Array,
  pe: PeImage,
  change: {
    readonly appended: readonly PeSection[];
    readonly sbat: PeSection;
    readonly imageSizeBytes: number;
    readonly keepNx: boolean;
  },
): void {
  const { header, optional, offsets } = pe;
  const { appended, sbat, imageSizeBytes, keepNx } = change;
  peHeader.encodeInto(
    {
      ...header,
      sectionCount: header.sectionCount + appended.length,
      symbolTableOffset: 0,
      symbolCount: 0,
      characteristics: {
        ...header.characteristics,
        localSymbolsStripped:
          header.characteristics.localSymbolsStripped || header.symbolTableOffset > 0,
      },
    },
    head,
    offsets.header,
  );
  const { nxCompatible } = optional.dllCharacteristics;
  const appendedBytes = appended.reduce((sum, { virtualSize }) => sum + virtualSize, 0);
  optionalHeader.encodeInto(
    {
      ...optional,
      initializedDataSize: optional.initializedDataSize + appendedBytes,
      imageSize: imageSizeBytes,
      headersSize: headerRoom(pe),
      checkSum: 0,
      dllCharacteristics: { ...optional.dllCharacteristics, nxCompatible: nxCompatible && keepNx },
    },
    head,
    offsets.optional,
  );
  const slot = (index: number) => offsets.sections + index * sectionHeader.size;
  const sbatSlot = slot(pe.sections.findIndex(({ name }) => name === ".sbat"));
  viewOf(head).setUint32(sbatSlot + sectionHeader.offsets.virtualSize!, sbat.virtualSize, true);
  for (const [index, section] of appended.entries()) {
    const isCode = section.name === ".linux";
    sectionHeader.encodeInto(
      {
        ...section,
        relocations: new Uint8Array(12),
        // `.linux` is code, since old kernels run in place, but never marked to execute (NX).
        characteristics: {
          code: isCode,
          initializedData: !isCode,
          others7: 0,
          execute: false,
          read: true,
          write: false,
        },
      },
      head,
      slot(pe.sections.length + index),
    );
  }
}

/** Nothing lies between the headers and the first section's aligned place. */
function headerRoom({ optional }: PeImage): number {
  return roundUp(optional.headersSize, optional.fileAlignment);
}

function endInMemory({ virtualAddress, virtualSize }: PeSection): number {
  return virtualAddress + virtualSize;
}

function refuse(why: string): ImageError {
  return new ImageError("uki", `Cannot build the EFI file: ${why}.`);
}
