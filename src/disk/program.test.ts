/** Which bytes of an EFI program are what, whatever its bytes are. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { optionalHeader, peHeader } from "./pe-layout.ts";
import { bootSections, decodeProgram, type EfiProgram } from "./program.ts";
import { sampleProgram } from "./testing/program-sample.ts";

const text = (value: string) => new TextEncoder().encode(value);
const fuzz = { seed: 20261123, numRuns: 300 };

function programOf(file: Uint8Array): EfiProgram {
  const program = decodeProgram(file, file.byteLength);
  assert("sections" in program, JSON.stringify(program));
  return program;
}

/** What the file holds in a section. */
function contentOf(file: Uint8Array, name: string): string {
  const section = bootSections(programOf(file)).get(name);
  assert(section, name);
  const { offsetBytes, lengthBytes } = section;
  return new TextDecoder().decode(file.subarray(offsetBytes, offsetBytes + lengthBytes));
}

test("decodeProgram finds machine and sections, without what aligns them", () => {
  const file = sampleProgram({
    sections: [
      [".linux", text("kernel")],
      [".initrd", new Uint8Array(1000)],
      [".empty", new Uint8Array()],
    ],
  });
  assert.deepEqual(programOf(file), {
    machine: 0x8664,
    sections: [
      { name: ".linux", offsetBytes: 0x600, lengthBytes: 6 },
      { name: ".initrd", offsetBytes: 0x800, lengthBytes: 1000 },
      { name: ".empty", offsetBytes: 0xc00, lengthBytes: 0 },
    ],
  });
});

const two = [
  [".cmdline", text("one")],
  [".cmdline", text("two")],
] as const;
const profile = (name: string) => [".profile", text(`ID=${name}\n`)] as const;
const selections: readonly [
  name: string,
  sections: Parameters<typeof sampleProgram>[0]["sections"],
  commandLine: string,
][] = [
  ["the first of a name", two, "one"],
  [
    "the base where the first profile has none",
    [two[0], profile("a"), profile("b"), two[1]],
    "one",
  ],
  ["the first profile's over the base's", [two[0], profile("a"), two[1], profile("b")], "two"],
  [
    "the first profile's where the base has none",
    [profile("a"), two[0], profile("b"), two[1]],
    "one",
  ],
];

for (const [name, sections, commandLine] of selections) {
  test(`bootSections takes ${name}`, () => {
    assert.equal(contentOf(sampleProgram({ sections }), ".cmdline"), commandLine);
  });
}

const good = sampleProgram({ sections: [[".linux", text("kernel")]] });
function changed(change: (view: DataView) => void): Uint8Array {
  const file = good.slice();
  change(new DataView(file.buffer));
  return file;
}
const optional = 64 + peHeader.size;
const section = optional + optionalHeader.size + 16 * 8;

const faults: readonly [name: string, file: Uint8Array, reason: RegExp][] = [
  ["nothing", new Uint8Array(), /too short/],
  ["text", text("x".repeat(100)), /does not begin with MZ/],
  ["headers beyond the file", changed((view) => view.setUint32(60, 0x7fff_ffff, true)), /headers/],
  ["another signature", changed((view) => view.setUint8(64, 0x51)), /no PE signature/],
  ["PE32", changed((view) => view.setUint16(optional, 0x10b, true)), /not for 64-bit machines/],
  ["too many directories", changed((view) => view.setUint32(optional + 108, 17, true)), /overlap/],
  ["too many sections", changed((view) => view.setUint16(64 + 6, 0xffff, true)), /section table/],
  [
    "a section beyond the file",
    changed((view) => view.setUint32(section + 20, 0xffff_ff00, true)),
    /ends before its section "\.linux"/,
  ],
];

for (const [name, file, reason] of faults) {
  test(`decodeProgram says why it takes no file with ${name}`, () => {
    const found = decodeProgram(file, file.byteLength);
    assert("reason" in found);
    assert.match(found.reason, reason);
  });
}

test("decodeProgram gives a reason or sections within the file for any bytes", () => {
  const check = (file: Uint8Array): void => {
    const found = decodeProgram(file, file.byteLength);
    if ("reason" in found) {
      assert.match(found.reason, /^[\x20-\x7e]+$/);
      return;
    }
    for (const { offsetBytes, lengthBytes } of bootSections(found).values()) {
      assert(lengthBytes === 0 || offsetBytes + lengthBytes <= file.byteLength);
    }
  };
  fc.assert(fc.property(fc.uint8Array({ maxLength: 600 }), check), fuzz);
  const places = fc.array(fc.tuple(fc.nat(0x1ff), fc.nat(255)), { maxLength: 6 });
  const mutate = (changes: readonly (readonly [number, number])[]) => {
    const file = good.slice();
    for (const [at, value] of changes) file[at] = value;
    check(file);
  };
  fc.assert(fc.property(places, mutate), fuzz);
});
