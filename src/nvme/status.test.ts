import assert from "node:assert/strict";
import { test } from "node:test";
import {
  decodeStatus,
  describeStatus,
  encodeStatus,
  refusal,
  type StatusName,
  statusCodes,
  statusOf,
} from "./index.ts";

// Values of NVME_SC_* with NVME_STATUS_DNR in the Linux kernel's nvme.h, shifted by the phase bit.
const vectors = [
  { name: "success", value: statusOf("success"), raw: 0x0000 },
  { name: "invalid field, DNR", value: statusOf("invalidField", { dnr: true }), raw: 0x8004 },
  { name: "LBA range", value: statusOf("lbaOutOfRange"), raw: 0x0100 },
  {
    name: "connect: invalid parameters, DNR",
    value: statusOf("connectInvalidParameters", { dnr: true }),
    raw: 0x8304,
  },
  { name: "read error, MORE", value: { ...statusOf("unrecoveredRead"), more: true }, raw: 0x4502 },
  { name: "retry delay 3", value: { ...statusOf("anaTransition"), crd: 3 }, raw: 0x3606 },
];

test("status fields are written and read alike", () => {
  for (const { name, value, raw } of vectors) {
    assert.equal(encodeStatus(value), raw, name);
    assert.deepEqual(decodeStatus(raw), value, name);
  }
});

test("decodeStatus ignores the phase bit", () => {
  assert.deepEqual(decodeStatus(0x8005), decodeStatus(0x8004));
});

test("describeStatus names every code of the table, fabrics codes by their set", () => {
  const fabrics = /^(connect|disconnect|discoverRestart|authentication)/;
  for (const name of Object.keys(statusCodes) as (keyof typeof statusCodes)[]) {
    assert.equal(describeStatus(statusOf(name), fabrics.test(name)).name, name);
  }
  assert.equal(describeStatus({ ...statusOf("success"), sct: 7, sc: 0x42 }).name, "unknown");
});

test("describeStatus takes DNR as the word on retries", () => {
  assert.equal(describeStatus(statusOf("internalError")).retryable, true);
  assert.equal(describeStatus(statusOf("internalError", { dnr: true })).retryable, false);
});

test("refusal sets DNR unless the cause passes by itself", () => {
  const cases: readonly (readonly [StatusName, boolean])[] = [
    ["success", false],
    ["invalidField", true],
    ["invalidOpcode", true],
    ["lbaOutOfRange", true],
    ["namespaceWriteProtected", true],
    ["connectInvalidHost", true],
    ["connectInvalidParameters", true],
    ["compareFailure", true],
    ["reservationConflict", true],
    ["connectControllerBusy", false],
    ["internalError", false],
    ["transientTransport", false],
    ["namespaceNotReady", false],
    ["anaTransition", false],
    ["abortRequested", false],
  ];
  for (const [name, dnr] of cases) assert.equal(refusal(name).dnr, dnr, name);
});

test("every status code stands once in its set", () => {
  const fabrics = /^(connect|disconnect|discoverRestart|authentication)/;
  const keys = (
    Object.entries(statusCodes) as [StatusName, readonly [number, number, string]][]
  ).map(([name, [sct, sc]]) => `${fabrics.test(name)} ${sct} ${sc}`);
  assert.equal(new Set(keys).size, keys.length);
});
