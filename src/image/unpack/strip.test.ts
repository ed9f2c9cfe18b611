import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { nodeLicensePath, treeOfNodePackage } from "./node-binary.ts";
import { elfHeader, elfProgramHeader, stripElf } from "./strip.ts";
import { joined, tarArchive, utf8 } from "./testing/fixture.ts";

/** A 64-bit little-endian ELF of two ranges up to 0x100, with sections after it. */
const header = {
  magic: Uint8Array.of(0x7f, 0x45, 0x4c, 0x46),
  class: Uint8Array.of(2),
  data: Uint8Array.of(1),
  identification: new Uint8Array(10),
  type: 2,
  machine: 62,
  version: 1,
  entry: 0x401000n,
  phoff: 64n,
  shoff: 0x140n,
  flags: 0,
  ehsize: 64,
  phentsize: 56,
  phnum: 2,
  shentsize: 64,
  shnum: 3,
  shstrndx: 2,
};
const range = { type: 1, flags: 5, vaddr: 0n, paddr: 0n, memsz: 0x1000n, align: 4096n };
const ranges = [
  { ...range, offset: 0xc0n, filesz: 0x40n },
  { ...range, offset: 0x1000n, filesz: 0n },
];
const elf = joined(
  elfHeader.encode(header),
  ...ranges.map((item) => elfProgramHeader.encode(item)),
  new Uint8Array(0x200 - 64 - 2 * 56).fill(0xaa),
);

test("stripElf ends the file with its last range and forgets the sections", () => {
  const stripped = stripElf(elf, "x");
  assert.equal(stripped.length, 0x100);
  const noSections = { shoff: 0n, shentsize: 0, shnum: 0, shstrndx: 0 };
  assert.deepEqual(elfHeader.decode(stripped), { ...header, ...noSections });
  assert.deepEqual(stripped.subarray(64), elf.subarray(64, 0x100));
  assert.deepEqual(stripElf(stripped, "x"), stripped);
});

test("stripElf leaves its input as it was, a Buffer too", () => {
  const input = Buffer.from(elf);
  stripElf(input, "x");
  assert.ok(input.equals(elf));
});

test("elfHeader lies as objdump reads it in a known header", () => {
  const hex =
    "7f454c4602010100000000000000000002003e000100000000104000000000004000000000000000" +
    "4001000000000000000000004000380002004000 03000200".replace(" ", "");
  const identification = Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0, 0, 0);
  assert.equal(Buffer.from(elfHeader.encode({ ...header, identification })).toString("hex"), hex);
  assert.deepEqual(elfHeader.decode(Buffer.from(hex, "hex")), { ...header, identification });
});

const altered = (changes: Partial<typeof header>) => {
  const bytes = elf.slice();
  elfHeader.encodeInto({ ...header, ...changes }, bytes);
  return bytes;
};
const malformedTable = [
  { name: "a script", bytes: utf8("#!/bin/sh\n"), message: /its ELF header is missing/ },
  { name: "32 bits", bytes: altered({ class: Uint8Array.of(1) }), message: /of another class/ },
  { name: "no ranges", bytes: altered({ phnum: 0 }), message: /with 0 program headers/ },
  { name: "ranges outside", bytes: altered({ phoff: 2n ** 60n }), message: /56 bytes at 1152/ },
  { name: "a cut file", bytes: elf.subarray(0, 0xf0), message: /up to 256, but the file has 240/ },
];
for (const { name, bytes, message } of malformedTable) {
  test(`stripElf refuses ${name}`, () => {
    assert.throws(() => stripElf(bytes, "x"), { name: "ImageError", code: "package", message });
  });
}

test("stripElf leaves a program that runs: this very Node.js", () => {
  const folder = mkdtempSync(join(tmpdir(), "strip-"));
  try {
    const original = readFileSync(process.execPath);
    const stripped = stripElf(original, "node");
    assert.ok(stripped.length < original.length);
    const path = join(folder, "node");
    writeFileSync(path, stripped, { mode: 0o755 });
    assert.equal(execFileSync(path, ["--version"]).toString().trim(), process.version);
    const program = "console.log(require('zlib').gunzipSync(require('zlib').gzipSync('ok'))+'')";
    assert.equal(execFileSync(path, ["-e", program]).toString(), "ok\n");
  } finally {
    rmSync(folder, { recursive: true });
  }
});

const packageFiles = [
  { name: "package/README.md", data: "read me" },
  { name: "package/LICENSE", data: "MIT" },
  { name: "package/bin/node", data: elf, mode: 0o644, mtime: 500 },
  { name: "package/broken", type: "6" },
];

test("treeOfNodePackage gives the stripped binary, and the licence as captured text", () => {
  const tree = treeOfNodePackage(gzipSync(tarArchive(...packageFiles)), "node.tgz", 1000);
  assert.deepEqual(tree.captured, { [nodeLicensePath]: { text: "MIT" } });
  const owner = { mode: 0o755, uid: 0, gid: 0 };
  assert.deepEqual(tree.entries, [
    { type: "directory", path: "usr", ...owner, mtimeSeconds: 1000 },
    { type: "directory", path: "usr/bin", ...owner, mtimeSeconds: 1000 },
    {
      type: "file",
      path: "usr/bin/node",
      ...owner,
      mtimeSeconds: 500,
      data: stripElf(elf, "node.tgz"),
    },
  ]);
});

test("treeOfNodePackage refuses a package without the binary", () => {
  const tarball = gzipSync(tarArchive(packageFiles[1]!));
  const message = /node\.tgz: the file package\/bin\/node is missing/;
  assert.throws(() => treeOfNodePackage(tarball, "node.tgz", 0), { code: "package", message });
});
