import assert from "node:assert/strict";
import { test } from "node:test";
import type { ListedNode } from "./input.ts";
import { hostKeyUnit, sshFiles } from "./ssh.ts";

const node: ListedNode = { type: "file", mode: 0o644, uid: 0, gid: 0 };
const server = ["usr/sbin/sshd", "etc/pam.d/sshd"];
const pamModule = "usr/lib/x86_64-linux-gnu/security/pam_unix.so";

function run(
  paths: readonly string[],
  keys: readonly string[] = [],
  hostKey?: string,
): Map<string, string> {
  const listing = new Map(paths.map((path) => [path, node]));
  return new Map(
    sshFiles(listing, keys, hostKey).map((piece) => {
      return [piece.path, piece.type === "file" ? piece.text : ""];
    }),
  );
}

/** Keywords in order; sshd takes the first value of each. */
function firstValues(configuration: string): Map<string, string> {
  const values = new Map<string, string>();
  for (const line of configuration.split("\n")) {
    const [, keyword, value] = /^(\w+)\s+(.*)$/.exec(line) ?? [];
    if (keyword !== undefined && !values.has(keyword)) {
      values.set(keyword, value!);
    }
  }
  return values;
}

test("sshFiles lets nobody in by password, and root by the given keys only", () => {
  const files = run(server, ["ssh-ed25519 AAAA a", "ssh-ed25519 BBBB b\n"]);
  const values = firstValues(files.get("etc/ssh/sshd_config")!);
  assert.equal(values.get("PasswordAuthentication"), "no");
  assert.equal(values.get("KbdInteractiveAuthentication"), "no");
  assert.equal(values.get("PermitEmptyPasswords"), "no");
  assert.equal(values.get("AuthenticationMethods"), "publickey");
  assert.equal(values.get("PermitRootLogin"), "prohibit-password");
  assert.equal(values.get("AuthorizedKeysFile"), "/etc/ssh/authorized_keys.d/%u");
  assert.equal(values.get("AuthorizedKeysCommand"), "none");
  assert.equal(
    files.get("etc/ssh/authorized_keys.d/root"),
    "ssh-ed25519 AAAA a\nssh-ed25519 BBBB b\n",
  );
});

test("sshFiles includes further files last, so that they weaken nothing", () => {
  const lines = run(server).get("etc/ssh/sshd_config")!.trimEnd().split("\n");
  assert.equal(lines.at(-1), "Include /etc/ssh/sshd_config.d/*.conf");
  assert.equal(lines.filter((line) => line.startsWith("Include")).length, 1);
});

test("sshFiles opens no session with PAM, whose modules may be there or not", () => {
  for (const paths of [server, [...server, pamModule]]) {
    const configuration = run(paths).get("etc/ssh/sshd_config")!;
    assert.equal(firstValues(configuration).get("UsePAM"), "no", configuration);
  }
});

test("sshFiles makes the configured host key at boot, before the server starts", () => {
  const files = run(server);
  const key = firstValues(files.get("etc/ssh/sshd_config")!).get("HostKey")!;
  const unit = files.get(`usr/lib/systemd/system/${hostKeyUnit}`)!;
  assert(unit.includes(`-f ${key}\n`));
  assert.match(unit, /^Before=.*\bssh\.service\b/m);
  assert.match(unit, /^RequiredBy=ssh\.service$/m);
  assert(![...files.keys()].some((path) => path.includes("ssh_host_")));
});

test("sshFiles writes nothing without a server", () => {
  assert.equal(run(["usr/bin/ssh"]).size, 0);
});

test("sshFiles takes the owner's host key in place of one made at boot", () => {
  const files = run(server, [], "PRIVATE");
  const path = firstValues(files.get("etc/ssh/sshd_config")!).get("HostKey")!;
  assert.equal(files.get(path.slice(1)), "PRIVATE\n");
  assert(!files.has(`usr/lib/systemd/system/${hostKeyUnit}`));
});
