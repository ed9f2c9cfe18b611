/** How samples are put together: bytes at places, written without the layouts that they judge. */

import type { Extent } from "../extent.ts";

/** Little-endian bytes of a number. */
export function le(value: number | bigint, size: number): Uint8Array {
  return be(value, size).reverse();
}

/** Big-endian bytes of a number. */
export function be(value: number | bigint, size: number): Uint8Array {
  const hex = BigInt(value)
    .toString(16)
    .padStart(2 * size, "0");
  return Uint8Array.from(Buffer.from(hex, "hex"));
}

/** Bytes at a place; text is taken as UTF-8. */
export function put(offsetBytes: number, ...parts: readonly (string | Uint8Array)[]): Extent {
  return { offsetBytes, bytes: Buffer.concat(parts.map((part) => Buffer.from(part))) };
}

/** The bytes of a UUID in the order of its text. */
export function uuidBytes(text: string): Uint8Array {
  return Buffer.from(text.replaceAll("-", ""), "hex");
}

/** UTF-16 text. */
export function utf16(text: string): Uint8Array {
  return Buffer.from(text, "utf16le");
}

/** Extents as one buffer; what none covers is zeros, later ones lie over earlier ones. */
export function overlay(extents: readonly Extent[], sizeBytes: number): Uint8Array {
  const whole = new Uint8Array(sizeBytes);
  for (const { offsetBytes, bytes } of extents) whole.set(bytes, offsetBytes);
  return whole;
}

/** The sum of a buffer's little-endian words, folded as md does for superblock 1. */
export function wordSum(bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let sum = 0;
  for (let at = 0; at < bytes.byteLength; at += 4) sum += view.getUint32(at, true);
  return (sum % 2 ** 32) + Math.floor(sum / 2 ** 32);
}

/** Fletcher's sum over 32-bit words as APFS stores it, of a block without its first 8 bytes. */
export function fletcher64(block: Uint8Array): bigint {
  const view = new DataView(block.buffer, block.byteOffset, block.byteLength);
  const modulus = 2n ** 32n - 1n;
  let first = 0n;
  let second = 0n;
  for (let at = 8; at < block.byteLength; at += 4) {
    first = (first + BigInt(view.getUint32(at, true))) % modulus;
    second = (second + first) % modulus;
  }
  const low = modulus - ((first + second) % modulus);
  const high = modulus - ((first + low) % modulus);
  return high * 2n ** 32n + low;
}
