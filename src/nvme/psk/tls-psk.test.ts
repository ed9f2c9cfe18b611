import assert from "node:assert/strict";
import { test } from "node:test";
import { inspect } from "node:util";
import fc from "fast-check";
import {
  ConfiguredPsk,
  describeInterchangeFault,
  describeNodeTlsFault,
  generatedPsk,
  nodeTlsFault,
  type RetainedPsk,
} from "../index.ts";

// Vectors of libnvme's tests/psk.c.
const key32 = "5512DBB6737D0106F65975B773DFB011FFC344BCF442E2DD6D8BC4870B5D5B03";
const key48 = `${key32}FFC344BCF442E2DD6D8BC4870B5D5B03`;
const parties = { hostnqn: "nqn.psk-test-host", subnqn: "nqn.psk-test-subsys" };
const texts = [
  {
    name: "SHA-256",
    hash: "sha256",
    key: key32,
    text: "NVMeTLSkey-1:01:VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwNf9LrZ:",
    digest: "iSbjiStwJ/1TrTvDlt2fjFmzvsytOJelidNnA+X5lEU=",
  },
  {
    name: "SHA-384",
    hash: "sha384",
    key: key48,
    text: "NVMeTLSkey-1:02:VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwP/w0S89ELi3W2LxIcLXVsDn8kXZQ==:",
    digest: "QhW2+Rp6RzHlNtCslyRxMnwJ11tKKhz8JCAQpQ+XUD8f9td1VeH5h53yz2wKJG1a",
  },
] as const;

function parsed(text: string): ConfiguredPsk {
  const result = ConfiguredPsk.parse(text);
  assert.ok(result.ok, result.ok ? "" : result.fault);
  return result.psk;
}

test("ConfiguredPsk reads and writes libnvme's keys, and identities carry libnvme's digests", () => {
  for (const { name, hash, key, text, digest } of texts) {
    assert.equal(new ConfiguredPsk(Buffer.from(key, "hex"), hash).reveal(), text, name);
    assert.equal(parsed(` ${text}\n`).reveal(), text, name);
    const retained = parsed(text).retain(parties.hostnqn);
    assert.equal(retained.digest(parties), digest, name);
    const { identity } = retained.tlsPsk(parties);
    const id = hash === "sha256" ? "01" : "02";
    assert.equal(identity, `NVMe1R${id} nqn.psk-test-host nqn.psk-test-subsys ${digest}`);
    const old = retained.tlsPsk(parties, 0);
    assert.equal(old.identity, `NVMe0R${id} nqn.psk-test-host nqn.psk-test-subsys`);
    assert.equal(old.key.length, hash === "sha256" ? 32 : 48);
    assert.notDeepEqual(old.key, retained.tlsPsk(parties, 1).key);
  }
});

test("ConfiguredPsk derives what libnvme derived until 2025, where that is asked for", () => {
  // The digest that its tests had then, and have now for the variants called "compat".
  const digest = "66GuqV08TsAGII39teWUfwQwizjv06Jy8jOcX3NAAzM=";
  const [{ text: sha256 }] = texts;
  const retained = parsed(sha256).retain(parties.hostnqn, "early-libnvme");
  assert.equal(retained.digest(parties), digest);
  for (const { text } of texts) {
    const early = parsed(text).retain(parties.hostnqn, "early-libnvme");
    for (const version of [0, 1] as const) {
      const { identity, key } = early.tlsPsk(parties, version);
      const standard = parsed(text).retain(parties.hostnqn).tlsPsk(parties, version);
      assert.equal(key.length, standard.key.length);
      assert.notDeepEqual(key, standard.key);
      assert.equal(identity === standard.identity, version === 0);
    }
  }
});

test("ConfiguredPsk takes the key of SPDK's documentation", () => {
  const psk = parsed("NVMeTLSkey-1:01:MDAxMTIyMzM0NDU1NjY3Nzg4OTlhYWJiY2NkZGVlZmZwJEiQ:");
  const key = Buffer.from("00112233445566778899aabbccddeeff");
  assert.equal(psk.reveal(), new ConfiguredPsk(key, "sha256").reveal());
});

test("a PSK without transformation is retained as it is, its hash told by its length", () => {
  const raw = Buffer.from(key48, "hex");
  const psk = parsed(new ConfiguredPsk(raw).reveal());
  assert.deepEqual([psk.transform, psk.hash], ["none", "sha384"]);
  const [here, there] = [psk.retain("nqn.a"), psk.retain("nqn.b")];
  assert.equal(here.digest(parties), there.digest(parties));
  const transformed = new ConfiguredPsk(raw, "sha384");
  assert.notEqual(
    transformed.retain("nqn.a").digest(parties),
    transformed.retain("nqn.b").digest(parties),
  );
});

// Vectors of the Linux kernel's drivers/nvme/common/tests/auth_kunit.c.
const generated = [
  {
    hash: "sha256",
    length: 32,
    identity: "NVMe1G01 hostnqn subsysnqn OldoKuTfKddMuyCznAZojkWD7P4D9/AtzDzLimtOxqI=",
    key: "3c17da628474a04d2247c4cab47968c915388193f7c071bd9489cc3666cd7cc8",
  },
  {
    hash: "sha384",
    length: 48,
    identity:
      "NVMe1G02 hostnqn subsysnqn " +
      "cffMWk8TSS7HOQebjgYEIkrPrjWPV4JE5cdPB8WhEvY4JBW5YynKyv66XscN4A9n",
    key: undefined,
  },
] as const;

function generate(hash: "sha256" | "sha384", length: number): RetainedPsk {
  const series = (of: (index: number) => number) => Uint8Array.from({ length }, (_, i) => of(i));
  const c2 = series((i) => 255 - i);
  return generatedPsk(
    hash,
    series((i) => 65 + i),
    series((i) => i),
    c2,
  );
}

test("generatedPsk gives the kernel's digests and TLS keys", () => {
  for (const { hash, length, identity, key } of generated) {
    const psk = generate(hash, length).tlsPsk({ hostnqn: "hostnqn", subnqn: "subsysnqn" });
    assert.equal(psk.identity, identity);
    if (key) assert.equal(Buffer.from(psk.key).toString("hex"), key);
  }
});

const good = texts[0].text;
const malformed = [
  { name: "another kind", text: good.replace("NVMeTLSkey-1", "DHHC-1"), fault: "prefix" },
  { name: "nothing", text: "", fault: "prefix" },
  { name: "no colon at the end", text: good.slice(0, -1), fault: "form" },
  { name: "more behind it", text: `${good}01:`, fault: "form" },
  { name: "far too long", text: `NVMeTLSkey-1:01:${"A".repeat(400)}:`, fault: "form" },
  { name: "hash 3", text: good.replace(":01:", ":03:"), fault: "hash" },
  { name: "hash that is no number", text: good.replace(":01:", ":xx:"), fault: "hash" },
  { name: "a character outside Base64", text: good.replace("VRL", "V*L"), fault: "base64" },
  { name: "a character missing", text: good.replace("VRL", "VL"), fault: "base64" },
  { name: "bits behind the end", text: "NVMeTLSkey-1:01:AAAAAAB=:", fault: "base64" },
  { name: "a character changed", text: good.replace("VRL", "VRM"), fault: "crc" },
  { name: "no key", text: "NVMeTLSkey-1:01:AAAAAA==:", fault: "length" },
  { name: "48 bytes for SHA-256", text: texts[1].text.replace(":02:", ":01:"), fault: "length" },
];

test("ConfiguredPsk.parse names what is wrong, without repeating the key", () => {
  for (const { name, text, fault } of malformed) {
    const result = ConfiguredPsk.parse(text);
    assert.equal(result.ok ? "taken" : result.fault, fault, name);
    if (!result.ok) assert.ok(describeInterchangeFault(result.fault).length > 0);
    assert.ok(!inspect(result).includes("VRL"), name);
  }
});

test("ConfiguredPsk.parse takes any text without throwing", () => {
  const alphabet = fc.constantFrom(..."NVMeTLSkey-1:0123AB=+/ \n");
  const text = fc.oneof(
    fc.string(),
    fc.array(alphabet).map((all) => `NVMeTLSkey-1:${all.join("")}`),
  );
  const property = fc.property(text, (any) => {
    const result = ConfiguredPsk.parse(any);
    if (result.ok) assert.equal(result.psk.reveal(), any.trim());
  });
  fc.assert(property, { seed: 20261123, numRuns: 2000 });
});

test("ConfiguredPsk throws for keys of another length", () => {
  assert.throws(() => new ConfiguredPsk(new Uint8Array(31)), /cannot have 31 bytes/);
  assert.throws(() => new ConfiguredPsk(new Uint8Array(32), "sha384"), /cannot have 32 bytes/);
});

test("keys do not show in logs", () => {
  const psk = parsed(good);
  const shown = inspect(psk, { depth: 9, showHidden: true }) + JSON.stringify(psk);
  const retained = psk.retain(parties.hostnqn);
  const all = shown + inspect(retained, { depth: 9, showHidden: true }) + JSON.stringify(retained);
  assert.doesNotMatch(all, /55 12 db|VRLb|"0":85|Uint8Array/i);
});

test("nodeTlsFault tells which PSKs node:tls can use", () => {
  const small = parsed(texts[0].text).retain(parties.hostnqn);
  assert.equal(nodeTlsFault(small.tlsPsk(parties)), undefined);
  const large = parsed(texts[1].text).retain(parties.hostnqn).tlsPsk(parties);
  assert.equal(nodeTlsFault(large), "sha384");
  const long = { hostnqn: `nqn.2026-11.org.example:${"h".repeat(190)}`, subnqn: parties.subnqn };
  assert.equal(nodeTlsFault(small.tlsPsk(long)), "identity-too-long");
  assert.match(describeNodeTlsFault("sha384"), /32 bytes/);
});

test("tlsPsk refuses names that the derivation of version 0 has no room for", () => {
  const long = { hostnqn: "h".repeat(223), subnqn: "s".repeat(223) };
  const psk = parsed(good).retain(long.hostnqn);
  assert.equal(psk.tlsPsk(long, 1).key.length, 32);
  assert.throws(() => psk.tlsPsk(long, 0), /up to 255 characters/);
});
