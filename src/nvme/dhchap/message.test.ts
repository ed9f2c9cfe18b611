import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  type DhchapMessage,
  decodeDhchapMessage,
  dhchapMessageBytesMax,
  encodeDhchapMessage,
} from "../index.ts";

const hash = (fill: number) => new Uint8Array(32).fill(fill);
const none = new Uint8Array(0);

// Laid out by hand from the structures nvmf_auth_dhchap_* of the Linux kernel's nvme.h.
const vectors: { name: string; value: DhchapMessage; hex: string }[] = [
  {
    name: "negotiate: three hashes, six groups",
    value: {
      type: "negotiate",
      tid: 0x0102,
      scc: 2,
      hashIds: [1, 2, 3],
      groupIds: [0, 1, 2, 3, 4, 5],
    },
    hex: `000000000201${"0201"}${"01000306"}010203${"00".repeat(27)}000102030405${"00".repeat(24)}`,
  },
  {
    name: "challenge without a group",
    value: {
      type: "challenge",
      tid: 7,
      hashId: 1,
      groupId: 0,
      seqnum: 0x01020304,
      c1: hash(0xc1),
      dhValue: none,
    },
    hex: `010100000700${"2000"}${"0100"}${"0000"}${"04030201"}${"c1".repeat(32)}`,
  },
  {
    name: "challenge with a group (of two bytes, for the eye)",
    value: {
      type: "challenge",
      tid: 7,
      hashId: 1,
      groupId: 1,
      seqnum: 1,
      c1: hash(0xc1),
      dhValue: Uint8Array.of(0xd1, 0xd2),
    },
    hex: `010100000700${"2000"}${"0101"}${"0200"}${"01000000"}${"c1".repeat(32)}d1d2`,
  },
  {
    name: "reply, with a challenge for the controller",
    value: {
      type: "reply",
      tid: 7,
      seqnum: 9,
      r1: hash(0xa1),
      c2: hash(0xc2),
      dhValue: Uint8Array.of(0xd3),
    },
    hex: `010200000700${"2000"}${"0100"}${"0100"}${"09000000"}${"a1".repeat(32)}${"c2".repeat(32)}d3`,
  },
  {
    name: "reply, without",
    value: { type: "reply", tid: 7, seqnum: 0, r1: hash(0xa1), c2: undefined, dhValue: none },
    hex: `010200000700${"2000"}${"0000"}${"0000"}${"00000000"}${"a1".repeat(32)}${"00".repeat(32)}`,
  },
  {
    name: "success1, proving the controller",
    value: { type: "success1", tid: 7, r2: hash(0xa2) },
    hex: `010300000700${"2000"}${"0100"}${"000000000000"}${"a2".repeat(32)}`,
  },
  {
    name: "success1, not proving it",
    value: { type: "success1", tid: 7, r2: undefined },
    hex: `010300000700${"2000"}${"0000"}${"000000000000"}${"00".repeat(32)}`,
  },
  {
    name: "success2",
    value: { type: "success2", tid: 0xffff },
    hex: `01040000ffff${"00".repeat(10)}`,
  },
  {
    name: "failure1",
    value: { type: "failure1", tid: 7, explanation: 1 },
    hex: "00f1000007000101",
  },
  {
    name: "failure2",
    value: { type: "failure2", tid: 7, explanation: 6 },
    hex: "00f0000007000106",
  },
];

test("messages are written and read alike, whatever lies behind them", () => {
  for (const { name, value, hex } of vectors) {
    const raw = encodeDhchapMessage(value, 32);
    assert.equal(Buffer.from(raw).toString("hex"), hex, name);
    const buffer = Buffer.concat([raw, Buffer.alloc(100, 0xee)]);
    assert.deepEqual(decodeDhchapMessage(buffer), { ok: true, message: value }, name);
    assert.ok(raw.length <= dhchapMessageBytesMax);
  }
});

test("decodeDhchapMessage tells a cut message from a whole one at every length", () => {
  for (const { name, hex } of vectors) {
    const raw = Buffer.from(hex, "hex");
    for (let length = 0; length < raw.length; length++) {
      const decoded = decodeDhchapMessage(raw.subarray(0, length));
      // The zeros that stand for a missing R2 may be left out.
      const needed = name === "success1, not proving it" ? 16 : raw.length;
      const want = length >= needed ? "taken" : "incorrectPayload";
      assert.equal(decoded.ok ? "taken" : decoded.failure, want, `${name} cut to ${length}`);
    }
  }
});

const [negotiate] = vectors;
const malformed = [
  { name: "an unknown type", at: 0, byte: 2, failure: "incorrectMessage" },
  { name: "an unknown message", at: 1, byte: 9, failure: "incorrectMessage" },
  { name: "no protocol", at: 7, byte: 0, failure: "protocolNotUsable" },
  { name: "another protocol", at: 8, byte: 2, failure: "protocolNotUsable" },
  { name: "31 hashes", at: 10, byte: 31, failure: "incorrectPayload" },
  { name: "31 groups", at: 11, byte: 31, failure: "incorrectPayload" },
];

test("decodeDhchapMessage answers what cannot be with the right failure", () => {
  for (const { name, at, byte, failure } of malformed) {
    const raw = Buffer.from(negotiate!.hex, "hex");
    raw[at] = byte;
    assert.deepEqual(decodeDhchapMessage(raw), { ok: false, tid: 0x0102, failure }, name);
  }
});

test("decodeDhchapMessage takes any bytes without throwing", () => {
  const start = fc.constantFrom(...vectors.map(({ hex }) => Buffer.from(hex, "hex")));
  const property = fc.property(
    start,
    fc.uint8Array({ maxLength: 24 }),
    fc.nat(16),
    (raw, put, at) => {
      const bytes = Buffer.from(raw);
      for (const [n, byte] of put.entries()) if (at + n < bytes.length) bytes[at + n] = byte;
      const decoded = decodeDhchapMessage(bytes);
      assert.ok(decoded.ok ? decoded.message.type.length > 0 : decoded.failure.length > 0);
    },
  );
  fc.assert(property, { seed: 20261123, numRuns: 3000 });
});
