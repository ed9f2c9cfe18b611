/**
 * Keys of this user for boxes, below the user's configuration folder: the one by which images of
 * this user know themselves to SSH clients, and one to log in with for those who have none.
 */

import { execFile } from "node:child_process";
import { randomBytes, randomUUID } from "node:crypto";
import { link, mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { userInfo } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { makeSshKey, readPublicKey } from "../image/index.ts";
import { tell } from "./console.ts";
import { UsageError } from "./exit.ts";
import { configDirectory, homeDirectory } from "./user-folders.ts";

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
  const found = async () => {
    const folder = sshDirectory();
    const names = await readdir(folder).catch((cause: NodeJS.ErrnoException) => {
      if (cause.code === "ENOENT") return [];
      throw new UsageError(
        `Cannot look for public keys in ${folder}: ${cause.message}. Name one with --ssh-key.`,
        { cause },
      );
    });
    return names.filter((name) => name.endsWith(".pub")).map((name) => join(folder, name));
  };
  const paths = files ?? (await found());
  const keys = await Promise.all(
    paths.toSorted().map(async (path) => {
      const text = await readFile(path, "utf8").catch((cause: Error) => {
        throw new UsageError(`Cannot read the public key ${path}: ${cause.message}.`, { cause });
      });
      const lines = text.split(/\r?\n/).filter((line) => /^(ssh-|ecdsa-|sk-)/.test(line));
      if (files !== undefined && lines.length === 0) {
        throw new UsageError(
          `There is no public key in ${path}: wanted a line as of a file that ends in .pub.`,
        );
      }
      return lines;
    }),
  );
  const lines = keys.flat();
  return lines.length === 0 ? [await ownLoginKey()] : lines;
}

/**
 * Keys for an image that this program itself will log in to, where nobody may be there to be asked for
 * a passphrase: as `readSshKeys`, and the one for boxes unless ssh can use one of the others as it is.
 */
export async function readUsableSshKeys(): Promise<string[]> {
  const keys = await readSshKeys(undefined);
  const own = await readFile(join(configDirectory(), `${loginKeyFile}.pub`), "utf8").catch(
    () => "",
  );
  const usable = [own, await output("ssh-add", ["-L"])];
  const folder = sshDirectory();
  for (const name of await readdir(folder).catch(() => [])) {
    if (!name.endsWith(".pub")) continue;
    const path = join(folder, name.slice(0, -".pub".length));
    usable.push(await output("ssh-keygen", ["-y", "-P", "", "-f", path]));
  }
  const text = usable.join("\n");
  const isUsable = keys.some((line) => text.includes(line.split(/\s+/)[1] ?? line));
  return isUsable ? keys : [...keys, await ownLoginKey()];
}

/** What a program says; nothing when it fails. */
async function output(program: string, args: readonly string[]): Promise<string> {
  return await promisify(execFile)(program, args).then(
    ({ stdout }) => stdout,
    () => "",
  );
}

async function ownLoginKey(): Promise<string> {
  return (await keyOf(loginKeyFile, `${userInfo().username} for diskomator`)).publicKey;
}

/**
 * A pair of the folder, made when it is not there. Several programs may want it at once, and each may
 * be killed at any time: the private key is there whole or not at all, and the other follows from it.
 */
async function keyOf(
  name: string,
  comment: string,
): Promise<{ readonly privateKey: string; readonly publicKey: string }> {
  const path = join(configDirectory(), name);
  const privateKey = (await readIfThere(path)) ?? (await makeKey(path, comment));
  const known = (await readIfThere(`${path}.pub`))?.trim();
  if (known) return { privateKey, publicKey: known };
  const key = readPublicKey(privateKey);
  if (key === null) {
    throw new UsageError(
      `Cannot use the SSH key ${path}: wanted a private key as OpenSSH writes it, without a ` +
        "passphrase. Restore it, or remove it, and another one is made.",
    );
  }
  const publicKey = `${key} ${comment}`;
  await putWhole(`${path}.pub`, `${publicKey}\n`, 0o644, rename);
  return { privateKey, publicKey };
}

/** Makes a private key; it is never put in the place of one that is there. */
async function makeKey(path: string, comment: string): Promise<string> {
  const { privateKey } = makeSshKey(randomBytes(32), comment);
  await mkdir(configDirectory(), { recursive: true, mode: 0o700 });
  try {
    await putWhole(path, privateKey, 0o600, link);
  } catch (cause) {
    if (cause instanceof Error && "code" in cause && cause.code === "EEXIST") {
      return await readFile(path, "utf8");
    }
    throw cause;
  }
  tell(`Made an SSH key for boxes: ${path}`);
  return privateKey;
}

async function putWhole(
  path: string,
  text: string,
  mode: number,
  put: (from: string, to: string) => Promise<void>,
): Promise<void> {
  const scratch = `${path}.${randomUUID()}`;
  try {
    await writeFile(scratch, text, { mode, flag: "wx" });
    await put(scratch, path);
  } finally {
    await rm(scratch, { force: true });
  }
}

async function readIfThere(path: string): Promise<string | undefined> {
  return await readFile(path, "utf8").catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === "ENOENT") return undefined;
    throw new UsageError(`Cannot read the SSH key ${path}: ${cause.message}.`, { cause });
  });
}

function sshDirectory(): string {
  return join(homeDirectory(), ".ssh");
}
