import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { test } from "node:test";
import { inspect } from "node:util";
import fc from "fast-check";
import { DhchapSecret } from "../index.ts";

const secretOf = (length: number) => Uint8Array.from({ length }, (_, index) => index);

test("DhchapSecret reads what it writes, for every hash and length", () => {
  const cases = [
    { hash: "none", length: 32 },
    { hash: "none", length: 48 },
    { hash: "none", length: 64 },
    { hash: "sha256", length: 32 },
    { hash: "sha384", length: 48 },
    { hash: "sha512", length: 64 },
  ] as const;
  for (const { hash, length } of cases) {
    const text = new DhchapSecret(secretOf(length), hash).reveal();
    const parsed = DhchapSecret.parse(`${text}\n`);
    assert.ok(parsed.ok);
    assert.deepEqual([parsed.secret.hash, parsed.secret.reveal()], [hash, text]);
  }
});

test("DhchapSecret agrees with nvme-cli 2.3", () => {
  // `nvme check-dhchap-key` finds this one valid.
  const plain = DhchapSecret.parse("DHHC-1:00:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh+KfiaR:");
  assert.ok(plain.ok);
  assert.deepEqual(plain.secret.keyFor("any"), secretOf(32));
  // `nvme gen-dhchap-key --secret=00..1f --hmac=1 --nqn=nqn.a` writes the transformed key.
  const secret = new DhchapSecret(secretOf(32), "sha256");
  const transformed = new DhchapSecret(secret.keyFor("nqn.a"), "sha256");
  const text = "DHHC-1:01:yrZ9zCRyeyOwPFW5EnuuKqsVOW5PdVm1nZthjeO6TlBg8BiG:";
  assert.equal(transformed.reveal(), text);
});

test("keyFor transforms by the hash and the name, or not at all", () => {
  const plain = new DhchapSecret(secretOf(32));
  assert.deepEqual(plain.keyFor("nqn.a"), secretOf(32));
  const secret = new DhchapSecret(secretOf(48), "sha384");
  const wanted = createHmac("sha384", secretOf(48)).update("nqn.aNVMe-over-Fabrics").digest();
  assert.deepEqual(secret.keyFor("nqn.a"), wanted);
});

const good = new DhchapSecret(secretOf(32), "sha256").reveal();
const malformed = [
  { name: "a TLS key", text: good.replace("DHHC-1", "NVMeTLSkey-1"), fault: "prefix" },
  { name: "no last colon", text: good.slice(0, -1), fault: "form" },
  { name: "hash 4", text: good.replace(":01:", ":04:"), fault: "hash" },
  { name: "one digit", text: good.replace(":01:", ":1:"), fault: "hash" },
  { name: "not Base64", text: good.replace("AAEC", "A-EC"), fault: "base64" },
  { name: "changed", text: good.replace("AAEC", "AAED"), fault: "crc" },
  { name: "32 bytes for SHA-512", text: good.replace(":01:", ":03:"), fault: "length" },
];

test("DhchapSecret.parse names what is wrong", () => {
  for (const { name, text, fault } of malformed) {
    const parsed = DhchapSecret.parse(text);
    assert.equal(parsed.ok ? "taken" : parsed.fault, fault, name);
  }
});

test("DhchapSecret.parse takes any text without throwing, and only what it would write", () => {
  const property = fc.property(fc.nat(good.length - 1), fc.string({ maxLength: 3 }), (at, put) => {
    const text = good.slice(0, at) + put + good.slice(at + put.length);
    const parsed = DhchapSecret.parse(text);
    if (parsed.ok) assert.equal(parsed.secret.reveal(), text.trim());
  });
  fc.assert(property, { seed: 20261123, numRuns: 2000 });
});

test("DhchapSecret does not show in logs, and throws for keys of another length", () => {
  const secret = new DhchapSecret(secretOf(32));
  const shown = inspect(secret, { depth: 9, showHidden: true }) + JSON.stringify(secret);
  assert.doesNotMatch(shown, /00 01 02|"0":0|AAEC|Uint8Array/);
  assert.throws(() => new DhchapSecret(secretOf(33)), /cannot have 33 bytes/);
  assert.throws(() => new DhchapSecret(secretOf(32), "sha512"), /cannot have 32 bytes/);
});
