/** What is started of an image without the firmware, and what speaks against it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  gapAfter,
  isStartedByKexec,
  type KexecFacts,
  kexecObstacle,
  machineFault,
  memoryFault,
  planKexec,
  programName,
} from "./kexec.ts";

const text = (value: string) => new TextEncoder().encode(value);
const fuzz = { seed: 20261123, numRuns: 200 };
const able: KexecFacts = {
  secureBoot: false,
  lockdown: "[none] integrity confidentiality\n",
  loadDisabled: "0\n",
  loaded: "0\n",
  architecture: "x64",
};

test("kexecObstacle finds nothing in the way of a machine that allows it", () => {
  assert.equal(kexecObstacle(able), null);
  assert.equal(kexecObstacle({ ...able, lockdown: null, loadDisabled: null }), null);
});

const obstacles: readonly [changes: Partial<KexecFacts>, text: RegExp][] = [
  [{ secureBoot: true }, /Secure Boot is on/],
  [{ lockdown: "none [integrity] confidentiality\n" }, /locked down \(integrity\)/],
  [{ lockdown: "none integrity [confidentiality]\n" }, /locked down \(confidentiality\)/],
  [{ loadDisabled: "1\n" }, /kexec_load_disabled/],
  [{ loaded: null }, /cannot start another one/],
  [{ architecture: "arm64" }, /of kind arm64/],
];

for (const [changes, words] of obstacles) {
  test(`kexecObstacle names ${JSON.stringify(changes)}`, () => {
    assert.match(kexecObstacle({ ...able, ...changes }) ?? "", words);
  });
}

test("isStartedByKexec knows the loader number of kexec from others", () => {
  const types = ["208", "209\n", "33", "255", null].map(isStartedByKexec);
  assert.deepEqual(types, [true, true, false, false, false]);
});

test("machineFault names the machine that a program is for", () => {
  const of = (machine: number) => machineFault({ machine, sections: [] });
  assert.equal(of(0x8664), null);
  assert.match(of(0xaa64) ?? "", /64-bit ARM, not x86-64/);
  assert.match(of(0x1234) ?? "", /number 1234h/);
});

const setup = { commandLineBytesMax: 2047, initBytes: 60 * 2 ** 20 };
const section = (name: string, lengthBytes: number, offsetBytes = 0) =>
  [name, { name, offsetBytes, lengthBytes }] as const;

test("planKexec puts microcode before the initrd, and counts the gap between them", () => {
  const sections = new Map([
    section(".initrd", 100, 5000),
    section(".linux", 4000, 600),
    section(".ucode", 10, 9000),
  ]);
  const plan = planKexec(sections, setup, text("  root=/dev/sda\tquiet\n\0junk"));
  assert.deepEqual(plan, {
    kernel: sections.get(".linux"),
    initrd: [sections.get(".ucode"), sections.get(".initrd")],
    commandLine: "root=/dev/sda quiet",
    kernelBytes: 4000,
    initrdBytes: 112,
  });
});

test("planKexec needs neither initrd nor command line, and passes over an empty section", () => {
  const sections = new Map([section(".linux", 4000), section(".initrd", 0)]);
  const plan = planKexec(sections, setup, new Uint8Array());
  assert("kernel" in plan);
  assert.deepEqual([plan.initrd, plan.initrdBytes, plan.commandLine], [[], 0, ""]);
});

test("planKexec refuses what has no kernel, and a command line that its kernel does not take", () => {
  const none = planKexec(new Map(), setup, new Uint8Array());
  assert("reason" in none && /no kernel/.test(none.reason));
  const sections = new Map([section(".linux", 4000)]);
  const long = planKexec(sections, setup, text("ä".repeat(1024)));
  assert("reason" in long);
  assert.match(long.reason, /has 2048 bytes, and its kernel takes 2047/);
  assert("kernel" in planKexec(sections, setup, text("x".repeat(2047))));
});

test("planKexec gives a command line without control characters for any bytes", () => {
  const sections = new Map([section(".linux", 4000)]);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      const plan = planKexec(sections, setup, bytes);
      assert("kernel" in plan);
      assert.doesNotMatch(plan.commandLine, /\p{Cc}|^ | $/u);
    }),
    fuzz,
  );
});

test("gapAfter fills words of four bytes", () => {
  assert.deepEqual([0, 1, 2, 3, 4, 9].map(gapAfter), [0, 3, 2, 1, 0, 3]);
});

test("memoryFault counts the kernel as it runs, the initrd three times, and says the numbers", () => {
  const sections = new Map([section(".linux", 10 * 2 ** 20), section(".initrd", 100 * 2 ** 20)]);
  const plan = planKexec(sections, setup, new Uint8Array());
  assert("kernel" in plan);
  const wanted = (2 * 10 + 60 + 3 * 100 + 64) * 2 ** 20;
  assert.equal(memoryFault(plan, setup, wanted), null);
  assert.equal(
    memoryFault(plan, setup, wanted - 1),
    "its kernel has 10 MiB (60 MiB unpacked) and its initrd 100 MiB; to load them takes 444 MiB of " +
      "memory, and the box has 444 MiB free",
  );
});

test("programName is the first component that a program names, and its version", () => {
  const first = "sbat,1,SBAT Version,sbat,1,https://example.org\n";
  const names: readonly [sbat: string, name: string | null][] = [
    [
      `${first}systemd-boot,1,The systemd Developers,systemd,257.13-1,x\n\0`,
      "systemd-boot 257.13-1",
    ],
    [`${first}shim,4,UEFI shim,shim,1,x\nshim.debian,1,Debian,shim,15.8-1,x\n`, "shim 1"],
    [`${first}grub\n`, "grub"],
    [first, null],
    ["", null],
  ];
  for (const [sbat, name] of names) assert.equal(programName(text(sbat)), name);
});

test("programName is printable and short for any bytes", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      const name = programName(bytes);
      assert(name === null || /^[\x20-\x7e]{1,60}$/.test(name), String(name));
    }),
    fuzz,
  );
});
