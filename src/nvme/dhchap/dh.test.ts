import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { dhGroupBytes, dhKey, dhPrime, type FfdheGroup } from "./dh.ts";

// SHA-256 of each prime as `openssl genpkey -genparam -pkeyopt group:NAME` writes it.
const primes: readonly { group: FfdheGroup; sha256: string }[] = [
  {
    group: "ffdhe2048",
    sha256: "9cd3b7f336872f46c09428d1bbc19877a4d440512cda8d1c1cf0cd6e33698966",
  },
  {
    group: "ffdhe3072",
    sha256: "0eaf67db3a839156d5013494a5318a772b5697d270d721f37f092efc69ea5a17",
  },
  {
    group: "ffdhe4096",
    sha256: "4648414224ac881b3d0dc59b466f96d06a558278776807797ecf1f66ff397b3e",
  },
  {
    group: "ffdhe6144",
    sha256: "227ac9066b3ddd9e193670cda2388fa884f65ba0cf98b742d1fe77a6687c79c7",
  },
  {
    group: "ffdhe8192",
    sha256: "770b14efaf6f049929c523113b3fa99a8d11dab1b18af3609590122075d19833",
  },
];

test("dhPrime makes the primes of RFC 7919", () => {
  for (const { group, sha256 } of primes) {
    assert.equal(dhPrime(group).length, dhGroupBytes(group));
    assert.equal(createHash("sha256").update(dhPrime(group)).digest("hex"), sha256, group);
  }
});

const exponent = (fill: number) => new Uint8Array(64).fill(fill);

test("both ends of dhKey come to the same secret, padded to the group's size", () => {
  for (const { group } of primes) {
    const [here, there] = [dhKey(group, exponent(1)), dhKey(group, exponent(2))];
    const secret = here.sharedSecret(there.publicValue);
    assert.equal(secret?.length, dhGroupBytes(group));
    assert.deepEqual(there.sharedSecret(here.publicValue), secret, group);
  }
});

test("dhKey computes powers modulo the prime", () => {
  const p = BigInt(`0x${Buffer.from(dhPrime("ffdhe2048")).toString("hex")}`);
  const x = BigInt(`0x${"05".repeat(64)}`);
  const key = dhKey("ffdhe2048", exponent(5));
  assert.equal(numberOf(key.publicValue), power(2n, x, p));
  assert.equal(numberOf(key.sharedSecret(Uint8Array.of(0, 0, 9))!), power(9n, x, p));
  // 255 and 128 bytes: the other forms of a DER length.
  for (const length of [127, 128, 255]) {
    const value = new Uint8Array(length).fill(0x7f);
    assert.equal(numberOf(key.sharedSecret(value)!), power(numberOf(value), x, p), `${length}`);
  }
});

test("dhKey refuses values of the peer outside 2 to p - 2, and longer ones", () => {
  const key = dhKey("ffdhe2048", exponent(3));
  const prime = dhPrime("ffdhe2048");
  const last = (add: number) => Uint8Array.from(prime, (b, i) => (i === 255 ? b + add : b));
  assert.equal(key.sharedSecret(last(-2))?.length, 256);
  const bad = [new Uint8Array(0), new Uint8Array(256), Uint8Array.of(1), last(-1), prime];
  for (const value of [...bad, new Uint8Array(256).fill(0xff), new Uint8Array(257).fill(1)]) {
    assert.equal(key.sharedSecret(value), undefined);
  }
});

function numberOf(value: Uint8Array): bigint {
  return BigInt(`0x${Buffer.from(value).toString("hex")}`);
}

function power(base: bigint, exponentOf: bigint, modulus: bigint): bigint {
  let result = 1n;
  for (const bit of exponentOf.toString(2)) {
    result = (result * result) % modulus;
    if (bit === "1") result = (result * base) % modulus;
  }
  return result;
}
