/** The user's files: SSH keys, host keys and known boxes. */

import { createHash, randomUUID } from "node:crypto";
import { mkdir, readdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { BoxError } from "./error.ts";
import { formatKnownBoxes, type KnownBox, parseKnownBoxes } from "./known.ts";

/** Where to look. */
export interface HomeOptions {
  /** Where the user's configuration of diskomator is. */
  readonly configuration: string;
  /** The user's `.ssh`. */
  readonly ssh: string;
}

/** What was found there. */
export interface Home {
  /** Private keys, ours first. */
  readonly identities: readonly string[];
  /** Files of host keys: those that ssh remembers, and those that the builder puts into images. */
  readonly knownHosts: readonly string[];
  /** Fingerprints of the host keys that images of this user have; none before the first build. */
  readonly imageKeys: readonly string[];
  /** Fingerprints of all host keys that are known: those, and what the user's files hold beside. */
  readonly hostKeys: readonly string[];
  readonly knownBoxes: readonly KnownBox[];
}

const paths = {
  /** The key that `build` makes when the user has none. */
  key: "id_ed25519",
  knownHosts: "known_hosts",
  /** The key that `build` makes for its images to be known by. */
  imageKey: "host_ed25519.pub",
  /** The same as ssh takes it: good for a box of any name. */
  imageHosts: "image_hosts",
  boxes: "boxes.json",
} as const;

/** @throws BoxError `configuration` when a file cannot be read, or the known boxes make no sense. */
export async function readHome({ configuration, ssh }: HomeOptions): Promise<Home> {
  const at = (name: keyof typeof paths) => join(configuration, paths[name]);
  const [ownKey, names, imageKey, boxes, hosts] = await Promise.all([
    readOptional(at("key")),
    // Keys of the user's are only offered: what cannot be listed, ssh could not read either.
    readdir(ssh).catch(() => [] as string[]),
    readOptional(at("imageKey")),
    readOptional(at("boxes")),
    readOptional(at("knownHosts")),
  ]);
  const found = names
    .filter((name) => name.endsWith(".pub") && names.includes(name.slice(0, -".pub".length)))
    .map((name) => join(ssh, name.slice(0, -".pub".length)));
  // ssh cannot write what is new where there is no folder.
  await mkdir(configuration, { recursive: true, mode: 0o700 });
  const [type, key] = (imageKey ?? "").trim().split(/\s+/);
  const line = type && key ? `* ${type} ${key}\n` : "";
  // Only the key that is there now: whoever has lost a stick makes a new one, and trusts no old one.
  if ((await readOptional(at("imageHosts"))) !== line) await writeWhole(at("imageHosts"), line);
  return {
    identities: [...(ownKey === null ? [] : [at("key")]), ...found.toSorted()],
    knownHosts: [at("knownHosts"), at("imageHosts")],
    imageKeys: key ? [fingerprint(key)] : [],
    hostKeys: [...(key ? [key] : []), ...keysOf(hosts ?? "")].map(fingerprint),
    knownBoxes: boxes === null ? [] : parseKnownBoxes(boxes, at("boxes")),
  };
}

/** The keys of a file of host keys (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT), revoked ones left out. */
function keysOf(hosts: string): string[] {
  return hosts.split("\n").flatMap((line) => {
    const [names, , key] = line.trim().split(/\s+/);
    return names && key && !/^[#@]/.test(names) ? [key] : [];
  });
}

/** As ssh-keygen prints it and boxes announce it. */
function fingerprint(key: string): string {
  const digest = createHash("sha256").update(Buffer.from(key, "base64")).digest("base64");
  return `SHA256:${digest.replace(/=+$/, "")}`;
}

/** Writes the file of known boxes, whole or not at all. */
export async function writeKnownBoxes(
  { configuration }: HomeOptions,
  boxes: readonly KnownBox[],
): Promise<void> {
  await mkdir(configuration, { recursive: true, mode: 0o700 });
  await writeWhole(join(configuration, paths.boxes), formatKnownBoxes(boxes));
}

/** Several commands may run at once: each writes a file of its own, and the last one stays. */
export async function writeWhole(path: string, text: string): Promise<void> {
  const temporary = `${path}.${randomUUID()}`;
  await writeFile(temporary, text, { mode: 0o600 });
  await rename(temporary, path);
}

/**
 * The text of a file of the user's; null where there is none.
 * @throws BoxError `configuration` when it cannot be read: nobody may take it for an absent one, and
 * trust a stranger's key or write another in its place.
 */
export async function readOptional(path: string): Promise<string | null> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    if (!(cause instanceof Error)) throw cause;
    if ("code" in cause && cause.code === "ENOENT") return null;
    throw new BoxError(
      "configuration",
      `Cannot read ${path}: ${cause.message}. Make it a file that you can read, or remove it.`,
      { path },
      { cause },
    );
  }
}
