/** Small kernels for tests: modules as ELF objects, made by the layouts that the reader uses. */

import type { Entry } from "../../entry.ts";
import { elfHeader, elfSection, elfSymbol } from "../elf.ts";
import { type KernelFiles, readKernelFiles } from "../modules.ts";

/** What a test module says of itself. */
export interface FixtureModule {
  /** Below `kernel/`, without suffix: `drivers/nvme/host/nvme-core`. */
  readonly path: string;
  /** Records of `.modinfo`. */
  readonly info?: readonly string[];
  readonly exports?: readonly string[];
  readonly imports?: readonly string[];
}

/** A symbol of a test object; `section` 0 is undefined. */
export interface FixtureSymbol {
  readonly name: string;
  readonly section: number;
}

/** Release of the test kernels. */
export const fixtureRelease = "6.12.1-test";

/** A regular file owned by root. */
export function fileEntry(path: string, data: Uint8Array | string): Entry & { type: "file" } {
  const bytes = typeof data === "string" ? Buffer.from(data, "latin1") : data;
  return { type: "file", path, mode: 0o644, uid: 0, gid: 0, mtimeSeconds: 7, data: bytes };
}

/** A symbolic link owned by root. */
export function linkEntry(path: string, target: string): Entry & { type: "symlink" } {
  return { type: "symlink", path, mode: 0o777, uid: 0, gid: 0, mtimeSeconds: 7, target };
}

/** A string table and the offset of each text in it; it starts with an empty one. */
function stringTable(texts: readonly string[]): { data: Uint8Array; offsets: number[] } {
  let length = 1;
  const offsets = texts.map((text) => {
    const at = length;
    length += text.length + 1;
    return at;
  });
  return { data: Buffer.from(`\0${texts.map((text) => `${text}\0`).join("")}`, "latin1"), offsets };
}

/** `.symtab` and `.strtab` for symbols; the first, null symbol is added. */
export function symbolTables(symbols: readonly FixtureSymbol[]): Record<string, Uint8Array> {
  const { data, offsets } = stringTable(symbols.map(({ name }) => name));
  const none = {
    name: 0,
    info: { type: 0, binding: 0 },
    other: 0,
    section: 0,
    value: 0n,
    size: 0n,
  };
  const entries = symbols.map(({ section }, i) => ({
    ...none,
    name: offsets[i]!,
    info: { type: 0, binding: 1 },
    section,
  }));
  const encoded = [none, ...entries].map((symbol) => elfSymbol.encode(symbol));
  return { ".symtab": Buffer.concat(encoded), ".strtab": data };
}

/** A relocatable object with these sections. */
export function elfObject(sections: Readonly<Record<string, Uint8Array>>): Uint8Array {
  const names = ["", ...Object.keys(sections), ".shstrtab"];
  const table = stringTable(names.slice(1));
  const bodies = [new Uint8Array(), ...Object.values(sections), table.data];
  let offset = elfHeader.size;
  const headers = bodies.map((data, i) => {
    const header = elfSection.encode({
      name: i === 0 ? 0 : table.offsets[i - 1]!,
      type: i === 0 ? 0 : 1,
      flags: 0n,
      address: 0n,
      offset: BigInt(offset),
      size: BigInt(data.length),
      link: 0,
      info: 0,
      alignment: 1n,
      entrySize: 0n,
    });
    offset += data.length;
    return header;
  });
  const header = elfHeader.encode({
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
    sectionOffset: BigInt(offset),
    flags: 0,
    headerSize: elfHeader.size,
    programSize: 0,
    programCount: 0,
    sectionSize: elfSection.size,
    sectionCount: names.length,
    nameSection: names.length - 1,
  });
  return new Uint8Array(Buffer.concat([header, ...bodies, ...headers]));
}

/** The object of a test module, uncompressed. */
export function moduleObject({ info = [], exports = [], imports = [] }: FixtureModule): Uint8Array {
  const symbols = [
    ...exports.flatMap((name) => [
      { name, section: 1 },
      { name: `__crc_${name}`, section: 0xfff1 },
    ]),
    ...imports.map((name) => ({ name, section: 0 })),
  ];
  return elfObject({
    ".modinfo": Buffer.from(info.map((record) => `${record}\0`).join(""), "latin1"),
    ...symbolTables(symbols),
  });
}

/** The entries of a kernel package; `modules.order` names the modules in the order given. */
export function kernelEntries(
  modules: readonly FixtureModule[],
  builtin: { readonly list?: string; readonly modinfo?: string } = {},
): Entry[] {
  const folder = `usr/lib/modules/${fixtureRelease}`;
  return [
    fileEntry(`boot/vmlinuz-${fixtureRelease}`, "MZ kernel"),
    fileEntry(`${folder}/modules.order`, modules.map(({ path }) => `kernel/${path}.ko\n`).join("")),
    fileEntry(`${folder}/modules.builtin`, builtin.list ?? ""),
    fileEntry(`${folder}/modules.builtin.modinfo`, builtin.modinfo ?? ""),
    ...modules.map((module) =>
      fileEntry(`${folder}/kernel/${module.path}.ko`, moduleObject(module)),
    ),
  ];
}

/** The same, read. */
export function kernelOf(modules: readonly FixtureModule[], builtinList = ""): KernelFiles {
  return readKernelFiles(kernelEntries(modules, { list: builtinList }));
}
