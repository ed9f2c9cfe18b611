import assert from "node:assert/strict";
import { test } from "node:test";
import type { Accounts } from "./accounts.ts";
import type { ListedNode } from "./input.ts";
import { postinstModes, resolveModes } from "./modes.ts";
import { checkReferences } from "./references.ts";

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
