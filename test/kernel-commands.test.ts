/** `connect` and `disconnect` with programs of our own in the place of those that root runs. */

import assert from "node:assert/strict";
import { chmod, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { type FakeUser, makeFakeUser, startFakeBox } from "./driver-fake-box.ts";

const options = {
  skip: !(process.platform === "linux" && process.getuid?.() === 0) && "for root on Linux",
};

/** Says what it is asked; the kernel refuses to connect. */
const shell = `#!/bin/sh
{ echo "$0 $*"; cat; echo; } >>"$0.log"
case "$*" in *nvme-fabrics*) echo "cat: write error: Connection refused" >&2; exit 1; esac
`;

/** @returns what the shell was asked so far, with what it got on its standard input */
async function giveTools(user: FakeUser): Promise<() => Promise<string>> {
  for (const name of ["sh", "modprobe", "keyctl", "tlshd"]) {
    const path = join(user.folder, "bin", name);
    await writeFile(path, name === "sh" ? shell : "#!/bin/sh\ncat >/dev/null\n");
    await chmod(path, 0o755);
  }
  return () => readFile(join(user.folder, "bin/sh.log"), "utf8");
}

test("connect that fails leaves neither a key in the kernel nor a grant", options, async () => {
  await using box = await startFakeBox(["S6Z1NJ0W1"]);
  await using user = await makeFakeUser({ "lunch-feta": box.port });
  const asked = await giveTools(user);
  const { exitCode, stderr } = await user.run("connect", "lunch-feta");
  assert.equal(exitCode, 1, stderr);
  assert.match(stderr, /Cannot connect nvme0n1 of lunch-feta.*Connection refused/);
  assert.match((await asked()).split("nvme-fabrics")[1] ?? "", /keyctl unlink/);
  assert.equal(box.grants.size, 0);
});

test(
  "connect gives the kernel an IP address where the box is known by a name",
  options,
  async () => {
    await using box = await startFakeBox(["S6Z1NJ0W1"]);
    await using user = await makeFakeUser({});
    const asked = await giveTools(user);
    const boxes = [{ name: "lunch-feta", address: "localhost", ports: { 22: box.port } }];
    await writeFile(join(user.folder, "config/diskomator/boxes.json"), JSON.stringify({ boxes }));
    const { stderr } = await user.run("connect", "lunch-feta", "--no-tls");
    assert.match(stderr, /Connection refused/);
    assert.match(await asked(), /traddr=(?:127\.0\.0\.1|::1),/);
  },
);

test("disconnect takes a grant back of which nothing is attached any more", options, async () => {
  await using box = await startFakeBox(["S6Z1NJ0W1"]);
  await using user = await makeFakeUser({ "lunch-feta": box.port });
  await giveTools(user);
  // The box remembers who has asked, and the device is gone, as after: disconnect /dev/nvme3n1.
  await user.run("connect", "lunch-feta", "--no-tls");
  assert.equal((await user.run("disconnect", "lunch-feta")).exitCode, 5, "there is nothing at all");
  const hostnqn = /hostnqn=([^,]+),/.exec(
    await readFile(join(user.folder, "bin/sh.log"), "utf8"),
  )?.[1];
  const rest = { since: "2026-11-23T12:00:00.000Z", expiresAt: null, overlay: null };
  const grant = { grant: "g7", hostnqn: hostnqn ?? "", purpose: "", ...rest };
  box.grants.set("g7", { ...grant, mode: "rw", disks: [] });
  const { exitCode, stderr } = await user.run("disconnect", "lunch-feta");
  assert.equal(exitCode, 0, stderr);
  assert.match(stderr, /the grant g7 is taken back/);
  assert.equal(box.grants.size, 0);
});
