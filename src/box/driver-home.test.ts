import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { type HomeOptions, readHome, readOptional, writeKnownBoxes } from "./driver-home.ts";
import { BoxError } from "./error.ts";

/** The key of the secret 00 01 02 ... 1f; ssh-keygen of OpenSSH 9.2 gave the fingerprint. */
const key = "AAAAC3NzaC1lZDI1NTE5AAAAIAOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4";
const fingerprint = "SHA256:lbmsoA0yIEcEiVDRnMWuzm+nV+3ZEEpVIURqFoeSspg";

async function makeHome(): Promise<HomeOptions & AsyncDisposable> {
  const folder = await mkdtemp(join(tmpdir(), "diskomator-home-"));
  const ssh = join(folder, "ssh");
  await mkdir(ssh);
  return {
    ssh,
    configuration: join(folder, "config"),
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
}

test("readHome finds nothing in an empty home, and makes the folder that ssh writes to", async () => {
  await using paths = await makeHome();
  const home = await readHome(paths);
  assert.deepEqual([home.identities, home.imageKeys, home.knownBoxes], [[], [], []]);
  await writeFile(home.knownHosts[0]!, "");
});

test("readHome finds our key first, then each private key that has its public one beside it", async () => {
  await using paths = await makeHome();
  await readHome(paths);
  const own = join(paths.configuration, "id_ed25519");
  await writeFile(own, "private");
  for (const name of ["work", "work.pub", "id_rsa", "id_rsa.pub", "lonely.pub", "config"]) {
    await writeFile(join(paths.ssh, name), "");
  }
  const { identities } = await readHome(paths);
  assert.deepEqual(identities, [own, join(paths.ssh, "id_rsa"), join(paths.ssh, "work")]);
});

test("readHome trusts the host key of the images that are built now, and none from before", async () => {
  await using paths = await makeHome();
  await readHome(paths);
  const built = join(paths.configuration, "host_ed25519.pub");
  await writeFile(built, `ssh-ed25519 ${key} diskomator box\n`);
  const home = await readHome(paths);
  assert.deepEqual(home.imageKeys, [fingerprint]);
  assert.equal(await readFile(home.knownHosts[1]!, "utf8"), `* ssh-ed25519 ${key}\n`);
  await writeFile(built, "ssh-ed25519 AAAA diskomator box\n");
  await readHome(paths);
  assert.equal(await readFile(home.knownHosts[1]!, "utf8"), "* ssh-ed25519 AAAA\n");
});

test("readHome knows the keys that ssh remembers beside those of images", async () => {
  await using paths = await makeHome();
  const [remembered] = (await readHome(paths)).knownHosts;
  const revoked = `@revoked * ssh-ed25519 ${key}\n`;
  await writeFile(remembered!, `# mine\n\n${revoked}lunch-feta ssh-ed25519 AAAA\n`);
  assert.deepEqual((await readHome(paths)).hostKeys, [
    // openssl dgst -sha256 -binary of three zero bytes.
    "SHA256:cJ6AyISHokEeHuTfufIqhhSS0gxHZRUMDHlKvXD4FHw",
  ]);
  await writeFile(join(paths.configuration, "host_ed25519.pub"), `ssh-ed25519 ${key}\n`);
  const { hostKeys, imageKeys } = await readHome(paths);
  assert.deepEqual([hostKeys[0], hostKeys.length], [fingerprint, 2]);
  assert.deepEqual(imageKeys, [fingerprint]);
});

test("readHome takes no file that it cannot read for one that is not there", async () => {
  for (const name of [
    "host_ed25519.pub",
    "boxes.json",
    "known_hosts",
    "image_hosts",
    "id_ed25519",
  ]) {
    await using paths = await makeHome();
    const path = join(paths.configuration, name);
    await mkdir(path, { recursive: true });
    await assert.rejects(readHome(paths), (error: unknown) => {
      assert.ok(error instanceof BoxError, name);
      assert.equal(error.code, "configuration");
      assert.ok(error.message.includes(path), error.message);
      assert.ok(error.cause instanceof Error);
      return true;
    });
  }
});

test("readOptional is null only for what is not there", async () => {
  await using paths = await makeHome();
  assert.equal(await readOptional(join(paths.ssh, "none")), null);
  await writeFile(join(paths.ssh, "empty"), "");
  assert.equal(await readOptional(join(paths.ssh, "empty")), "");
});

test("writeKnownBoxes writes what readHome reads", async () => {
  await using paths = await makeHome();
  const boxes = [{ name: "attic", address: "10.1.2.3", ports: new Map([[22, 2222]]) }];
  await writeKnownBoxes(paths, boxes);
  assert.deepEqual((await readHome(paths)).knownBoxes, boxes);
});
