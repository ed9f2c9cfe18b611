/**
 * NVMe Qualified Names: the names of hosts and subsystems.
 * NVMe Base 2.0 §4.5: at most 223 bytes of UTF-8, in one of two forms.
 */

import { createHash } from "node:crypto";

/** The discovery service that every discovery controller answers to; Base 2.0 §4.5. */
export const discoveryNqn = "nqn.2014-08.org.nvmexpress.discovery";
/** Longest NQN in bytes, its terminating zero not counted. */
export const nqnBytesMax = 223;

const uuidPrefix = "nqn.2014-08.org.nvmexpress:uuid:";
const uuidForm = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
/** `nqn.yyyy-mm.reverse.domain`, and either the end or `:` and a string of the domain's owner. */
const dateForm = /^nqn\.\d{4}-(0[1-9]|1[0-2])\.[^:\s]+(:[\x21-\x7e]+)?$/;

/** What is wrong with an NQN. */
export type NqnFault = "empty" | "too-long" | "form" | "uuid";

/** Why `nqn` is not a valid NQN, or `undefined` when it is one. */
export function nqnFault(nqn: string): NqnFault | undefined {
  if (nqn === "") return "empty";
  if (Buffer.byteLength(nqn) > nqnBytesMax) return "too-long";
  if (nqn.startsWith(uuidPrefix)) {
    return uuidForm.test(nqn.slice(uuidPrefix.length)) ? undefined : "uuid";
  }
  return dateForm.test(nqn) ? undefined : "form";
}

/** The NQN made of a UUID in its text form; throws a RangeError when it is none. */
export function nqnOfUuid(uuid: string): string {
  if (!uuidForm.test(uuid)) throw new RangeError(`"${uuid}" is not a UUID.`);
  return uuidPrefix + uuid.toLowerCase();
}

/** The UUID of an NQN that is made of one, in lower case, else `undefined`. */
export function uuidOfNqn(nqn: string): string | undefined {
  return nqn.startsWith(uuidPrefix) && nqnFault(nqn) === undefined
    ? nqn.slice(uuidPrefix.length).toLowerCase()
    : undefined;
}

/** A UUID's 16 bytes, most significant first as NVMe stores them (Base 2.0 §4.5.1.3), from text. */
export function uuidBytes(uuid: string): Uint8Array {
  if (!uuidForm.test(uuid)) throw new RangeError(`"${uuid}" is not a UUID.`);
  return Uint8Array.from(Buffer.from(uuid.replaceAll("-", ""), "hex"));
}

/** The text form of a UUID's 16 bytes. */
export function uuidText(bytes: Uint8Array): string {
  const hex = Buffer.from(bytes).toString("hex");
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    hex.slice(12, 16),
    hex.slice(16, 20),
    hex.slice(20),
  ].join("-");
}

/**
 * A UUID of version 8 in its text form, from the first 16 bytes of a hash of the caller's own: the
 * same for whatever hashes the same (RFC 9562 §5.8).
 */
export function uuidOfHash(hash: Uint8Array): string {
  return uuidText(stamped(hash, 8));
}

/** A UUID of version 4 in its text form, from 16 random bytes (RFC 9562 §5.4). */
export function uuidOfRandom(random: Uint8Array): string {
  return uuidText(stamped(random, 4));
}

/**
 * A UUID of version 5 in its text form: always the same for the same name in the same space, for
 * namespaces and hosts that must keep theirs (RFC 9562 §5.5).
 * @param space UUID of what the name is unique in.
 */
export function uuidOfName(space: string, name: string): string {
  return uuidText(stamped(createHash("sha1").update(uuidBytes(space)).update(name).digest(), 5));
}

/** The first 16 bytes with the version in the high half of byte 6, and variant 10b in byte 8. */
function stamped(source: Uint8Array, version: number): Uint8Array {
  if (source.length < 16) throw new RangeError(`A UUID is made of 16 bytes, not ${source.length}.`);
  const bytes = Uint8Array.from(source.subarray(0, 16));
  bytes[6] = version * 0x10 + (bytes[6]! % 0x10);
  bytes[8] = 0x80 + (bytes[8]! % 0x40);
  return bytes;
}
