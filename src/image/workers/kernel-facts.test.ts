import assert from "node:assert/strict";
import { test } from "node:test";
import { type KernelFacts, parseKernelFacts } from "./kernel-facts.ts";

const facts: KernelFacts = {
  release: "6.12.107+deb13-amd64",
  report: {
    modules: [
      {
        name: "tls",
        path: "kernel/net/tls/tls.ko.xz",
        packedBytes: 1,
        reason: { kind: "class", class: "tls", rule: { pattern: "tls", because: "TLS records" } },
      },
      { name: "a", path: "a.ko", packedBytes: 2, reason: { kind: "named", pattern: "a*" } },
      { name: "b", path: "b.ko", packedBytes: 3, reason: { kind: "softdep", of: "a" } },
    ],
    modulePackedBytes: 6,
    moduleRawBytes: 7,
    firmwareBytes: 8,
    firmwareByModule: [{ module: "a", bytes: 8, files: 1 }],
    firmwareMissing: [{ module: "b", name: "b.bin" }],
    unusedFirmwareExclusions: ["c"],
    unmatchedRules: [{ class: "hid", pattern: "d" }],
  },
};

test("parseKernelFacts gives what was written", () => {
  assert.deepEqual(parseKernelFacts(JSON.stringify(facts)), facts);
});

test("parseKernelFacts finds nothing in facts of another form", () => {
  const { report } = facts;
  const others = [
    {},
    { ...facts, release: 6 },
    { ...facts, report: { ...report, modules: [{ name: "a" }] } },
    { ...facts, report: { ...report, unmatchedRules: [{ class: "none", pattern: "d" }] } },
  ];
  for (const text of ["", "null", ...others.map((other) => JSON.stringify(other))]) {
    assert.equal(parseKernelFacts(text), undefined, text);
  }
});
