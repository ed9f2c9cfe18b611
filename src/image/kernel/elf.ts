/**
 * Sections of a kernel module, and the symbols that it exports or needs.
 * ELF-64 Object File Format 1.5 (Draft 2), as in <elf.h>: little-endian, relocatable objects.
 */

import {
  bits,
  bytes,
  layout,
  reserved,
  u8,
  u16le,
  u32le,
  u64le,
  viewOf,
} from "../../bytes/index.ts";

/** `Elf64_Ehdr`. */
export const elfHeader = layout("Elf64_Ehdr", 64, {
  magic: bytes(4),
  class: u8,
  encoding: u8,
  identVersion: u8,
  osAbi: u8,
  identPadding: reserved(8),
  type: u16le,
  machine: u16le,
  version: u32le,
  entry: u64le,
  programOffset: u64le,
  sectionOffset: u64le,
  flags: u32le,
  headerSize: u16le,
  programSize: u16le,
  programCount: u16le,
  sectionSize: u16le,
  sectionCount: u16le,
  nameSection: u16le,
});

/** `Elf64_Shdr`. */
export const elfSection = layout("Elf64_Shdr", 64, {
  name: u32le,
  type: u32le,
  flags: u64le,
  address: u64le,
  offset: u64le,
  size: u64le,
  link: u32le,
  info: u32le,
  alignment: u64le,
  entrySize: u64le,
});

/** `Elf64_Sym`. */
export const elfSymbol = layout("Elf64_Sym", 24, {
  name: u32le,
  info: bits(1, { type: 4, binding: 4 }),
  other: u8,
  section: u16le,
  value: u64le,
  size: u64le,
});

/** What is wrong with a file that should be a 64-bit little-endian ELF object. */
export interface ElfFault {
  readonly reason: "not-elf64-le" | "sections-out-of-bounds" | "name-out-of-bounds" | "symbols";
  readonly offset: number;
}

/** The sections of an object by name; the first one wins where a name comes twice. */
export type ElfSections = ReadonlyMap<string, Uint8Array>;

const magic = [0x7f, 0x45, 0x4c, 0x46];
const sectionWithoutBytes = 8; // SHT_NOBITS

/** The sections as views of `file`, or what is wrong with it. */
export function readElfSections(file: Uint8Array): ElfSections | ElfFault {
  if (file.length < elfHeader.size) return { reason: "not-elf64-le", offset: 0 };
  const header = elfHeader.decode(file);
  const known = magic.every((byte, i) => header.magic[i] === byte);
  if (!known || header.class !== 2 || header.encoding !== 1) {
    return { reason: "not-elf64-le", offset: 0 };
  }
  const start = Number(header.sectionOffset);
  if (
    header.sectionSize !== elfSection.size ||
    start + header.sectionCount * elfSection.size > file.length
  ) {
    return { reason: "sections-out-of-bounds", offset: elfHeader.offsets.sectionOffset! };
  }
  const found: { name: number; at: number; data: Uint8Array }[] = [];
  for (let i = 0; i < header.sectionCount; i++) {
    const at = start + i * elfSection.size;
    const { name, type, offset, size } = elfSection.decode(file, at);
    if (type === sectionWithoutBytes) continue;
    const from = Number(offset);
    const to = from + Number(size);
    if (to > file.length) return { reason: "sections-out-of-bounds", offset: at };
    found.push({ name, at, data: file.subarray(from, to) });
  }
  const nameTableAt = start + header.nameSection * elfSection.size;
  const nameTable = found.find(({ at }) => at === nameTableAt)?.data;
  if (!nameTable) return { reason: "name-out-of-bounds", offset: nameTableAt };
  const names = asText(nameTable);
  const sections = new Map<string, Uint8Array>();
  for (const { name, at, data } of found) {
    const text = textAt(names, name);
    if (text === undefined) return { reason: "name-out-of-bounds", offset: at };
    if (!sections.has(text)) sections.set(text, data);
  }
  return sections;
}

/** The names through which modules hang together, each in the order of the symbol table. */
export interface ModuleSymbols {
  readonly exports: readonly string[];
  /** Undefined symbols: what the kernel or other modules must export. */
  readonly imports: readonly string[];
}

/** Prefix of the symbols that carry the checksums of exported ones. */
const checksumPrefix = "__crc_";
/** Prefix of the entries of exported symbols in the table of them. */
const entryPrefix = "__ksymtab_";

/**
 * What the object exports and needs. Exports are known by their `__crc_*` symbols, which a kernel
 * with CONFIG_MODVERSIONS has for each of them, or else by their entries, `__ksymtab_*`: Debian's
 * kernels have no checksums since Linux 7.
 */
export function readSymbols(sections: ElfSections): ModuleSymbols | ElfFault {
  const symbols = sections.get(".symtab") ?? new Uint8Array();
  const strings = asText(sections.get(".strtab") ?? new Uint8Array());
  // By hand: the modules of a kernel have a million symbols; the test holds it against elfSymbol.
  const view = viewOf(symbols);
  const sectionAt = elfSymbol.offsets.section!;
  const exports: string[] = [];
  const entries: string[] = [];
  const imports: string[] = [];
  for (let at = elfSymbol.size; at + elfSymbol.size <= symbols.length; at += elfSymbol.size) {
    const name = view.getUint32(at, true);
    const undefinedHere = view.getUint16(at + sectionAt, true) === 0;
    const exported = strings.startsWith(checksumPrefix, name);
    const isEntry = !undefinedHere && strings.startsWith(entryPrefix, name);
    if (!undefinedHere && !exported && !isEntry) continue;
    const text = textAt(strings, name);
    if (text === undefined) return { reason: "symbols", offset: at };
    if (exported) exports.push(text.slice(checksumPrefix.length));
    else if (isEntry) entries.push(text.slice(entryPrefix.length));
    else if (text !== "") imports.push(text);
  }
  return { exports: exports.length > 0 ? exports : entries, imports };
}

/** True when a reader gave a fault and not a result. */
export function isElfFault(result: object): result is ElfFault {
  return "reason" in result;
}

/** A string table as one text, a byte per character. */
function asText(table: Uint8Array): string {
  return Buffer.from(table.buffer, table.byteOffset, table.length).toString("latin1");
}

/** The NUL-terminated text at `offset`; undefined when it does not end within the table. */
function textAt(table: string, offset: number): string | undefined {
  const end = table.indexOf("\0", offset);
  return end < 0 || offset >= table.length ? undefined : table.slice(offset, end);
}
