/** EFI programs for tests: headers as systemd's stub has them, and sections of any content. */

import { dataDirectory, dosHeader, optionalHeader, peHeader, sectionHeader } from "../pe-layout.ts";

/** What there is to choose. */
export interface WantedProgram {
  /** COFF number; x86-64 unless told. */
  readonly machine?: number;
  readonly sections: readonly (readonly [name: string, content: Uint8Array])[];
}

const fileAlignment = 0x200;
const headersSize = 0x600;
const directoryCount = 16;
const optionalBytes = optionalHeader.size + directoryCount * dataDirectory.size;

/** A PE32+ file. */
export function sampleProgram({ machine = 0x8664, sections }: WantedProgram): Uint8Array {
  const rawSizes = sections.map(([, content]) => alignedTo(fileAlignment, content.byteLength));
  const file = new Uint8Array(rawSizes.reduce((sum, size) => sum + size, headersSize));
  dosHeader.encodeInto({ magic: "MZ", peOffset: dosHeader.size }, file);
  const characteristics = {
    relocationsStripped: false,
    executable: true,
    lineNumbersStripped: true,
    localSymbolsStripped: true,
    others4: 0x022,
  };
  peHeader.encodeInto(
    {
      signature: "PE",
      machine,
      sectionCount: sections.length,
      timeStamp: 0,
      symbolTableOffset: 0,
      symbolCount: 0,
      optionalHeaderSize: optionalBytes,
      characteristics,
    },
    file,
    dosHeader.size,
  );
  const optional = dosHeader.size + peHeader.size;
  optionalHeader.encodeInto(
    {
      magic: 0x20b,
      linkerMajor: 2,
      linkerMinor: 44,
      codeSize: 0,
      initializedDataSize: 0,
      uninitializedDataSize: 0,
      entryPoint: 0x1000,
      codeBase: 0x1000,
      imageBase: 0x1_4df9_0000n,
      sectionAlignment: 0x1000,
      fileAlignment,
      versions: new Uint8Array(16),
      imageSize: 0x1000,
      headersSize,
      checkSum: 0,
      subsystem: 10,
      dllCharacteristics: { low: 0x60, nxCompatible: true, high: 0 },
      stackAndHeap: new Uint8Array(32),
      loaderFlags: 0,
      directoryCount,
    },
    file,
    optional,
  );
  let rawOffset = headersSize;
  for (const [n, [name, content]] of sections.entries()) {
    const rawSize = rawSizes[n] ?? 0;
    const data = { code: false, initializedData: true, execute: false, read: true, write: false };
    sectionHeader.encodeInto(
      {
        name,
        virtualSize: content.byteLength,
        virtualAddress: 0x1000 * (n + 1),
        rawSize,
        rawOffset,
        relocations: new Uint8Array(12),
        characteristics: { ...data, others7: 0 },
      },
      file,
      optional + optionalBytes + n * sectionHeader.size,
    );
    file.set(content, rawOffset);
    rawOffset += rawSize;
  }
  return file;
}

function alignedTo(unit: number, length: number): number {
  return Math.ceil(length / unit) * unit;
}
