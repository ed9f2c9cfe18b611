/** Signatures of minisign: Ed25519 over the file's BLAKE2b-512, and over a trusted comment. */

import { createPublicKey, type KeyObject, verify } from "node:crypto";
import { FlashError } from "../error.ts";

/** A public key of minisign. */
export interface MinisignKey {
  readonly kind: "minisign";
  readonly id: string;
  readonly key: KeyObject;
}

/** A signature file of minisign, taken apart. */
export interface MinisignSignature {
  readonly id: string;
  readonly signature: Uint8Array;
  readonly trustedComment: string;
  readonly globalSignature: Uint8Array;
}

const keyBytes = 42;
const signatureBytes = 74;

/** Reads a public key; undefined when `text` is none of minisign's. */
export function parseMinisignKey(text: string): MinisignKey | undefined {
  const line = text.split("\n").find((each) => each !== "" && !/^untrusted comment:/i.test(each));
  const raw = Buffer.from(line?.trim() ?? "", "base64");
  if (raw.byteLength !== keyBytes || raw.toString("latin1", 0, 2) !== "Ed") return undefined;
  const x = raw.subarray(10).toString("base64url");
  const key = createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" });
  return { kind: "minisign", id: idOf(raw), key };
}

/** @throws FlashError `signature` when it is no signature, or an old one that is not prehashed. */
export function parseMinisignSignature(text: string, sidecar: string): MinisignSignature {
  const [, encoded = "", trusted = "", global = ""] = text.split("\n");
  const raw = Buffer.from(encoded.trim(), "base64");
  const globalSignature = Buffer.from(global.trim(), "base64");
  const algorithm = raw.toString("latin1", 0, 2);
  if (raw.byteLength === signatureBytes && algorithm === "Ed") {
    throw new FlashError(
      "signature",
      `Cannot check ${sidecar}: it was made by an old minisign, over the file as a whole. ` +
        "Ask for one that was made with minisign -H.",
      { sidecar },
    );
  }
  const comment = /^trusted comment: (.*)$/.exec(trusted.trimEnd());
  if (raw.byteLength !== signatureBytes || algorithm !== "ED" || !comment) {
    throw new FlashError(
      "signature",
      `Cannot check ${sidecar}: it is no signature of minisign. Fetch it again.`,
      { sidecar },
    );
  }
  const signature = raw.subarray(10);
  return { id: idOf(raw), signature, trustedComment: comment[1] ?? "", globalSignature };
}

/**
 * Checks a signature of the file whose BLAKE2b-512 is `hashHex`.
 * @throws FlashError `signature`.
 */
export function checkMinisign(
  signature: MinisignSignature,
  { id, key }: MinisignKey,
  hashHex: string,
  sidecar: string,
): void {
  const refuse = (found: string) =>
    new FlashError(
      "signature",
      `Cannot trust the image: ${sidecar} ${found}. Fetch both again, and check the key.`,
      { sidecar, wantedKey: id, foundKey: signature.id },
    );
  if (signature.id !== id) throw refuse(`was made by the key ${signature.id}, wanted ${id}`);
  if (!verify(null, Buffer.from(hashHex, "hex"), key, signature.signature)) {
    throw refuse("does not fit the image");
  }
  const signed = Buffer.concat([signature.signature, Buffer.from(signature.trustedComment)]);
  if (!verify(null, signed, key, signature.globalSignature)) {
    throw refuse("has a comment that the key did not sign");
  }
}

/** Key ids are shown as minisign does: little-endian, upper case. */
function idOf(raw: Buffer): string {
  return raw.readBigUInt64LE(2).toString(16).toUpperCase().padStart(16, "0");
}
