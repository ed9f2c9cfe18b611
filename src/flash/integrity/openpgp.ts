/** Detached OpenPGP signatures over streams. */

import type { PublicKey, Signature } from "openpgp";
import { FlashError, reasonOf } from "../error.ts";

/** The public keys in a file. */
export interface OpenpgpKeys {
  readonly kind: "openpgp";
  readonly keys: readonly PublicKey[];
}

/** The library is large, and only used where there is a key. */
const library = () => import("openpgp");

/** Reads keys, armoured or not; undefined when there are none. */
export async function parseOpenpgpKeys(file: Uint8Array): Promise<OpenpgpKeys | undefined> {
  const text = Buffer.from(file).toString("latin1");
  const { readKey, readKeys } = await library();
  try {
    if (text.includes("-----BEGIN PGP PUBLIC KEY BLOCK-----")) {
      return { kind: "openpgp", keys: await readKeys({ armoredKeys: text }) };
    }
    return { kind: "openpgp", keys: [await readKey({ binaryKey: file })] };
  } catch {
    return undefined;
  }
}

/** A check under way: it is fed the file's bytes, and judges at the end. */
export interface SignatureCheck {
  update(data: Uint8Array): Promise<void>;
  /** @throws FlashError `signature` unless one of the keys made a good signature. */
  finish(): Promise<void>;
}

/** @throws FlashError `signature` when `file` is no detached signature. */
export async function checkOpenpgp(
  file: Uint8Array,
  { keys }: OpenpgpKeys,
  sidecar: string,
): Promise<SignatureCheck> {
  const refuse = (found: string, cause?: unknown) =>
    new FlashError(
      "signature",
      `Cannot trust the image: ${sidecar} ${found}. Fetch both again, and check the key.`,
      { sidecar, keys: keys.map((key) => key.getKeyID().toHex().toUpperCase()) },
      { cause },
    );
  const signature = await readDetached(file).catch((cause: unknown) => {
    throw refuse(`is no detached OpenPGP signature (${reasonOf(cause)})`, cause);
  });
  const { createMessage, verify } = await library();
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const writer = writable.getWriter();
  const message = await createMessage({ binary: readable });
  const verified = verify({ message, signature, verificationKeys: [...keys], format: "binary" });
  // The signed bytes come out again, and are of no use; letting them go is what moves the stream.
  // The library replaced the stream's own reading by one of its own, which iterating passes by.
  const drained = verified.then(async ({ data }) => {
    const reader = (data as unknown as ReadableStream<Uint8Array>).getReader();
    while (!(await reader.read()).done);
  });
  drained.catch(() => undefined);
  return {
    update: (data) => writer.write(data.slice()),
    async finish() {
      await writer.close();
      await drained;
      const { signatures } = await verified;
      const results = await Promise.allSettled(signatures.map(({ verified: good }) => good));
      const bad = results.find((result) => result.status === "rejected");
      if (bad) throw refuse(`is bad, or made by another key (${reasonOf(bad.reason)})`, bad.reason);
      if (results.length === 0) throw refuse("holds no signature");
    },
  };
}

async function readDetached(file: Uint8Array): Promise<Signature> {
  const { readSignature } = await library();
  const text = Buffer.from(file).toString("latin1");
  const signature = text.startsWith("-----BEGIN")
    ? await readSignature({ armoredSignature: text })
    : await readSignature({ binarySignature: file });
  return signature;
}
