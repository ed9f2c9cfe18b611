import assert from "node:assert/strict";
import { test } from "node:test";
import { makeSshKey, readPublicKey } from "./ssh-key.ts";

const seed = Uint8Array.from({ length: 32 }, (_, at) => at);

test("makeSshKey gives the same pair for the same bytes, and another for others", () => {
  const { privateKey, publicKey } = makeSshKey(seed, "box");
  assert.deepEqual(makeSshKey(seed, "box"), { privateKey, publicKey });
  assert.notEqual(makeSshKey(seed.toReversed(), "box").publicKey, publicKey);
  // RFC 8032's key of the secret 00 01 02 ... 1f.
  const bare = Buffer.from(publicKey.split(" ")[1]!, "base64").subarray(-32).toString("hex");
  assert.equal(bare, "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8");
});

test("readPublicKey finds the public key in the private one", () => {
  const { privateKey, publicKey } = makeSshKey(seed, "box");
  assert.equal(`${readPublicKey(privateKey)} box`, publicKey);
});

test("readPublicKey gives null for what is no private key", () => {
  const { privateKey, publicKey } = makeSshKey(seed, "box");
  const [first, , ...rest] = privateKey.split("\n");
  const cut = [first, ...rest].join("\n");
  for (const wrong of ["", publicKey, privateKey.slice(1), cut, `${first}\n${rest.at(-2)}`]) {
    assert.equal(readPublicKey(wrong), null, wrong);
  }
});
