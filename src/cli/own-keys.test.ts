import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { UsageError } from "./exit.ts";
import { ownHostKey, readSshKeys, readUsableSshKeys } from "./own-keys.ts";

/** Runs with an empty home, and no agent. */
async function withHome<T>(body: (home: string) => Promise<T>): Promise<T> {
  const { HOME = "", XDG_CONFIG_HOME, SSH_AUTH_SOCK } = process.env;
  const home = await mkdtemp(join(tmpdir(), "diskomator-keys-"));
  try {
    Object.assign(process.env, { HOME: home, XDG_CONFIG_HOME: join(home, "config") });
    delete process.env.SSH_AUTH_SOCK;
    return await body(home);
  } finally {
    Object.assign(process.env, { HOME });
    if (XDG_CONFIG_HOME === undefined) delete process.env.XDG_CONFIG_HOME;
    else process.env.XDG_CONFIG_HOME = XDG_CONFIG_HOME;
    if (SSH_AUTH_SOCK !== undefined) process.env.SSH_AUTH_SOCK = SSH_AUTH_SOCK;
    await rm(home, { recursive: true });
  }
}

/** Says how many keys end in which comment. */
function keysOf(made: Readonly<Record<string, string>>): Promise<string[]> {
  return withHome(async (home) => {
    await mkdir(join(home, ".ssh"));
    for (const [name, passphrase] of Object.entries(made)) {
      const path = join(home, ".ssh", name);
      const args = ["-q", "-t", "ed25519", "-N", passphrase, "-C", name, "-f", path];
      await promisify(execFile)("ssh-keygen", args);
    }
    const first = await readUsableSshKeys();
    assert.deepEqual(await readUsableSshKeys(), first, "what was made once is taken again");
    return first.map((line) => line.split(" ").slice(2).join(" ")).toSorted();
  });
}

test("ownHostKey and readSshKeys give all who make keys at once the same ones", () =>
  withHome(async (home) => {
    const hosts = await Promise.all(Array.from({ length: 8 }, () => ownHostKey()));
    assert.equal(new Set(hosts).size, 1);
    const logins = await Promise.all(Array.from({ length: 8 }, () => readSshKeys(undefined)));
    assert.equal(new Set(logins.flat()).size, 1);
    const names = ["host_ed25519", "host_ed25519.pub", "id_ed25519", "id_ed25519.pub"];
    assert.deepEqual((await readdir(join(home, "config/diskomator"))).toSorted(), names);
  }));

test("readSshKeys makes the public key again that was not written any more, or not whole", () =>
  withHome(async (home) => {
    const [key] = await readSshKeys(undefined);
    const path = join(home, "config/diskomator/id_ed25519.pub");
    await writeFile(path, "");
    assert.deepEqual(await readSshKeys(undefined), [key]);
    await rm(path);
    assert.deepEqual(await readSshKeys(undefined), [key]);
    assert.equal(await readFile(path, "utf8"), `${key}\n`);
    await rm(path);
    await writeFile(path.replace(/\.pub$/, ""), "cut");
    await assert.rejects(readSshKeys(undefined), /Cannot use the SSH key .*id_ed25519: wanted/);
  }));

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
