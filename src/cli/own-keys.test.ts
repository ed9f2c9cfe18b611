import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { UsageError } from "./exit.ts";
import { readSshKeys, readUsableSshKeys } from "./own-keys.ts";

/** Runs with an empty home, and no agent; says how many keys end in which comment. */
async function keysOf(made: Readonly<Record<string, string>>): Promise<string[]> {
  const { HOME = "", XDG_CONFIG_HOME, SSH_AUTH_SOCK } = process.env;
  const home = await mkdtemp(join(tmpdir(), "diskomator-keys-"));
  try {
    Object.assign(process.env, { HOME: home, XDG_CONFIG_HOME: join(home, "config") });
    delete process.env.SSH_AUTH_SOCK;
    await mkdir(join(home, ".ssh"));
    for (const [name, passphrase] of Object.entries(made)) {
      const path = join(home, ".ssh", name);
      const args = ["-q", "-t", "ed25519", "-N", passphrase, "-C", name, "-f", path];
      await promisify(execFile)("ssh-keygen", args);
    }
    const first = await readUsableSshKeys();
    assert.deepEqual(await readUsableSshKeys(), first, "what was made once is taken again");
    return first.map((line) => line.split(" ").slice(2).join(" ")).toSorted();
  } finally {
    Object.assign(process.env, { HOME });
    if (XDG_CONFIG_HOME === undefined) delete process.env.XDG_CONFIG_HOME;
    else process.env.XDG_CONFIG_HOME = XDG_CONFIG_HOME;
    if (SSH_AUTH_SOCK !== undefined) process.env.SSH_AUTH_SOCK = SSH_AUTH_SOCK;
    await rm(home, { recursive: true });
  }
}

test("readSshKeys takes public keys of files, and refuses a file that has none", async () => {
  const folder = await mkdtemp(join(tmpdir(), "diskomator-keys-"));
  const [keys, secret] = [join(folder, "keys"), join(folder, "id_ed25519")];
  try {
    await writeFile(
      keys,
      "# ours\r\nssh-ed25519 AAAA one\r\nsk-ssh-ed25519@openssh.com BBBB two\n",
    );
    await writeFile(secret, "-----BEGIN OPENSSH PRIVATE KEY-----\n");
    assert.deepEqual(await readSshKeys([keys]), [
      "ssh-ed25519 AAAA one",
      "sk-ssh-ed25519@openssh.com BBBB two",
    ]);
    // Else the image would be one that nobody can log in to.
    await assert.rejects(readSshKeys([keys, secret]), (error) => {
      assert(error instanceof UsageError);
      assert.match(error.message, /There is no public key in .*id_ed25519/);
      return true;
    });
    await assert.rejects(readSshKeys([join(folder, "none")]), /Cannot read the public key .*none/);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("readSshKeys makes no key of its own for want of a look at the user's", async () => {
  const { HOME = "" } = process.env;
  const home = await mkdtemp(join(tmpdir(), "diskomator-keys-"));
  try {
    Object.assign(process.env, { HOME: home });
    await writeFile(join(home, ".ssh"), "");
    await assert.rejects(readSshKeys(undefined), (error) => {
      assert.ok(error instanceof UsageError);
      assert.match(error.message, /Cannot look for public keys in .*ENOTDIR.*--ssh-key/);
      return true;
    });
  } finally {
    Object.assign(process.env, { HOME });
    await rm(home, { recursive: true });
  }
});

test("readUsableSshKeys adds a key for boxes only where ssh can use none of the user's", async () => {
  const [own = ""] = await keysOf({});
  assert.match(own, /for diskomator$/);
  assert.deepEqual(await keysOf({ locked: "secret" }), ["locked", own].toSorted());
  assert.deepEqual(await keysOf({ locked: "secret", plain: "" }), ["locked", "plain"]);
});
