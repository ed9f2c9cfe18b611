import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import type { BoxErrorCode } from "./error.ts";
import { type SshTarget, SshWords, sshArguments, sshError } from "./ssh.ts";

const target: SshTarget = {
  name: "lunch-feta",
  address: "fe80::1%eth0",
  port: 2222,
  hostKeyAlias: "lunch-feta",
  identities: ["/keys/one", "/keys/two"],
  knownHosts: ["/my files/100%/known_hosts", "/keys/image_hosts"],
  isNewKeyAccepted: false,
  isForLooking: false,
  connectTimeoutSeconds: 30,
};

test("sshArguments asks for the subsystem, and nothing that is the user's own takes part", () => {
  const args = sshArguments(target, { subsystem: "diskomator" });
  assert.deepEqual(args.slice(0, 2), ["-F", "none"]);
  assert.deepEqual(args.slice(-9), [
    ...["-i", "/keys/one", "-i", "/keys/two", "-T", "-s", "--", "fe80::1%eth0", "diskomator"],
  ]);
  for (const option of ["BatchMode=yes", "ForwardAgent=no", "StrictHostKeyChecking=yes"]) {
    assert(args.includes(`-o${option}`), option);
  }
});

test("sshArguments makes what ssh itself understands as it was meant", () => {
  const args = sshArguments({ ...target, isNewKeyAccepted: true }, { subsystem: "diskomator" });
  const shown = execFileSync("ssh", ["-G", ...args], { encoding: "utf8", stdio: "pipe" }).split(
    "\n",
  );
  for (const line of [
    "user root",
    "port 2222",
    "hostname fe80::1%eth0",
    "hostkeyalias lunch-feta",
    "stricthostkeychecking accept-new",
    "userknownhostsfile /my files/100%/known_hosts /keys/image_hosts",
    "globalknownhostsfile /dev/null",
    "batchmode yes",
    "forwardagent no",
  ]) {
    const [name] = line.split(" ");
    assert(shown.includes(line), `${line}, found: ${shown.filter((one) => one.startsWith(name!))}`);
  }
});

test("sshArguments leaves ssh its own order of key exchanges, except where one only looks", () => {
  const first = (isForLooking: boolean): string => {
    const args = sshArguments({ ...target, isForLooking }, { subsystem: "diskomator" });
    const shown = execFileSync("ssh", ["-G", ...args], { encoding: "utf8", stdio: "pipe" });
    return /^kexalgorithms (.*)$/m.exec(shown)?.[1] ?? "";
  };
  const usual = execFileSync("ssh", ["-G", "-F", "none", "host"], { encoding: "utf8" });
  assert.equal(first(false), /^kexalgorithms (.*)$/m.exec(usual)?.[1]);
  assert.match(first(true), /^curve25519-sha256,./);
});

const conversation = [
  "OpenSSH_9.2p1 Debian-2, OpenSSL 3.0.19 27 Jan 2026",
  "debug1: Connecting to 10.0.0.1 [10.0.0.1] port 22.",
  "debug1: Connection established.",
  'Authenticated to 10.0.0.1 ([10.0.0.1]:22) using "publickey".',
  "subsystem request failed on channel 0",
  "debug1: Exit status -1",
].join("\r\n");
test("SshWords tells complaints from chatter, however they are cut", () => {
  for (let length = 1; length <= conversation.length; length++) {
    const words = new SshWords();
    for (let at = 0; at < conversation.length; at += length)
      words.add(conversation.slice(at, at + length));
    assert.equal(words.complaints, "subsystem request failed on channel 0\n");
    assert.equal(words.isConnected, true);
  }
});

test("SshWords keeps the end of what never ends, and connects at ssh's word alone", () => {
  const words = new SshWords();
  words.add("ssh: connect to host 10.0.0.1 port 22: Connection refused");
  assert.match(words.complaints, /refused$/);
  for (let n = 0; n < 1000; n++) words.add(`line ${n} ${"x".repeat(100)}\n`);
  assert(words.complaints.length <= 8192 && words.complaints.includes("line 999"));
  assert.equal(words.isConnected, false);
});

test("sshArguments tries no more keys than a server lets it", () => {
  const identities = Array.from({ length: 20 }, (_, n) => `/keys/${n}`);
  const args = sshArguments({ ...target, identities }, { subsystem: "diskomator" });
  assert.equal(args.filter((arg) => arg === "-i").length, 5);
});

test("sshArguments lets ssh ask for a passphrase only where somebody is", () => {
  const login = (isTerminal: boolean) => sshArguments(target, { login: ["ls"], isTerminal });
  assert(login(true).includes("-oBatchMode=no") && login(true).includes("-t"));
  assert(login(false).includes("-oBatchMode=yes") && login(false).includes("-T"));
  assert.deepEqual(login(false).slice(-3), ["--", "fe80::1%eth0", "ls"]);
});

const said: readonly [stderr: string, code: BoxErrorCode, message: RegExp][] = [
  [
    "@@@@@\n@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\n@@@@@\n" +
      "Host key for lunch-feta has changed and you have requested strict checking.\r\n" +
      "Host key verification failed.",
    "host-key",
    /not the one that is known.*another machine answers.*begins with lunch-feta/,
  ],
  [
    "No ED25519 host key is known for lunch-feta and you have requested strict checking.\r\n" +
      "Host key verification failed.",
    "host-key",
    /not booted from an image that this user has built/,
  ],
  [
    'Load key "/home/ada/.ssh/id_ed25519": bad permissions\n' +
      "root@10.0.0.17: Permission denied (publickey).\r",
    "not-ours",
    /did not try all: Load key "\/home\/ada\/.ssh\/id_ed25519": bad permissions\. .*chmod 600/,
  ],
  [
    "root@10.0.0.17: Permission denied (publickey).\r",
    "not-ours",
    /its image was built with others/,
  ],
  ["subsystem request failed on channel 0", "no-channel", /has no control channel/],
  [
    "Unable to negotiate with 10.0.0.17 port 22: no matching host key type found. " +
      "Their offer: ssh-rsa,ssh-dss\r",
    "not-ours",
    /is not the box lunch-feta, but another system.*\(ssh-rsa,ssh-dss\)/,
  ],
  [
    "Unable to negotiate with 10.0.0.17 port 22: no matching key exchange method found. " +
      "Their offer: diffie-hellman-group1-sha1",
    "not-ours",
    /another system/,
  ],
  ["Protocol major versions differ: 2 vs. 1", "not-ours", /another system/],
  ["Bad server host key: Invalid key length", "not-ours", /another system/],
  [
    "ssh: connect to host 10.0.0.17 port 22: Connection timed out",
    "timeout",
    /did not answer within 30 s/,
  ],
  [
    "ssh: connect to host 10.0.0.17 port 22: Connection refused\r",
    "unreachable",
    /port 2222: Connection refused\. Check/,
  ],
  ["kex_exchange_identification: Connection closed", "unreachable", /ended: kex_exchange/],
  ["", "unreachable", /ended with 255 and said nothing/],
];
for (const [stderr, code, message] of said) {
  test(`sshError: ${stderr.split("\n").at(-1)?.trim() || "nothing"} means ${code}`, () => {
    const error = sshError(target, stderr, 255);
    assert.equal(error.code, code);
    assert.match(error.message, message);
  });
}
