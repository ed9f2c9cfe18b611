import assert from "node:assert/strict";
import { test } from "node:test";
import {
  discoveryNqn,
  nqnFault,
  nqnOfUuid,
  uuidBytes,
  uuidOfHash,
  uuidOfName,
  uuidOfNqn,
  uuidOfRandom,
  uuidText,
} from "./index.ts";

const uuid = "f81d4fae-7dec-11d0-a765-00a0c91e6bf6";
const long = `nqn.2014-08.com.example:${"x".repeat(199)}`;

const cases = [
  // The two examples of Base 2.0 §4.5.
  { nqn: "nqn.2014-08.com.example:nvme:nvm-subsystem-sn-d78432", fault: undefined },
  { nqn: `nqn.2014-08.org.nvmexpress:uuid:${uuid}`, fault: undefined },
  { nqn: discoveryNqn, fault: undefined },
  { nqn: "nqn.2023-10.io.systemd:storagetm.0123456789abcdef.nvme0n1", fault: undefined },
  { nqn: long, fault: undefined },
  { nqn: `${long}x`, fault: "too-long" },
  { nqn: "", fault: "empty" },
  { nqn: "iqn.2014-08.com.example:a", fault: "form" },
  { nqn: "nqn.2014-13.com.example:a", fault: "form" },
  { nqn: "nqn.2014-08.com.example:", fault: "form" },
  { nqn: "nqn.2014-08.com.example:a b", fault: "form" },
  { nqn: "nqn.2014-08.org.nvmexpress:uuid:f81d4fae", fault: "uuid" },
];

test("nqnFault names what is wrong with a name", () => {
  for (const { nqn, fault } of cases) assert.equal(nqnFault(nqn), fault, nqn);
});

test("uuidOfNqn is the inverse of nqnOfUuid, in lower case", () => {
  assert.equal(uuidOfNqn(nqnOfUuid(uuid.toUpperCase())), uuid);
  assert.equal(uuidOfNqn("nqn.2014-08.com.example:a"), undefined);
  assert.throws(() => nqnOfUuid("no"), RangeError);
});

test("uuidBytes is the inverse of uuidText, most significant byte first", () => {
  assert.equal(uuidBytes(uuid)[0], 0xf8);
  assert.equal(uuidText(uuidBytes(uuid)), uuid);
  assert.throws(() => uuidBytes("no"), RangeError);
});

test("uuidOfName gives the example of RFC 9562 A.4", () => {
  const dns = "6ba7b810-9dad-11d1-80b4-00c04fd430c8";
  assert.equal(uuidOfName(dns, "www.example.com"), "2ed6657d-e927-568b-95e1-2665a8aea6a2");
});

test("uuidOfHash sets version 8 and the variant, and keeps the rest of the first 16 bytes", () => {
  const hash = (byte: number) => new Uint8Array(32).fill(byte);
  assert.equal(uuidOfHash(hash(0xff)), "ffffffff-ffff-8fff-bfff-ffffffffffff");
  assert.equal(uuidOfHash(hash(0)), "00000000-0000-8000-8000-000000000000");
});

test("uuidOfRandom sets version 4 and the variant, and keeps the rest", () => {
  const random = (fill: number) => new Uint8Array(16).fill(fill);
  assert.equal(uuidOfRandom(random(0xff)), "ffffffff-ffff-4fff-bfff-ffffffffffff");
  assert.equal(uuidOfRandom(random(0)), "00000000-0000-4000-8000-000000000000");
  assert.throws(() => uuidOfRandom(new Uint8Array(15)), /16 bytes, not 15/);
});
