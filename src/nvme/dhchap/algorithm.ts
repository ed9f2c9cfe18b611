/**
 * The hashes and Diffie-Hellman groups of DH-HMAC-CHAP by their identifiers.
 * NVMe Base 2.0 §8.13.5.2, figures 444 and 445.
 */

/** A hash function of DH-HMAC-CHAP, as node:crypto calls it too. */
export type DhchapHash = "sha256" | "sha384" | "sha512";

/** Hash function identifiers (HashID). */
export const dhchapHashId: Readonly<Record<DhchapHash, number>> = {
  sha256: 1,
  sha384: 2,
  sha512: 3,
};

/** Length of each hash in bytes. */
export const dhchapHashBytes: Readonly<Record<DhchapHash, number>> = {
  sha256: 32,
  sha384: 48,
  sha512: 64,
};

/** A Diffie-Hellman group; `null` is none. */
export type DhchapGroup =
  | "null"
  | "ffdhe2048"
  | "ffdhe3072"
  | "ffdhe4096"
  | "ffdhe6144"
  | "ffdhe8192";

/** Diffie-Hellman group identifiers (DHgID). */
export const dhchapGroupId: Readonly<Record<DhchapGroup, number>> = {
  null: 0,
  ffdhe2048: 1,
  ffdhe3072: 2,
  ffdhe4096: 3,
  ffdhe6144: 4,
  ffdhe8192: 5,
};

/** All hashes, the strongest first: the order in which both ends prefer them unless told. */
export const dhchapHashes: readonly DhchapHash[] = ["sha512", "sha384", "sha256"];

/** All groups, the strongest first. */
export const dhchapGroups: readonly DhchapGroup[] = [
  "ffdhe8192",
  "ffdhe6144",
  "ffdhe4096",
  "ffdhe3072",
  "ffdhe2048",
  "null",
];

/** The hash of an identifier, `undefined` for one that is not known. */
export function dhchapHashOf(id: number): DhchapHash | undefined {
  return dhchapHashes.find((hash) => dhchapHashId[hash] === id);
}

/** The group of an identifier, `undefined` for one that is not known. */
export function dhchapGroupOf(id: number): DhchapGroup | undefined {
  return dhchapGroups.find((group) => dhchapGroupId[group] === id);
}
