import assert from "node:assert/strict";
import { test } from "node:test";
import type { LockedPackage } from "../lock.ts";
import type { Accounts } from "./accounts.ts";
import type { ListedNode } from "./input.ts";
import { postinstModes, resolveModes } from "./modes.ts";
import { checkReferences } from "./references.ts";
import { changedScripts, reviewScripts } from "./scripts.ts";

const root = {
  name: "root",
  uid: 0,
  gid: 0,
  gecos: "",
  home: "/",
  shell: "/bin/sh",
  locked: false,
};
const accounts: Accounts = {
  users: [root, { ...root, name: "known", uid: 999, gid: 999 }],
  groups: [
    { name: "root", gid: 0, members: [] },
    { name: "known", gid: 999, members: [] },
  ],
  ids: {},
  notes: [],
};
const node: ListedNode = { type: "file", mode: 0o755, uid: 0, gid: 0 };

const named: { name: string; path: string; text: string; missing: string[] }[] = [
  {
    name: "a service's user and groups",
    path: "usr/lib/systemd/system/a.service",
    text: "[Service]\nUser=lost\nGroup=known\nSupplementaryGroups=gone known\n",
    missing: ["lost", "gone"],
  },
  {
    name: "no user that the service makes itself, and no specifier",
    path: "usr/lib/systemd/system/a.service",
    text: "[Service]\nDynamicUser=yes\nUser=own\n",
    missing: [],
  },
  {
    name: "a socket's group",
    path: "usr/lib/systemd/system/a.socket",
    text: "[Socket]\nSocketUser=known\nSocketGroup=lost\n",
    missing: ["lost"],
  },
  {
    name: "no user of an instance",
    path: "usr/lib/systemd/system/user@.service",
    text: "[Service]\nUser=%i\n",
    missing: [],
  },
  {
    name: "owners in tmpfiles.d",
    path: "usr/lib/tmpfiles.d/a.conf",
    text: "# d /x 0755 commented\nd /run/a 2775 lost :gone -\nd /run/b 0755 - - -\nx /tmp/a-*\n",
    missing: ["lost", "gone"],
  },
  {
    name: "owners in udev rules",
    path: "usr/lib/udev/rules.d/a.rules",
    text: 'KERNEL=="a", OWNER="known", GROUP="lost"\nGROUP:="$env{X}"\n',
    missing: ["lost"],
  },
];

for (const { name, path, text, missing } of named) {
  test(`checkReferences finds ${name}`, () => {
    const notes = checkReferences(new Map(), new Map([[path, text]]), accounts);
    assert.deepEqual(
      notes.map((note) => note.subject),
      missing,
    );
  });
}

test("checkReferences finds generators and library folders that nobody has thought of", () => {
  const folder = "usr/lib/systemd/system-generators/";
  const paths = [
    `${folder}tor-generator`,
    `${folder}systemd-debug-generator`,
    `${folder}systemd-gpt-auto-generator`,
    "etc/ld.so.conf.d/x86_64-linux-gnu.conf",
    "etc/ld.so.conf.d/fakeroot.conf",
  ];
  const listing = new Map(paths.map((path) => [path, node]));
  assert.deepEqual(
    checkReferences(listing, new Map(), accounts).map((note) => `${note.code} ${note.subject}`),
    [`generator ${folder}tor-generator`, "library-path etc/ld.so.conf.d/fakeroot.conf"],
  );
});

test("resolveModes gives numbers for paths in the image, and notes a group that is missing", () => {
  const helper = "usr/lib/polkit-1/polkit-agent-helper-1";
  const launcher = "usr/lib/dbus-1.0/dbus-daemon-launch-helper";
  const listing = new Map([helper, launcher].map((path) => [path, node]));
  const { overrides, notes } = resolveModes(listing, accounts);
  assert.deepEqual([...overrides], [[helper, { mode: 0o4755, uid: 0, gid: 0 }]]);
  assert.deepEqual(
    notes.map((note) => note.subject),
    [launcher],
  );
});

test("postinstModes names canonical paths and permission bits", () => {
  for (const [path, { mode }] of Object.entries(postinstModes)) {
    assert.match(path, /^(?:usr|etc|var)\//);
    assert(mode > 0 && mode <= 0o7777, path);
  }
});

const generated = `# Automatically added by dh_installsystemd/13
mkdir /x
# End automatically added section
`;

const scripts: { name: string; package: string; text: string; notes: number }[] = [
  { name: "is silent on a script that does nothing", package: "new", text: "true\n", notes: 0 },
  { name: "is silent on comments", package: "new", text: "  # chown this\n", notes: 0 },
  { name: "is silent on debhelper's own parts", package: "new", text: generated, notes: 0 },
  { name: "is silent on reviewed packages", package: "dbus", text: "chown a b\n", notes: 0 },
  {
    name: "reports a new script that does something",
    package: "new",
    text: "chown a b\n",
    notes: 1,
  },
];

for (const { name, package: owner, text, notes } of scripts) {
  test(`reviewScripts ${name}`, () => {
    assert.equal(reviewScripts([{ package: owner, script: "postinst", text }]).length, notes);
  });
}

test("reviewScripts does not look at scripts of a removal", () => {
  assert.deepEqual(reviewScripts([{ package: "new", script: "postrm", text: "chown a b" }]), []);
});

test("changedScripts reports what changed and what is known of it, and no new packages", () => {
  const locked = (name: string, version: string, hash: string): LockedPackage => ({
    name,
    version,
    architecture: "amd64",
    archive: "debian",
    path: "",
    sizeBytes: 0,
    sha256: "",
    scripts: { postinst: hash, preinst: "same" },
  });
  const before = [locked("dbus", "1", "a"), locked("same", "1", "a")];
  const after = [locked("dbus", "2", "b"), locked("same", "2", "a"), locked("new", "1", "c")];
  const notes = changedScripts(before, after);
  assert.deepEqual(
    notes.map((note) => note.subject),
    ["dbus"],
  );
  assert.match(notes[0]!.message, /^postinst of dbus changed from 1 to 2\. .*launch helper/);
});
