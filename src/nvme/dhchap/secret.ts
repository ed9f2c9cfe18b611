/**
 * DHHC-1: the text form of a DH-HMAC-CHAP secret, `DHHC-1:HH:BASE64:`.
 * NVMe Base 2.0 §8.13.5.8; the CRC is that of zlib, little-endian, as Linux and SPDK have it.
 */

import { createHmac } from "node:crypto";
import { formatInterchange, type InterchangeFault, parseInterchange } from "../psk/interchange.ts";
import { type DhchapHash, dhchapHashBytes, dhchapHashId, dhchapHashOf } from "./algorithm.ts";

/** What the two letters after the prefix may say: the hash that transforms the key, or none. */
export type SecretHash = DhchapHash | "none";

/** A parsed secret, or what is wrong with its text. */
export type ParsedSecret =
  | { readonly ok: true; readonly secret: DhchapSecret }
  | { readonly ok: false; readonly fault: InterchangeFault };

const prefix = "DHHC-1";
const lengths: readonly number[] = Object.values(dhchapHashBytes);

/**
 * A secret. Its bytes are out of the reach of loggers: neither `console.log` nor `JSON.stringify`
 * shows them.
 */
export class DhchapSecret {
  readonly hash: SecretHash;
  readonly #key: Uint8Array;

  /**
   * @param key 32, 48 or 64 bytes; the length of `hash` where there is one.
   * @throws RangeError for any other length.
   */
  constructor(key: Uint8Array, hash: SecretHash = "none") {
    if (!fits(key.length, hash)) {
      throw new RangeError(
        `A DH-HMAC-CHAP secret for hash ${hash} cannot have ${key.length} bytes.`,
      );
    }
    this.#key = Uint8Array.from(key);
    this.hash = hash;
  }

  /** Reads the text form; white space around it is ignored. */
  static parse(text: string): ParsedSecret {
    const parsed = parseInterchange(prefix, text);
    if (!parsed.ok) return parsed;
    const hash = parsed.hash === 0 ? "none" : dhchapHashOf(parsed.hash);
    if (hash === undefined) return { ok: false, fault: "hash" };
    if (!fits(parsed.key.length, hash)) return { ok: false, fault: "length" };
    return { ok: true, secret: new DhchapSecret(parsed.key, hash) };
  }

  /** The text form: whoever has it can pass for the host or the controller. */
  reveal(): string {
    return formatInterchange(prefix, this.hash === "none" ? 0 : dhchapHashId[this.hash], this.#key);
  }

  /**
   * The key that the HMACs take: the secret itself, or transformed for whom it stands for.
   * @param nqn the host's name for the host's secret, the subsystem's for the controller's.
   */
  keyFor(nqn: string): Uint8Array {
    if (this.hash === "none") return this.#key;
    return createHmac(this.hash, this.#key).update(nqn).update("NVMe-over-Fabrics").digest();
  }
}

function fits(length: number, hash: SecretHash): boolean {
  return hash === "none" ? lengths.includes(length) : length === dhchapHashBytes[hash];
}
