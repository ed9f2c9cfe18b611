/** Which key may speak for which archive. */
import type { PublicKey } from "openpgp";
import type { ArchiveName } from "./sources.ts";

/** A key whose signatures mean something, and the archive that it may sign. */
export interface TrustedKey {
  /** For messages: `trixie-automatic`. */
  readonly label: string;
  readonly archive: ArchiveName;
  readonly key: PublicKey;
}

/** The key files that ship beside this module, in `keys/`. */
export const archiveKeyFiles: readonly {
  readonly label: string;
  readonly archive: ArchiveName;
}[] = [
  { label: "trixie-automatic", archive: "debian" },
  { label: "trixie-stable", archive: "debian" },
  { label: "trixie-security-automatic", archive: "debian-security" },
  { label: "bookworm-automatic", archive: "debian" },
  { label: "bookworm-security-automatic", archive: "debian-security" },
];

/** Makes a key from its armored text; rejects when the text is none. */
export async function trustedKey({
  label,
  archive,
  armored,
}: Omit<TrustedKey, "key"> & { readonly armored: string }): Promise<TrustedKey> {
  // Loaded here, since a build that has its lock verifies no signature: 60 ms of each start.
  const { readKey } = await import("openpgp");
  return { label, archive, key: await readKey({ armoredKey: armored }) };
}
