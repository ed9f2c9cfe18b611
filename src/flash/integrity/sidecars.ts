/** What lies beside an image: which names are looked for, and what they are worth. */

import { FlashError } from "../error.ts";
import type { Bmap } from "./bmap.ts";
import { findChecksum } from "./checksum.ts";
import type { Hasher } from "./hasher.ts";
import {
  checkMinisign,
  type MinisignKey,
  type MinisignSignature,
  parseMinisignKey,
  parseMinisignSignature,
} from "./minisign.ts";
import {
  checkOpenpgp,
  type OpenpgpKeys,
  parseOpenpgpKeys,
  type SignatureCheck,
} from "./openpgp.ts";

/** Brings a file that lies beside the image, by its name; undefined when there is none. */
export type FetchBeside = (name: string, bytesMax: number) => Promise<Uint8Array | undefined>;

/** A key that signatures are checked with. */
export type TrustedKey = OpenpgpKeys | MinisignKey;

/** What was found beside an image. */
export interface Sidecars {
  readonly sha256: { readonly hex: string; readonly sidecar: string } | undefined;
  readonly bmap: { readonly map: Bmap; readonly sidecar: string } | undefined;
  readonly signature: FoundSignature | undefined;
  /** Files that are there and were not used, with the reason. */
  readonly notes: readonly string[];
}

/** A signature of the image itself, not yet checked. */
export type FoundSignature =
  | { readonly kind: "openpgp"; readonly sidecar: string; readonly check: SignatureCheck }
  | {
      readonly kind: "minisign";
      readonly sidecar: string;
      readonly signature: MinisignSignature;
      readonly key: MinisignKey;
    };

const smallBytesMax = 16 * 1024 * 1024;
const bmapBytesMax = 256 * 1024 * 1024;
const openpgpSuffixes = [".sig", ".asc", ".gpg"] as const;
const sumsName = "SHA256SUMS";

/**
 * Reads a public key of OpenPGP or minisign.
 * @throws FlashError `sidecar` when it is neither.
 */
export async function parseKey(file: Uint8Array, path: string): Promise<TrustedKey> {
  const key =
    parseMinisignKey(Buffer.from(file).toString("utf8")) ?? (await parseOpenpgpKeys(file));
  if (key) return key;
  throw new FlashError(
    "sidecar",
    `Cannot use the key ${path}: it is no public key of OpenPGP or minisign.`,
    { path },
  );
}

/** Names of all that is looked for beside the image `name`. */
export function sidecarNames(name: string): readonly string[] {
  const sums = sumsOf(name);
  const signed = [name, ...sums.forOne, ...sums.forAll];
  const suffixes = [...openpgpSuffixes, ".minisig"];
  const signatures = signed.flatMap((one) => suffixes.map((suffix) => `${one}${suffix}`));
  return [...bmapsOf(name), ...sums.forOne, ...sums.forAll, ...signatures];
}

/** Looks for everything that can lie beside the image `name`. */
export async function findSidecars(
  name: string,
  fetchBeside: FetchBeside,
  key: TrustedKey | undefined,
  hasher: Hasher,
): Promise<Sidecars> {
  const notes: string[] = [];
  const bmap = await findBmap(name, fetchBeside);
  const signature = key ? await findSignature(name, fetchBeside, key) : undefined;
  if (!key) await noteUnchecked(name, fetchBeside, notes);
  const sums = await findSums(name, fetchBeside, notes);
  const sha256 = sums?.hex ? { hex: sums.hex, sidecar: sums.sidecar } : undefined;
  const isSumSigned =
    key && sums?.hex && !signature
      ? await checkSums(sums.sidecar, sums.file, fetchBeside, key, hasher)
      : false;
  if (key && !signature && !isSumSigned) {
    throw new FlashError(
      "signature",
      `Cannot trust ${name}: a key was given, and there is no signature by its side ` +
        `(${name}${key.kind === "minisign" ? ".minisig" : ".sig or .asc"}, or a signed ${sumsName} that names it).`,
      { name },
    );
  }
  return { sha256, bmap, signature, notes };
}

/** `os.raw.xz` → `os.raw` and `os`: builders name what lies beside an image by these too. */
function stemsOf(name: string): readonly [bare: string, stem: string] {
  const bare = name.replace(/\.(gz|xz|zst|bz2|zip)$/i, "");
  return [bare, bare.replace(/\.[^.]+$/, "")];
}

function bmapsOf(name: string): ReadonlySet<string> {
  return new Set([name, ...stemsOf(name)].map((one) => `${one}.bmap`));
}

function sumsOf(name: string) {
  const [, stem] = stemsOf(name);
  const forOne = [`${name}.sha256`, `${name}.sha256sum`];
  return { forOne, forAll: [sumsName, `${stem}.${sumsName}`] };
}

async function findBmap(name: string, fetchBeside: FetchBeside) {
  for (const sidecar of bmapsOf(name)) {
    const file = await fetchBeside(sidecar, bmapBytesMax);
    if (!file) continue;
    const { parseBmap } = await import("./bmap.ts");
    return { map: parseBmap(Buffer.from(file).toString("utf8"), sidecar), sidecar };
  }
  return undefined;
}

async function findSums(name: string, fetchBeside: FetchBeside, notes: string[]) {
  const { forOne, forAll } = sumsOf(name);
  for (const sidecar of [...forOne, ...forAll]) {
    const file = await fetchBeside(sidecar, smallBytesMax);
    if (!file) continue;
    const isForOne = !forAll.includes(sidecar);
    const text = Buffer.from(file).toString("utf8");
    const hex = findChecksum(text, name, { sidecar, isForOne });
    if (hex !== undefined) return { hex, sidecar, file };
    // Of a file that was renamed, or of what was packed: which of them, nobody can know.
    if (isForOne) notes.push(`${sidecar} was not used: it speaks of other files than ${name}`);
  }
  return undefined;
}

async function findSignature(
  name: string,
  fetchBeside: FetchBeside,
  key: TrustedKey,
): Promise<FoundSignature | undefined> {
  if (key.kind === "minisign") {
    const sidecar = `${name}.minisig`;
    const file = await fetchBeside(sidecar, smallBytesMax);
    if (!file) return undefined;
    const signature = parseMinisignSignature(Buffer.from(file).toString("utf8"), sidecar);
    return { kind: "minisign", sidecar, signature, key };
  }
  for (const suffix of openpgpSuffixes) {
    const sidecar = `${name}${suffix}`;
    const file = await fetchBeside(sidecar, smallBytesMax);
    if (file) return { kind: "openpgp", sidecar, check: await checkOpenpgp(file, key, sidecar) };
  }
  return undefined;
}

/** Whether the checksum file is signed; a bad signature throws. */
async function checkSums(
  sums: string,
  file: Uint8Array,
  fetchBeside: FetchBeside,
  key: TrustedKey,
  hasher: Hasher,
): Promise<boolean> {
  const found = await findSignature(sums, fetchBeside, key);
  if (!found) return false;
  if (found.kind === "openpgp") {
    await found.check.update(file);
    await found.check.finish();
    return true;
  }
  const hash = hasher.begin("blake2b512");
  await hash.update(file);
  checkMinisign(found.signature, found.key, await hash.digest(), found.sidecar);
  return true;
}

async function noteUnchecked(name: string, fetchBeside: FetchBeside, notes: string[]) {
  for (const suffix of [...openpgpSuffixes, ".minisig"]) {
    if (!(await fetchBeside(`${name}${suffix}`, smallBytesMax))) continue;
    notes.push(`${name}${suffix} was not checked: give its public key with --key`);
    return;
  }
}
