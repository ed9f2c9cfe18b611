/**
 * Finite field Diffie-Hellman in the groups of RFC 7919.
 *
 * Keys go in and out of node:crypto as DER (PKCS #8, SubjectPublicKeyInfo; RFC 5208, RFC 5280,
 * PKCS #3): its `DiffieHellman` class proves the prime anew for each object, which takes 0.5 s for
 * ffdhe2048 and 52 s for ffdhe8192, where this way takes 2 and 30 ms.
 */

import { createPrivateKey, createPublicKey, diffieHellman, type KeyObject } from "node:crypto";
import { u16be } from "../../bytes/index.ts";
import type { DhchapGroup } from "./algorithm.ts";

/** A group that is not none. */
export type FfdheGroup = Exclude<DhchapGroup, "null">;

/** Size of the prime, and the constant X that makes it one (RFC 7919 appendix A). */
const groups: Readonly<Record<FfdheGroup, { bits: number; x: bigint }>> = {
  ffdhe2048: { bits: 2048, x: 560316n },
  ffdhe3072: { bits: 3072, x: 2625351n },
  ffdhe4096: { bits: 4096, x: 5736041n },
  ffdhe6144: { bits: 6144, x: 15705020n },
  ffdhe8192: { bits: 8192, x: 10965728n },
};

const generator = Uint8Array.of(2);
/** Longer than the 400 bits that RFC 7919 asks for in its largest group. */
export const dhExponentBytes = 64;

/** Length of a group's prime, and of every value in it on the wire, in bytes. */
export function dhGroupBytes(group: FfdheGroup): number {
  return groups[group].bits / 8;
}

/** One end of an exchange: what it sends, and what it makes of what the other end sent. */
export interface DhKey {
  /** g^x mod p, padded to the group's size. */
  readonly publicValue: Uint8Array;
  /**
   * g^xy mod p, padded to the group's size; `undefined` for a value of the peer that is not
   * within 2 to p − 2, or too long.
   */
  sharedSecret(peerValue: Uint8Array): Uint8Array | undefined;
}

/**
 * Makes a key.
 * @param exponent `dhExponentBytes` random bytes: the secret x.
 */
export function dhKey(group: FfdheGroup, exponent: Uint8Array): DhKey {
  if (exponent.length !== dhExponentBytes) {
    throw new RangeError(`An exponent has ${dhExponentBytes} bytes, not ${exponent.length}.`);
  }
  const { prime, parameters } = groupOf(group);
  const privateKey = importPrivate(parameters, exponent);
  const power = (base: Uint8Array) =>
    diffieHellman({ privateKey, publicKey: importPublic(parameters, base) });
  return {
    publicValue: padded(power(generator), prime.length),
    sharedSecret(peerValue) {
      if (!isPublicValue(peerValue, prime)) return undefined;
      return padded(power(peerValue), prime.length);
    },
  };
}

/** The prime of a group: 2^b − 2^(b−64) + (⌊2^(b−130) e⌋ + X) 2^64 − 1, RFC 7919 appendix A. */
export function dhPrime(group: FfdheGroup): Uint8Array {
  return groupOf(group).prime;
}

interface Made {
  readonly prime: Uint8Array;
  /** AlgorithmIdentifier with the prime and the generator, in DER. */
  readonly parameters: Uint8Array;
}

const made = new Map<FfdheGroup, Made>();

/** Groups are made when first used: the largest takes some milliseconds. */
function groupOf(group: FfdheGroup): Made {
  const known = made.get(group);
  if (known) return known;
  const { bits, x } = groups[group];
  const size = BigInt(bits);
  const value =
    2n ** size - 2n ** (size - 64n) + (eulerTimesPowerOfTwo(size - 130n) + x) * 2n ** 64n - 1n;
  const prime = Buffer.from(value.toString(16), "hex");
  const parameters = der(0x30, dhOid, der(0x30, derInteger(prime), derInteger(generator)));
  const result = { prime, parameters };
  made.set(group, result);
  return result;
}

/** ⌊2^bits e⌋ by the series of 1/k!, with 64 bits in hand for the roundings. */
function eulerTimesPowerOfTwo(bits: bigint): bigint {
  const spare = 2n ** 64n;
  let term = 2n ** bits * spare;
  let sum = term;
  for (let k = 1n; term > 0n; k++) {
    term /= k;
    sum += term;
  }
  return sum / spare;
}

/** Whether 2 ≤ value ≤ p − 2. Both are public: nothing is lost by the time that it takes. */
function isPublicValue(value: Uint8Array, prime: Uint8Array): boolean {
  if (value.length === 0 || value.length > prime.length) return false;
  const number = BigInt(`0x${Buffer.from(value).toString("hex")}`);
  const p = BigInt(`0x${Buffer.from(prime).toString("hex")}`);
  return number >= 2n && number <= p - 2n;
}

function padded(value: Uint8Array, length: number): Uint8Array {
  const result = new Uint8Array(length);
  result.set(value, length - value.length);
  return result;
}

/** Object identifier 1.2.840.113549.1.3.1, dhKeyAgreement. */
const dhOid = Uint8Array.of(0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x03, 0x01);

function importPrivate(parameters: Uint8Array, exponent: Uint8Array): KeyObject {
  const version = derInteger(Uint8Array.of(0));
  const key = Buffer.from(der(0x30, version, parameters, der(0x04, derInteger(exponent))));
  return createPrivateKey({ key, format: "der", type: "pkcs8" });
}

function importPublic(parameters: Uint8Array, value: Uint8Array): KeyObject {
  const bitString = der(0x03, Uint8Array.of(0), derInteger(value));
  const key = Buffer.from(der(0x30, parameters, bitString));
  return createPublicKey({ key, format: "der", type: "spki" });
}

/** A DER integer from a big-endian unsigned number: shortest form, zero before a high bit. */
function derInteger(value: Uint8Array): Uint8Array {
  const start = value.findIndex((byte) => byte !== 0);
  const digits = start < 0 ? value.subarray(0, 1) : value.subarray(start);
  return digits[0]! >= 0x80 ? der(0x02, Uint8Array.of(0), digits) : der(0x02, digits);
}

/** A DER element: its tag, its length in the shortest form, and its content. */
function der(tag: number, ...content: readonly Uint8Array[]): Uint8Array {
  const body = Buffer.concat(content);
  return Buffer.concat([Uint8Array.of(tag), derLength(body.length), body]);
}

function derLength(length: number): Uint8Array {
  if (length < 0x80) return Uint8Array.of(length);
  if (length < 0x100) return Uint8Array.of(0x81, length);
  const long = Uint8Array.of(0x82, 0, 0);
  u16be.write(new DataView(long.buffer), 1, length);
  return long;
}
