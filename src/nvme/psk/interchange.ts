/**
 * The text form that secrets of NVMe over Fabrics share: `PREFIX:HH:BASE64:`, where the Base64
 * holds a key and its CRC-32. NVMe Base 2.0 §8.13.5.8 (DHHC-1), TCP Transport 1.0 §3.6.1.5
 * (NVMeTLSkey-1).
 */

import { crc32 } from "node:zlib";
import { u32le } from "../../bytes/index.ts";

/** What is wrong with the text of a secret; nothing here repeats any of it. */
export type InterchangeFault = "prefix" | "form" | "hash" | "base64" | "length" | "crc";

/** Says of each fault what was found and what was wanted. */
export function describeInterchangeFault(fault: InterchangeFault): string {
  return meanings[fault];
}

const meanings: Readonly<Record<InterchangeFault, string>> = {
  prefix: "it does not start with the prefix of its kind (DHHC-1: or NVMeTLSkey-1:)",
  form: "it is not PREFIX:HH:BASE64: with a colon at its end",
  hash: "the two digits after the prefix name no hash that this kind of secret can have",
  base64: "the part between the last two colons is not Base64",
  length: "the key in it has not the length that its hash asks for",
  crc: "its checksum does not match: it was mistyped or cut",
};

/** A parsed text. */
export type Interchange =
  | { readonly ok: true; readonly hash: number; readonly key: Uint8Array }
  | { readonly ok: false; readonly fault: InterchangeFault };

const crcBytes = 4;
/** Longer than any secret there is; nothing longer is looked at. */
const textMax = 256;

/** Takes the text form apart and checks its CRC; white space around it is ignored. */
export function parseInterchange(prefix: string, text: string): Interchange {
  const trimmed = text.trim();
  const fail = (fault: InterchangeFault) => ({ ok: false, fault }) as const;
  if (!trimmed.startsWith(`${prefix}:`)) return fail("prefix");
  const parts = trimmed.split(":");
  if (trimmed.length > textMax || parts.length !== 4 || parts[3] !== "") return fail("form");
  const [, hash, encoded] = parts as [string, string, string, string];
  if (!/^0[0-9]$/.test(hash)) return fail("hash");
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(encoded) || encoded.length % 4 !== 0) return fail("base64");
  const raw = Buffer.from(encoded, "base64");
  // Bits that a decoder drops would make two texts of one secret.
  if (raw.toString("base64") !== encoded) return fail("base64");
  if (raw.length <= crcBytes) return fail("length");
  const key = Uint8Array.from(raw.subarray(0, -crcBytes));
  const view = new DataView(raw.buffer, raw.byteOffset, raw.length);
  if (u32le.read(view, key.length) !== crc32(key)) return fail("crc");
  return { ok: true, hash: Number(hash), key };
}

/** Writes the text form. */
export function formatInterchange(prefix: string, hash: number, key: Uint8Array): string {
  const raw = new Uint8Array(key.length + crcBytes);
  raw.set(key);
  u32le.write(new DataView(raw.buffer), key.length, crc32(key));
  return `${prefix}:0${hash}:${Buffer.from(raw).toString("base64")}:`;
}
