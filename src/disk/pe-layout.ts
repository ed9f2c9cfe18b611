/** The structures of a PE32+ image. Microsoft PE format, "Overview" to "Section Table". */

import {
  ascii,
  bits,
  bytes,
  flag,
  layout,
  reserved,
  u8,
  u16le,
  u32le,
  u64le,
} from "../bytes/index.ts";

/** What every EFI program begins with. */
export const dosHeader = layout("DOS header", 64, {
  magic: ascii(2, "\0"),
  reserved2: reserved(58),
  /** Where "PE\0\0" stands. */
  peOffset: u32le,
});

/** "PE\0\0" and the COFF file header. */
export const peHeader = layout("PE header", 24, {
  signature: ascii(4, "\0"),
  machine: u16le,
  sectionCount: u16le,
  timeStamp: u32le,
  symbolTableOffset: u32le,
  symbolCount: u32le,
  optionalHeaderSize: u16le,
  characteristics: bits(2, {
    relocationsStripped: flag,
    executable: flag,
    lineNumbersStripped: flag,
    localSymbolsStripped: flag,
    others4: 12,
  }),
});

/** The optional header of PE32+ up to its data directories. */
export const optionalHeader = layout("PE32+ optional header", 112, {
  magic: u16le,
  linkerMajor: u8,
  linkerMinor: u8,
  codeSize: u32le,
  initializedDataSize: u32le,
  uninitializedDataSize: u32le,
  entryPoint: u32le,
  codeBase: u32le,
  imageBase: u64le,
  sectionAlignment: u32le,
  fileAlignment: u32le,
  versions: bytes(16),
  imageSize: u32le,
  headersSize: u32le,
  checkSum: u32le,
  subsystem: u16le,
  dllCharacteristics: bits(2, { low: 8, nxCompatible: flag, high: 7 }),
  stackAndHeap: bytes(32),
  loaderFlags: u32le,
  directoryCount: u32le,
});

/** One data directory; the certificate table's `offset` is one into the file. */
export const dataDirectory = layout("PE data directory", 8, { offset: u32le, size: u32le });

/** Number of the certificate table among the data directories. */
export const certificateDirectory = 4;

/** One line of the section table. */
export const sectionHeader = layout("PE section header", 40, {
  name: ascii(8, "\0"),
  virtualSize: u32le,
  virtualAddress: u32le,
  rawSize: u32le,
  rawOffset: u32le,
  relocations: bytes(12),
  characteristics: bits(4, {
    reserved0: 5,
    code: flag,
    initializedData: flag,
    others7: 22,
    execute: flag,
    read: flag,
    write: flag,
  }),
});

/** The fixed words. */
export const peMarks = { dos: "MZ", pe: "PE", pe32Plus: 0x20b } as const;
