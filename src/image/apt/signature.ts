/** Clear-signed files: from bytes that anyone may have made to text that a known key signed. */
import { ImageError } from "../error.ts";
import type { TrustedKey } from "./keys.ts";
import type { ArchiveName } from "./sources.ts";

/** What was signed, and by whom. */
export interface SignedText {
  /** The signed text alone: the only part of the file that may be believed. */
  readonly text: string;
  /** Labels of the allowed keys with a good signature. */
  readonly signers: readonly string[];
}

/** What a file is verified against. */
export interface SignatureRequest {
  /** What the file is, for messages: `trixie/InRelease of http://mirror.example.org/debian`. */
  readonly what: string;
  readonly archive: ArchiveName;
  readonly keys: readonly TrustedKey[];
  readonly now: Date;
}

/** Signatures from a clock that is ahead by no more than this are taken. */
export const clockToleranceMs = 24 * 3600 * 1000;

/**
 * Verifies a clear-signed file.
 *
 * One good signature by a key that is allowed for the archive is needed; signatures by unknown
 * keys mean nothing; a bad one by a known key is a refusal, whatever else is there. So is text
 * outside of the signed block, which RFC 9580 section 7 lets readers skip.
 * @throws ImageError `signature`.
 */
export async function verifySignedText(
  file: Uint8Array,
  request: SignatureRequest,
): Promise<SignedText> {
  const refuse = (found: string, cause?: unknown): ImageError =>
    new ImageError(
      "signature",
      `Cannot trust ${request.what}: ${found}. Wanted a file that is signed by a key of the ` +
        `archive ${request.archive} and nothing else. Try another mirror with --mirror.`,
      { what: request.what, archive: request.archive, found },
      { cause },
    );
  const message = await readMessage(file, refuse);
  const { verify } = await import("openpgp");
  const { data, signatures } = await verify({
    message,
    verificationKeys: request.keys.map(({ key }) => key),
    date: new Date(request.now.getTime() + clockToleranceMs),
  });
  const signers: string[] = [];
  const others: string[] = [];
  for (const signature of signatures) {
    const known = request.keys.filter(({ key }) => key.getKeys(signature.keyID).length > 0);
    const trusted = known.find(({ archive }) => archive === request.archive) ?? known[0];
    if (trusted === undefined) {
      await signature.verified.catch(() => undefined);
      others.push(`the unknown key ${signature.keyID.toHex().toUpperCase()}`);
      continue;
    }
    try {
      await signature.verified;
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw refuse(`the signature by the key ${trusted.label} is bad: ${reason}`, cause);
    }
    const flaw = await flawOf(trusted, request);
    if (flaw === undefined) {
      signers.push(trusted.label);
    } else {
      others.push(`the key ${trusted.label}, which ${flaw}`);
    }
  }
  if (signers.length === 0) {
    throw refuse(others.length === 0 ? "no signature" : `signatures only by ${others.join(", ")}`);
  }
  return { text: data, signers };
}

const BEGIN_MESSAGE = "-----BEGIN PGP SIGNED MESSAGE-----";
const BEGIN_SIGNATURE = "-----BEGIN PGP SIGNATURE-----";
const END_SIGNATURE = "-----END PGP SIGNATURE-----";

/** OpenPGP is loaded where it is needed; see `trustedKey`. */
async function readMessage(
  file: Uint8Array,
  refuse: (found: string, cause?: unknown) => ImageError,
) {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(file);
  } catch (cause) {
    throw refuse("it is not text", cause);
  }
  const lines = text.split("\n").map((line) => line.trimEnd());
  const isFramed =
    lines[0] === BEGIN_MESSAGE &&
    lines.findLast((line) => line !== "") === END_SIGNATURE &&
    lines.filter((line) => line.startsWith("-----")).length === 3 &&
    lines.includes(BEGIN_SIGNATURE);
  if (!isFramed) {
    throw refuse("it is not exactly one clear-signed message");
  }
  const { readCleartextMessage } = await import("openpgp");
  try {
    return await readCleartextMessage({ cleartextMessage: text });
  } catch (cause) {
    throw refuse("its signature cannot be read", cause);
  }
}

/** Why a good signature by this key does not count, if so. */
async function flawOf(trusted: TrustedKey, request: SignatureRequest): Promise<string | undefined> {
  if (trusted.archive !== request.archive) {
    return `may only sign the archive ${trusted.archive}`;
  }
  const expires = await trusted.key.getExpirationTime();
  if (expires instanceof Date && expires <= request.now) {
    return `expired on ${expires.toISOString()}`;
  }
  return (await trusted.key.isRevoked()) ? "is revoked" : undefined;
}
