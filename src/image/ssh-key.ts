/**
 * Ed25519 keys for SSH, in the files of OpenSSH (its PROTOCOL.key): made here, since the machine that
 * builds an image needs no SSH for that.
 */
import { createPrivateKey, createPublicKey, hkdfSync } from "node:crypto";

/** A key pair as text. */
export interface SshKeyPair {
  /** The private key's file; no passphrase. */
  readonly privateKey: string;
  /** One line: type, key, comment. */
  readonly publicKey: string;
}

const type = "ssh-ed25519";
const magic = "openssh-key-v1\0";
const begin = "-----BEGIN OPENSSH PRIVATE KEY-----";
const end = "-----END OPENSSH PRIVATE KEY-----";
const lineLength = 70;
const blockBytes = 8;
/** What comes before the 32 bytes of an Ed25519 key in PKCS #8 (RFC 8410, section 7). */
const pkcs8Head = Buffer.from("302e020100300506032b657004220420", "hex");

/**
 * A key pair of 32 secret random bytes.
 * @param comment whom it stands for; stands in both files
 */
export function makeSshKey(seed: Uint8Array, comment: string): SshKeyPair {
  const key = { key: Buffer.concat([pkcs8Head, seed]), format: "der", type: "pkcs8" } as const;
  const spki = createPublicKey(createPrivateKey(key)).export({ format: "der", type: "spki" });
  const bare = spki.subarray(-32);
  const publicBlob = Buffer.concat([text(type), text(bare)]);
  // Twice the same number, by which a reader with a wrong passphrase would know.
  const check = Buffer.from(hkdfSync("sha256", seed, "", "check", 4));
  const secret = Buffer.concat([
    ...[check, check, publicBlob, text(Buffer.concat([seed, bare])), text(comment)],
  ]);
  const missing = (blockBytes - (secret.length % blockBytes)) % blockBytes;
  const padding = Uint8Array.from({ length: missing }, (_, at) => at + 1);
  const file = Buffer.concat([
    ...[Buffer.from(magic), text("none"), text("none"), text(""), uint32(1)],
    ...[text(publicBlob), text(Buffer.concat([secret, padding]))],
  ]);
  const lines = file.toString("base64").match(new RegExp(`.{1,${lineLength}}`, "g")) ?? [];
  return {
    privateKey: `${[begin, ...lines, end].join("\n")}\n`,
    publicKey: `${type} ${publicBlob.toString("base64")} ${comment}`,
  };
}

/** The public key, type and key, in a private key's file; null when it is no such file. */
export function readPublicKey(privateKey: string): string | null {
  const inner = privateKey.trim().split("\n");
  if (inner.shift() !== begin || inner.pop() !== end) return null;
  const file = Buffer.from(inner.join(""), "base64");
  if (!file.subarray(0, magic.length).equals(Buffer.from(magic))) return null;
  let at = magic.length;
  const next = (): Buffer | null => {
    if (at + 4 > file.length) return null;
    const length = file.readUInt32BE(at);
    const found = file.subarray(at + 4, at + 4 + length);
    at += 4 + length;
    return found.length === length ? found : null;
  };
  const [cipher] = [next(), next(), next()];
  at += 4;
  const blob = next();
  if (blob === null || cipher?.toString() !== "none" || blob.length < 4) return null;
  const name = blob.subarray(4, 4 + blob.readUInt32BE(0)).toString("latin1");
  return /^[a-z0-9@.-]+$/.test(name) ? `${name} ${blob.toString("base64")}` : null;
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** A string of RFC 4251, section 5: its length, then itself. */
function text(value: string | Uint8Array): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([uint32(bytes.length), bytes]);
}
