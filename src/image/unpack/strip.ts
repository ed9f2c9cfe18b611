/**
 * A small `strip`: an ELF file up to the last byte that running it needs, without section headers,
 * symbol table and debug information. Source: ELF-64 Object File Format 1.5, headers.
 */

import { bytes, layout, toNumber, u16le, u32le, u64le } from "../../bytes/index.ts";
import { malformed } from "./malformed.ts";

/** File header of a 64-bit little-endian ELF. */
export const elfHeader = layout("ELF header", 64, {
  magic: bytes(4),
  /** 2: 64 bits. */
  class: bytes(1),
  /** 1: little-endian. */
  data: bytes(1),
  identification: bytes(10),
  type: u16le,
  machine: u16le,
  version: u32le,
  entry: u64le,
  phoff: u64le,
  shoff: u64le,
  flags: u32le,
  ehsize: u16le,
  phentsize: u16le,
  phnum: u16le,
  shentsize: u16le,
  shnum: u16le,
  shstrndx: u16le,
});

/** Program header: a range of the file that is mapped or read at run time. */
export const elfProgramHeader = layout("ELF program header", 56, {
  type: u32le,
  flags: u32le,
  offset: u64le,
  vaddr: u64le,
  paddr: u64le,
  filesz: u64le,
  memsz: u64le,
  align: u64le,
});

const magic = Uint8Array.of(0x7f, 0x45, 0x4c, 0x46);

/**
 * A copy of `file` that ends with the last byte that a program header covers.
 * @param source names the file in messages.
 * @throws ImageError `package` when it is no 64-bit little-endian ELF with program headers.
 */
export function stripElf(file: Uint8Array, source: string): Uint8Array {
  const part = "its ELF header";
  const isElf = file.length >= elfHeader.size && magic.every((byte, i) => file[i] === byte);
  const header = isElf ? elfHeader.decode(file) : undefined;
  if (header?.class[0] !== 2 || header.data[0] !== 1) {
    const found = isElf ? "of another class or byte order" : "missing";
    throw malformed({ source, part, found, wanted: "ELF, 64-bit, little-endian" });
  }
  const { phentsize, phnum } = header;
  const tableEnd = header.phoff + BigInt(phentsize * phnum);
  const tableFits = header.phoff <= BigInt(file.length) && tableEnd <= BigInt(file.length);
  if (phentsize !== elfProgramHeader.size || phnum === 0 || !tableFits) {
    const found = `with ${phnum} program headers of ${phentsize} bytes at ${header.phoff}`;
    throw malformed({ source, part, found, wanted: "followed by program headers in the file" });
  }
  const tableStart = toNumber(header.phoff);
  let end = tableEnd > BigInt(elfHeader.size) ? tableEnd : BigInt(elfHeader.size);
  for (let i = 0; i < phnum; i++) {
    const range = elfProgramHeader.decode(file, tableStart + i * elfProgramHeader.size);
    const rangeEnd = range.offset + range.filesz;
    if (range.filesz > 0n && rangeEnd > end) end = rangeEnd;
  }
  if (end > BigInt(file.length)) {
    const found = `of ranges up to ${end}, but the file has ${file.length} bytes`;
    throw malformed({ source, part, found, wanted: "within the file" });
  }
  const stripped = new Uint8Array(file.subarray(0, toNumber(end)));
  elfHeader.encodeInto({ ...header, shoff: 0n, shentsize: 0, shnum: 0, shstrndx: 0 }, stripped);
  return stripped;
}
