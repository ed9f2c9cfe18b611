/** The user's files: SSH keys, host keys and known boxes. */

import { mkdir, readdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
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
  /** Host keys: those that ssh remembers, and those that the builder put into images. */
  readonly knownHosts: readonly string[];
  /** Whether images of this user have a host key that is known in advance. */
  readonly hasImageKeys: boolean;
  readonly knownBoxes: readonly KnownBox[];
}

const paths = {
  /** The key that `build` makes when the user has none. */
  key: "id_ed25519",
  knownHosts: "known_hosts",
  /** Written by `build`: host keys that its images have, for any name. */
  imageHosts: "image_hosts",
  boxes: "boxes.json",
} as const;

/** @throws BoxError `configuration` when the file of known boxes makes no sense. */
export async function readHome({ configuration, ssh }: HomeOptions): Promise<Home> {
  const own = join(configuration, paths.key);
  const imageHosts = join(configuration, paths.imageHosts);
  const boxesPath = join(configuration, paths.boxes);
  const [hasOwn, names, imageKeys, boxes] = await Promise.all([
    isThere(own),
    readdir(ssh).catch(() => [] as string[]),
    readFile(imageHosts, "utf8").catch(() => ""),
    readFile(boxesPath, "utf8").catch(() => null),
  ]);
  const found = names
    .filter((name) => name.endsWith(".pub") && names.includes(name.slice(0, -".pub".length)))
    .map((name) => join(ssh, name.slice(0, -".pub".length)));
  // ssh cannot write what is new where there is no folder.
  await mkdir(configuration, { recursive: true, mode: 0o700 });
  return {
    identities: [...(hasOwn ? [own] : []), ...found.toSorted()],
    knownHosts: [join(configuration, paths.knownHosts), imageHosts],
    hasImageKeys: imageKeys.trim() !== "",
    knownBoxes: boxes === null ? [] : parseKnownBoxes(boxes, boxesPath),
  };
}

/** Writes the file of known boxes, whole or not at all. */
export async function writeKnownBoxes(
  { configuration }: HomeOptions,
  boxes: readonly KnownBox[],
): Promise<void> {
  await mkdir(configuration, { recursive: true, mode: 0o700 });
  const path = join(configuration, paths.boxes);
  const temporary = `${path}.new`;
  await writeFile(temporary, formatKnownBoxes(boxes), { mode: 0o600 });
  await rename(temporary, path);
}

async function isThere(path: string): Promise<boolean> {
  return await readFile(path).then(
    () => true,
    () => false,
  );
}
