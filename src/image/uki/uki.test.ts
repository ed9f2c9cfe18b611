import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import { viewOf } from "../../bytes/index.ts";
import {
  dataDirectory,
  dosHeader,
  optionalHeader,
  peHeader,
  sectionHeader,
} from "../../disk/index.ts";
import { ImageError, type ImageErrorCode } from "../error.ts";
import {
  authenticodeHash,
  buildUki,
  inspectPe,
  kernelRelease,
  sectionContent,
  sliceChunks,
  type UkiSections,
} from "./index.ts";
import { mergeSbat } from "./sbat.ts";

const refused = (code: ImageErrorCode, message: RegExp) => (error: unknown) =>
  error instanceof ImageError && error.code === code && message.test(error.message);
const text = (value: string) => new TextEncoder().encode(value);

interface FakePe {
  readonly sections?: readonly { name: string; content: Uint8Array }[];
  readonly nxCompatible?: boolean;
  readonly headersSize?: number;
  readonly certificates?: { offset: number; size: number };
  readonly symbolTableOffset?: number;
  readonly trailer?: Uint8Array;
}

/** A PE32+ file with the measures of systemd's stub, sections of one file block each. */
function fakePe({
  sections = [{ name: ".text", content: text("code") }],
  nxCompatible = true,
  headersSize = 0x600,
  certificates = { offset: 0, size: 0 },
  symbolTableOffset = 0,
  trailer = new Uint8Array(),
}: FakePe = {}): Uint8Array {
  const file = new Uint8Array(headersSize + sections.length * 512 + trailer.byteLength);
  dosHeader.encodeInto({ magic: "MZ", peOffset: 64 }, file);
  const characteristics = {
    relocationsStripped: false,
    executable: true,
    lineNumbersStripped: true,
    localSymbolsStripped: symbolTableOffset === 0,
    others4: 0x022,
  };
  peHeader.encodeInto(
    {
      signature: "PE",
      machine: 0x8664,
      sectionCount: sections.length,
      timeStamp: 0,
      symbolTableOffset,
      symbolCount: symbolTableOffset > 0 ? 3 : 0,
      optionalHeaderSize: 240,
      characteristics,
    },
    file,
    64,
  );
  optionalHeader.encodeInto(
    {
      magic: 0x20b,
      linkerMajor: 2,
      linkerMinor: 44,
      codeSize: 4,
      initializedDataSize: 100,
      uninitializedDataSize: 0,
      entryPoint: 0x1000,
      codeBase: 0x1000,
      imageBase: 0x1_4df9_0000n,
      sectionAlignment: 0x1000,
      fileAlignment: 0x200,
      versions: new Uint8Array(16),
      imageSize: 0x1000 * (sections.length + 1),
      headersSize,
      checkSum: 0xdead,
      subsystem: 10,
      dllCharacteristics: { low: 0x60, nxCompatible, high: 0 },
      stackAndHeap: new Uint8Array(32),
      loaderFlags: 0,
      directoryCount: 16,
    },
    file,
    88,
  );
  dataDirectory.encodeInto(certificates, file, 88 + 112 + 4 * 8);
  for (const [i, { name, content }] of sections.entries()) {
    const code = name === ".text";
    const rawOffset = headersSize + i * 512;
    sectionHeader.encodeInto(
      {
        name,
        virtualSize: content.byteLength,
        virtualAddress: 0x1000 * (i + 1),
        rawSize: 512,
        rawOffset,
        relocations: new Uint8Array(12),
        characteristics: {
          code,
          initializedData: !code,
          others7: 0,
          execute: code,
          read: true,
          write: false,
        },
      },
      file,
      0x148 + i * 40,
    );
    file.set(content, rawOffset);
  }
  file.set(trailer, file.byteLength - trailer.byteLength);
  return file;
}

const versionLine = "sbat,1,SBAT Version,sbat,1,https://github.com/rhboot/shim/blob/main/SBAT.md";
const sbatSection = { name: ".sbat", content: text(`${versionLine}\nsystemd-stub,1,x\n\0`) };
const stub = fakePe({
  sections: [
    { name: ".text", content: text("code") },
    sbatSection,
    { name: ".reloc", content: text("r") },
  ],
});
const kernel = fakePe();
const sections: UkiSections = {
  osrel: "ID=diskomator\n",
  cmdline: "console=ttyS0 quiet",
  uname: "6.12.1-test",
  linux: kernel,
  initrd: [text("first segment"), text("second"), new Uint8Array()],
};
const mergedSbat =
  `${versionLine}\nsystemd-stub,1,x\nuki,1,UKI,uki,1,` +
  "https://uapi-group.org/specifications/specs/unified_kernel_image/\n\0";
const fileOf = (chunks: readonly Uint8Array[]) => Buffer.concat(chunks);

test("buildUki appends the sections, aligned in file and memory, and keeps the stub's", () => {
  const uki = buildUki({ stub, sections });
  const file = fileOf(uki.chunks);
  assert.equal(file.byteLength, uki.sizeBytes);
  const pe = inspectPe("the result", [file]);
  assert.deepEqual(pe.sections, uki.layout.sections);
  assert.deepEqual(
    pe.sections.map(({ name, virtualAddress, virtualSize, rawOffset, rawSize }) =>
      [name, virtualAddress, virtualSize, rawOffset, rawSize].join(" "),
    ),
    [
      ".text 4096 4 1536 512",
      `.sbat 8192 ${mergedSbat.length} 2048 512`,
      ".reloc 12288 1 2560 512",
      ".osrel 16384 14 3072 512",
      ".cmdline 20480 19 3584 512",
      ".uname 24576 11 4096 512",
      `.linux 28672 ${kernel.byteLength} 4608 2048`,
      ".initrd 32768 19 6656 512",
    ],
  );
  assert.equal(pe.optional.imageSize, 36864);
  assert.equal(uki.layout.imageSizeBytes, 36864);
  assert.equal(pe.optional.checkSum, 0);
  assert.equal(pe.optional.initializedDataSize, 100 + 14 + 19 + 11 + kernel.byteLength + 19);
  assert.equal(pe.optional.dllCharacteristics.nxCompatible, true);
  const content = (name: string) =>
    fileOf([sectionContent(pe.sections.find((one) => one.name === name)!, [file])]).toString();
  assert.equal(content(".initrd"), "first segmentsecond");
  assert.equal(content(".cmdline"), sections.cmdline);
  assert.equal(content(".text"), "code");
  assert.equal(content(".sbat"), mergedSbat);
});

test("buildUki passes kernel and initrd on uncopied and leaves the stub as it was", () => {
  const before = stub.slice();
  const { chunks } = buildUki({ stub, sections });
  assert.ok(chunks.includes(kernel));
  assert.ok(chunks.includes(sections.initrd[0]!));
  assert.deepEqual(stub, before);
});

test("buildUki marks .linux as code that is not executable, and all else as read-only data", () => {
  const file = fileOf(buildUki({ stub, sections }).chunks);
  const flags = (index: number) => viewOf(file).getUint32(0x148 + index * 40 + 36, true);
  assert.deepEqual(
    [3, 4, 5, 6, 7].map(flags),
    [0x4000_0040, 0x4000_0040, 0x4000_0040, 0x4000_0020, 0x4000_0040],
  );
});

test("buildUki adds splash and microcode where they are given, before the kernel", () => {
  const more = { ...sections, splash: text("BM"), ucode: text("070701") };
  const { layout } = buildUki({ stub, sections: more });
  assert.deepEqual(
    layout.sections.slice(3).map(({ name }) => name),
    [".osrel", ".cmdline", ".uname", ".splash", ".ucode", ".linux", ".initrd"],
  );
});

test("buildUki takes NX away when the kernel does not have it", () => {
  const { chunks } = buildUki({
    stub,
    sections: { ...sections, linux: fakePe({ nxCompatible: false }) },
  });
  const { optional } = inspectPe("the result", chunks);
  assert.deepEqual(optional.dllCharacteristics, { low: 0x60, nxCompatible: false, high: 0 });
});

test("buildUki merges the kernel's .sbat and drops the stub's symbols", () => {
  const linux = fakePe({
    sections: [{ name: ".sbat", content: text(`${versionLine}\nlinux,1,k\n`) }],
  });
  const withSymbols = fakePe({
    sections: [sbatSection],
    symbolTableOffset: 0x800,
    trailer: new Uint8Array(100),
  });
  const { chunks } = buildUki({
    stub: withSymbols,
    sections: { ...sections, linux, sbat: ["own,1,o"] },
  });
  const pe = inspectPe("the result", chunks);
  assert.equal(
    Buffer.from(sectionContent(pe.sections[0]!, chunks)).toString(),
    `${versionLine}\nsystemd-stub,1,x\nlinux,1,k\nown,1,o\n\0`,
  );
  assert.equal(pe.header.symbolTableOffset, 0);
  assert.equal(pe.header.symbolCount, 0);
  assert.ok(pe.header.characteristics.localSymbolsStripped);
  assert.equal(pe.sections[1]!.rawOffset, 0x800);
});

test("buildUki takes the longest command line that the kernel reads whole", () => {
  buildUki({ stub, sections: { ...sections, cmdline: "x".repeat(2047) } });
});

test("buildUki refuses what would not boot, and says why", () => {
  const build = (ownStub: Uint8Array, change: Partial<UkiSections> = {}) =>
    buildUki({ stub: ownStub, sections: { ...sections, ...change } });
  const many = (count: number) =>
    Array.from({ length: count }, (_, i) => ({ name: `.s${i}`, content: text("x") }));
  const signed = fakePe({ sections: [sbatSection], certificates: { offset: 2048, size: 8 } });
  const cases: readonly (readonly [() => unknown, ImageErrorCode, RegExp])[] = [
    [() => build(signed), "uki", /its stub is signed/],
    [() => build(fakePe()), "uki", /no \.sbat section/],
    [() => build(stub, { sbat: ["x".repeat(512)] }), "uki", /\.sbat would have \d+ bytes/],
    [
      () => build(fakePe({ sections: [sbatSection, ...many(20)] })),
      "uki",
      /5 sections do not fit beside the stub's 21: its headers have room for 30/,
    ],
    [
      () => build(fakePe({ sections: [sbatSection, ...many(1)], headersSize: 0x200 })),
      "uki",
      /5 sections do not fit beside the stub's 2: its headers have room for 4 in all/,
    ],
    [
      () => build(stub, { cmdline: "x".repeat(2048) }),
      "uki",
      /drop the end of a command line of 2048 bytes, and takes 2047/,
    ],
    [() => build(text("no PE")), "uki", /Cannot read the stub/],
    [() => build(stub, { linux: text("no PE") }), "uki", /Cannot read the kernel/],
    [
      () =>
        buildUki({
          stub,
          sections: { osrel: "", cmdline: "", linux: kernel, initrd: [] },
        }),
      "kernel",
      /"HdrS"/,
    ],
  ];
  for (const [call, code, message] of cases) assert.throws(call, refused(code, message));
});

function bzImage(version: string, magic = "HdrS"): Uint8Array {
  const image = new Uint8Array(0x1000);
  image.set(text(magic), 0x202);
  viewOf(image).setUint16(0x20e, 0x300, true);
  image.set(text(version), 0x500);
  return image;
}

test("kernelRelease reads the release out of the bzImage header", () => {
  const debian =
    "6.12.107+deb13-cloud-amd64 (debian-kernel@lists.example.org) #1 SMP PREEMPT_DYNAMIC Debian";
  assert.equal(kernelRelease("k", bzImage(debian)), "6.12.107+deb13-cloud-amd64");
  assert.throws(() => kernelRelease("k", bzImage(debian, "none")), refused("kernel", /HdrS/));
  assert.throws(() => kernelRelease("k", bzImage("nonsense")), refused("kernel", /nonsense/));
  assert.throws(() => kernelRelease("k", new Uint8Array(100)), refused("kernel", /too short/));
});

test("mergeSbat refuses a part that is no SBAT", () => {
  assert.throws(() => mergeSbat([text("component,1\n")], []), refused("uki", /component,1/));
  assert.throws(() => mergeSbat([new Uint8Array(3)], []), refused("uki", /""/));
});

test("authenticodeHash leaves out checksum, certificate entry and certificates only", () => {
  const file = fakePe();
  const signed = new Uint8Array(file.byteLength + 16).fill(7);
  signed.set(fakePe({ certificates: { offset: file.byteLength, size: 16 } }));
  viewOf(signed).setUint32(88 + 64, 0x1234, true);
  const hash = Buffer.from(authenticodeHash("f", [file])).toString("hex");
  assert.equal(Buffer.from(authenticodeHash("f", [signed])).toString("hex"), hash);
  const byHand = createHash("sha256")
    .update(file.subarray(0, 88 + 64))
    .update(file.subarray(88 + 68, 88 + 112 + 32))
    .update(file.subarray(88 + 112 + 40));
  assert.equal(byHand.digest("hex"), hash);
  for (const at of [0x600, 0x7ff, 88 + 56, 88 + 68, 0x5ff]) {
    const changed = file.slice();
    changed[at] = changed[at]! ^ 1;
    assert.notEqual(Buffer.from(authenticodeHash("f", [changed])).toString("hex"), hash);
  }
});

test("authenticodeHash and inspectPe are the same however the file is cut", () => {
  const { chunks } = buildUki({ stub, sections });
  const file = fileOf(chunks);
  const hash = Buffer.from(authenticodeHash("f", [file]));
  fc.assert(
    fc.property(fc.array(fc.nat(file.byteLength), { maxLength: 20 }), (cuts) => {
      const ends = [...cuts, 0, file.byteLength].sort((a, b) => a - b);
      const cut = ends.map((end, i) => file.subarray(ends[i - 1] ?? 0, end));
      assert.ok(hash.equals(authenticodeHash("f", cut)));
      assert.deepEqual(inspectPe("f", cut), inspectPe("f", [file]));
      const [from, to] = [ends[0]!, ends[Math.floor(ends.length / 2)]!];
      assert.deepEqual(fileOf(sliceChunks(cut, from, to)), file.subarray(from, to));
    }),
    { seed: 20261123, numRuns: 50 },
  );
});

const malformed: readonly { name: string; file: () => Uint8Array; message: RegExp }[] = [
  { name: "empty", file: () => new Uint8Array(), message: /before its DOS header/ },
  { name: "ELF", file: () => new Uint8Array(64).fill(0x7f), message: /begins with/ },
  { name: "cut in the headers", file: () => stub.slice(0, 100), message: /before its headers/ },
  { name: "cut in the section table", file: () => stub.slice(0, 360), message: /section table/ },
  { name: "cut in a section", file: () => stub.slice(0, 2600), message: /its section \.reloc/ },
  { name: "no PE signature", file: () => patched(64, 0), message: /no PE signature/ },
  { name: "PE32", file: () => patched(88, 0x0b, 0x01), message: /10bh, not 20bh/ },
  { name: "alignment 0", file: () => patched(88 + 36, 0, 0), message: /aligned to 0 bytes/ },
  { name: "too many directories", file: () => patched(88 + 108, 200), message: /overlap/ },
  { name: "headers of no size", file: () => patched(88 + 60, 0, 0), message: /have 0 bytes/ },
];

function patched(at: number, ...bytes: number[]): Uint8Array {
  const file = stub.slice();
  file.set(bytes, at);
  return file;
}

for (const { name, file, message } of malformed) {
  test(`inspectPe refuses a file: ${name}`, () => {
    assert.throws(() => inspectPe("it", [file()]), refused("uki", message));
  });
}

test("inspectPe and authenticodeHash refuse or read any change to a file", () => {
  const change = fc.tuple(fc.nat(0x1c0), fc.nat(255));
  fc.assert(
    fc.property(fc.array(change, { minLength: 1, maxLength: 6 }), (changes) => {
      const file = stub.slice();
      for (const [at, byte] of changes) file[at] = byte;
      try {
        assert.equal(authenticodeHash("it", [file]).byteLength, 32);
      } catch (error) {
        assert.ok(error instanceof ImageError && error.code === "uki", `${error}`);
      }
    }),
    { seed: 20261123, numRuns: 500 },
  );
});
