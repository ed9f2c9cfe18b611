import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { ImageError } from "../error.ts";
import { accountFiles } from "./account-files.ts";
import { type Accounts, allocateAccounts, type OwnerOf } from "./accounts.ts";
import { parseSysusers } from "./sysusers.ts";

/** A cut of what trixie's systemd, dbus, udev and openssh-server ship, in file-name order. */
const files: readonly (readonly [string, string])[] = [
  [
    "basic.conf",
    "g shadow 42 -\ng users 100 -\ng nogroup 65534 -\n" +
      "u root 0 - /root /bin/bash\nu daemon 1 - /usr/sbin /usr/sbin/nologin\n" +
      "u sync 4:65534 - /bin /bin/sync\nu _apt 42:65534 - /nonexistent /usr/sbin/nologin\n",
  ],
  ["dbus.conf", 'u messagebus - "System Message Bus" /nonexistent\n'],
  ["debian-udev.conf", "g input -\ng sgx -\ng clock -\ng kvm -\ng render -\n"],
  ["openssh-server.conf", 'u sshd -:nogroup "sshd user" /run/sshd\n'],
  ["systemd-journal.conf", "g systemd-journal - -\n"],
  ["systemd-network.conf", 'u! systemd-network - "systemd Network Management"\n'],
  ["zz-members.conf", "m daemon input\nm sshd shadow\nm daemon shadow\nm ghost spooky\n"],
];

const nobody: OwnerOf = () => undefined;

function allocate(ids: Record<string, number> = {}, extra = "", ownerOf = nobody): Accounts {
  const all = [...files.map(([, text]) => text), extra].join("");
  return allocateAccounts(parseSysusers("all", all), ids, ownerOf);
}

function idsOf(accounts: Accounts): Record<string, string> {
  const groups = accounts.groups.map((each) => [`g ${each.name}`, String(each.gid)] as const);
  const users = accounts.users.map((each) => [each.name, `${each.uid}:${each.gid}`] as const);
  return Object.fromEntries([...groups, ...users]);
}

test("allocateAccounts gives groups first, then users, from 999 downwards", () => {
  const ids = idsOf(allocate());
  assert.equal(ids["g input"], "999");
  assert.equal(ids["g render"], "995");
  assert.equal(ids["g systemd-journal"], "994");
  assert.equal(ids.messagebus, "992:992");
  assert.equal(ids.sshd, "991:65534");
  assert.equal(ids["systemd-network"], "990:990");
  assert.equal(ids.daemon, "1:1");
  assert.equal(ids._apt, "42:65534");
});

test("allocateAccounts makes what only an m line names", () => {
  const accounts = allocate();
  assert.deepEqual(accounts.groups.find((each) => each.name === "spooky")?.members, ["ghost"]);
  assert(accounts.users.some((each) => each.name === "ghost"));
});

test("allocateAccounts reports for the lock what no package fixes, and only that", () => {
  assert.deepEqual(Object.keys(allocate().ids).sort(), [
    "clock",
    "ghost",
    "input",
    "kvm",
    "messagebus",
    "render",
    "sgx",
    "spooky",
    "sshd",
    "systemd-journal",
    "systemd-network",
  ]);
});

test("allocateAccounts keeps the lock's ids when accounts come and go", () => {
  const first = allocate();
  const more = allocate(first.ids, "g aaa -\nu bbb -\n");
  const before = idsOf(first);
  for (const [name, id] of Object.entries(before)) {
    assert.equal(idsOf(more)[name], id, name);
  }
  const fewer = allocateAccounts(parseSysusers("one", "g new -\n"), more.ids, nobody);
  assert(!Object.values(more.ids).includes(fewer.ids.new!));
  assert.deepEqual(idsOf(allocate(fewer.ids)), before);
});

test("allocateAccounts gives another id, with a note, when a package fixes the lock's", () => {
  const accounts = allocate({ input: 998 }, "");
  assert.equal(idsOf(accounts)["g input"], "998");
  const taken = allocate({ input: 42 });
  assert.equal(idsOf(taken)["g input"], "999");
  assert.deepEqual(
    taken.notes.map((note) => note.subject),
    ["input"],
  );
});

test("allocateAccounts lets the first of two different lines win, with a note", () => {
  const accounts = allocate({}, "g shadow 43\ng users 100\n");
  assert.equal(idsOf(accounts)["g shadow"], "42");
  assert.deepEqual(
    accounts.notes.map((note) => note.subject),
    ["shadow"],
  );
});

test("allocateAccounts takes ids from paths and ranges", () => {
  const owner: OwnerOf = (path) => (path === "usr/a" ? { uid: 77, gid: 78 } : undefined);
  const text = "u fromPath /usr/a\ng one -\ng two -\ng three -\nr - 600-601\nr - 10\n";
  assert.deepEqual(idsOf(allocateAccounts(parseSysusers("a", text), {}, owner)), {
    fromPath: "77:78",
    "g fromPath": "78",
    "g one": "601",
    "g two": "600",
    "g three": "10",
  });
});

test("allocateAccounts refuses a user whose group nobody declares", () => {
  assert.throws(
    () => allocate({}, "u lost -:nowhere\n"),
    (error: unknown) => error instanceof ImageError && error.facts.group === "nowhere",
  );
});

test("allocateAccounts stops when ids run out", () => {
  assert.throws(
    () => allocateAccounts(parseSysusers("a", "r - 5-6\ng a -\ng b -\ng c -\n"), {}, nobody),
    (error: unknown) => error instanceof ImageError && error.facts.name === "c",
  );
});

const epochSeconds = 20_780 * 86_400 + 5;

test("accountFiles gives root no password, an empty one when asked, and locks the rest", () => {
  const shadow = (rootWithoutPassword: boolean) => {
    const pieces = accountFiles(allocate(), { rootWithoutPassword, epochSeconds });
    const piece = pieces.find((each) => each.path === "etc/shadow");
    assert(piece?.type === "file");
    assert.deepEqual([piece.mode, piece.group], [0o640, "shadow"]);
    return piece.text.split("\n");
  };
  assert(shadow(false).includes("root:*:20780::::::"));
  assert(shadow(true).includes("root::20780::::::"));
  assert(shadow(true).includes("messagebus:!*:20780::::::"));
  assert(shadow(false).includes("systemd-network:!*:20780:::::1:"));
});

const sysusers = spawnSync("systemd-sysusers", ["--version"], { encoding: "utf8" });
const missing = sysusers.error === undefined ? false : "systemd-sysusers is not installed";
assert(missing === false || process.env.CI === undefined, `under CI: ${missing}`);

test("accountFiles writes what systemd-sysusers writes", { skip: missing }, (context) => {
  const root = mkdtempSync(join(tmpdir(), "sysusers-"));
  context.after(() => rmSync(root, { recursive: true, force: true }));
  mkdirSync(join(root, "usr/lib/sysusers.d"), { recursive: true });
  mkdirSync(join(root, "etc"));
  // systemd before 257 does not know `u!`, which is the same account with an expiry day.
  const plain = files.map(([name, text]) => [name, text.replaceAll("u! ", "u ")] as const);
  for (const [name, text] of plain) {
    writeFileSync(join(root, "usr/lib/sysusers.d", name), text);
  }
  const run = spawnSync("systemd-sysusers", [`--root=${root}`], {
    encoding: "utf8",
    env: { ...process.env, SOURCE_DATE_EPOCH: String(epochSeconds) },
  });
  assert.equal(run.status, 0, run.stderr);
  const text = plain.map(([, each]) => each).join("");
  const accounts = allocateAccounts(parseSysusers("all", text), {}, nobody);
  for (const piece of accountFiles(accounts, { rootWithoutPassword: false, epochSeconds })) {
    if (piece.type === "file" && !piece.path.startsWith("etc/sub")) {
      // Root's password field is ours on purpose; systemd's differs between its versions.
      const normalise = (content: string) => content.replace(/^root:[^:]*:(?=\d{5}:)/m, "root:*:");
      // Its shadow files have mode 0, which only root can read.
      chmodSync(join(root, piece.path), 0o600);
      const theirs = readFileSync(join(root, piece.path), "utf8");
      assert.equal(normalise(piece.text), normalise(theirs), piece.path);
    }
  }
});
