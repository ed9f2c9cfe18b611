import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  elfHeader,
  elfSection,
  elfSymbol,
  isElfFault,
  readElfSections,
  readSymbols,
} from "./elf.ts";
import { elfObject, symbolTables } from "./testing/fixture.ts";

const text = (bytes: Uint8Array | undefined) => Buffer.from(bytes ?? []).toString("latin1");
const object = elfObject({ ".modinfo": Buffer.from("a=b\0"), ".text": Uint8Array.of(1, 2) });

// Fields in the order of <elf.h>, each value another one.
const vectors = [
  {
    name: "Elf64_Ehdr",
    layout: elfHeader,
    value: {
      magic: Uint8Array.of(0x7f, 0x45, 0x4c, 0x46),
      class: 2,
      encoding: 1,
      identVersion: 1,
      osAbi: 0,
      type: 1,
      machine: 62,
      version: 1,
      entry: 0n,
      programOffset: 0n,
      sectionOffset: 0x1234n,
      flags: 0,
      headerSize: 64,
      programSize: 0,
      programCount: 0,
      sectionSize: 64,
      sectionCount: 42,
      nameSection: 41,
    },
    hex:
      "7f454c46020101000000000000000000" +
      "01003e0001000000000000000000000000000000000000003412000000000000" +
      "0000000040000000000040002a002900",
  },
  {
    name: "Elf64_Shdr",
    layout: elfSection,
    value: {
      name: 0x1b,
      type: 1,
      flags: 2n,
      address: 3n,
      offset: 0x40n,
      size: 0x99n,
      link: 4,
      info: 5,
      alignment: 8n,
      entrySize: 24n,
    },
    hex:
      "1b00000001000000020000000000000003000000000000004000000000000000" +
      "9900000000000000040000000500000008000000000000001800000000000000",
  },
  {
    name: "Elf64_Sym",
    layout: elfSymbol,
    value: {
      name: 0x102,
      info: { type: 2, binding: 1 },
      other: 0,
      section: 0xfff1,
      value: 0xdeadn,
      size: 6n,
    },
    hex: "020100001200f1ffadde0000000000000600000000000000",
  },
] as const;

test("the ELF layouts write and read the bytes of <elf.h>", () => {
  const [header, section, symbol] = vectors;
  assert.equal(Buffer.from(header.layout.encode(header.value)).toString("hex"), header.hex);
  assert.deepEqual(header.layout.decode(Buffer.from(header.hex, "hex")), header.value);
  assert.equal(Buffer.from(section.layout.encode(section.value)).toString("hex"), section.hex);
  assert.deepEqual(section.layout.decode(Buffer.from(section.hex, "hex")), section.value);
  assert.equal(Buffer.from(symbol.layout.encode(symbol.value)).toString("hex"), symbol.hex);
  assert.deepEqual(symbol.layout.decode(Buffer.from(symbol.hex, "hex")), symbol.value);
});

test("readElfSections gives each section's bytes by name", () => {
  const sections = readElfSections(object);
  assert.ok(!isElfFault(sections));
  assert.equal(text(sections.get(".modinfo")), "a=b\0");
  assert.deepEqual([...(sections.get(".text") ?? [])], [1, 2]);
});

function patched(at: number, ...bytes: number[]): Uint8Array {
  const copy = object.slice();
  copy.set(bytes, at);
  return copy;
}

const firstSection = object.length - 4 * elfSection.size;
const malformed = [
  { name: "empty", file: new Uint8Array(), reason: "not-elf64-le" },
  { name: "no magic", file: patched(0, 0), reason: "not-elf64-le" },
  { name: "32 bits", file: patched(4, 1), reason: "not-elf64-le" },
  { name: "big-endian", file: patched(5, 2), reason: "not-elf64-le" },
  { name: "cut", file: object.subarray(0, -1), reason: "sections-out-of-bounds" },
  {
    name: "other section size",
    file: patched(elfHeader.offsets.sectionSize!, 40),
    reason: "sections-out-of-bounds",
  },
  {
    name: "section beyond the end",
    file: patched(firstSection + elfSection.size + elfSection.offsets.offset!, 0xff, 0xff),
    reason: "sections-out-of-bounds",
  },
  {
    name: "no section of names",
    file: patched(elfHeader.offsets.nameSection!, 99),
    reason: "name-out-of-bounds",
  },
  {
    name: "name beyond its table",
    file: patched(firstSection + elfSection.size, 0xff, 0xff),
    reason: "name-out-of-bounds",
  },
];

test("readElfSections says what is wrong with a file", () => {
  for (const { name, file, reason } of malformed) {
    const result = readElfSections(file);
    assert.ok(isElfFault(result), name);
    assert.equal(result.reason, reason, name);
  }
});

test("readSymbols tells exports by their checksums, and what is undefined", () => {
  const tables = symbolTables([
    { name: "local", section: 1 },
    { name: "kmalloc", section: 0 },
    { name: "__crc_nvmet_req_init", section: 0xfff1 },
    { name: "nvmet_req_init", section: 1 },
    { name: "tcp_sock", section: 0 },
  ]);
  assert.deepEqual(readSymbols(new Map(Object.entries(tables))), {
    exports: ["nvmet_req_init"],
    imports: ["kmalloc", "tcp_sock"],
  });
  assert.deepEqual(readSymbols(new Map()), { exports: [], imports: [] });
});

test("readSymbols tells exports by their entries where a kernel has no checksums", () => {
  const symbols = [
    { name: "__ksymtab_nvmf_reg_read32", section: 1 },
    { name: "__kstrtab_nvmf_reg_read32", section: 31 },
    { name: "nvmf_reg_read32", section: 1 },
    { name: "kmalloc", section: 0 },
  ];
  const read = (more: typeof symbols) => {
    const tables = symbolTables([...symbols, ...more]);
    return readSymbols(new Map(Object.entries(tables)));
  };
  assert.deepEqual(read([]), { exports: ["nvmf_reg_read32"], imports: ["kmalloc"] });
  const checked = { name: "__crc_other", section: 0xfff1 };
  assert.deepEqual(read([checked]), { exports: ["other"], imports: ["kmalloc"] });
});

test("readSymbols refuses a name that does not end within its table", () => {
  const tables = new Map(Object.entries(symbolTables([{ name: "kmalloc", section: 0 }])));
  tables.set(".strtab", tables.get(".strtab")!.subarray(0, -1));
  assert.deepEqual(readSymbols(tables), { reason: "symbols", offset: elfSymbol.size });
});

test("readSymbols reads what the declared layout of a symbol says", () => {
  const name = fc.constantFrom("a", "bb", "__crc_a", "__crc_", "__cr", "__ksymtab_b", "");
  const symbol = fc.record({ name, section: fc.constantFrom(0, 1, 0xfff1) });
  fc.assert(
    fc.property(fc.array(symbol, { maxLength: 12 }), (symbols) => {
      const tables = symbolTables(symbols);
      const table = tables[".symtab"]!;
      const exports: string[] = [];
      const entries: string[] = [];
      const imports: string[] = [];
      for (let at = elfSymbol.size; at < table.length; at += elfSymbol.size) {
        const decoded = elfSymbol.decode(table, at);
        const called = text(tables[".strtab"]!.subarray(decoded.name)).split("\0")[0]!;
        if (called.startsWith("__crc_")) exports.push(called.slice(6));
        else if (decoded.section === 0 && called !== "") imports.push(called);
        else if (called.startsWith("__ksymtab_")) entries.push(called.slice(10));
      }
      const told = exports.length > 0 ? exports : entries;
      assert.deepEqual(readSymbols(new Map(Object.entries(tables))), { exports: told, imports });
    }),
    { seed: 20261123, numRuns: 200 },
  );
});

test("readElfSections and readSymbols end with a value on any bytes", () => {
  const change = fc.record({ at: fc.nat(object.length - 1), byte: fc.nat(255) });
  fc.assert(
    fc.property(fc.array(change, { maxLength: 8 }), fc.nat(object.length), (changes, length) => {
      const file = object.slice(0, length);
      for (const { at, byte } of changes) if (at < length) file[at] = byte;
      const sections = readElfSections(file);
      if (!isElfFault(sections)) readSymbols(sections);
    }),
    { seed: 20261123, numRuns: 2000 },
  );
});
