/**
 * Keys of this user for boxes, below the user's configuration folder: the one by which images of
 * this user know themselves to SSH clients, and one to log in with for those who have none.
 */

import { randomBytes } from "node:crypto";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { homedir, userInfo } from "node:os";
import { join } from "node:path";
import { makeSshKey } from "../image/index.ts";
import { tell } from "./console.ts";
import { UsageError } from "./exit.ts";
import { configDirectory } from "./user-home.ts";

/** Files of the folder; each has its public key beside it, with `.pub`. */
const hostKeyFile = "host_ed25519";
const loginKeyFile = "id_ed25519";

/** The private host key of the boxes of this user, made when there is none yet. */
export async function ownHostKey(): Promise<string> {
  return (await keyOf(hostKeyFile, "diskomator box")).privateKey;
}

/**
 * The user's public keys, one line each: the files given; else all of `~/.ssh`; else one that is
 * made for this purpose.
 */
export async function readSshKeys(files: readonly string[] | undefined): Promise<string[]> {
  const folder = join(homedir(), ".ssh");
  const found = async () => {
    const names = await readdir(folder).catch(() => []);
    return names.filter((name) => name.endsWith(".pub")).map((name) => join(folder, name));
  };
  const paths = files ?? (await found());
  if (paths.length === 0) {
    const { publicKey } = await keyOf(loginKeyFile, `${userInfo().username} for diskomator`);
    return [publicKey];
  }
  const texts = await Promise.all(
    paths.toSorted().map(async (path) => {
      try {
        return await readFile(path, "utf8");
      } catch {
        throw new UsageError(`Cannot read the public key ${path}.`);
      }
    }),
  );
  return texts
    .flatMap((text) => text.split("\n"))
    .filter((line) => /^(ssh-|ecdsa-|sk-)/.test(line));
}

/** A pair of the folder, made when it is not there. */
async function keyOf(
  name: string,
  comment: string,
): Promise<{ readonly privateKey: string; readonly publicKey: string }> {
  const path = join(configDirectory(), name);
  const read = async () => ({
    privateKey: await readFile(path, "utf8"),
    publicKey: (await readFile(`${path}.pub`, "utf8")).trim(),
  });
  try {
    return await read();
  } catch {
    const pair = makeSshKey(randomBytes(32), comment);
    await mkdir(configDirectory(), { recursive: true, mode: 0o700 });
    try {
      // Never in the place of a key that is there, whatever was wrong with reading it.
      await writeFile(path, pair.privateKey, { mode: 0o600, flag: "wx" });
    } catch (cause) {
      if (cause instanceof Error && "code" in cause && cause.code === "EEXIST") return await read();
      throw cause;
    }
    await writeFile(`${path}.pub`, `${pair.publicKey}\n`);
    tell(`Made an SSH key for boxes: ${path}`);
    return pair;
  }
}
