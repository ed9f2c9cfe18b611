/**
 * NVMe Qualified Names: the names of hosts and subsystems.
 * NVMe Base 2.0 §4.5: at most 223 bytes of UTF-8, in one of two forms.
 */

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
