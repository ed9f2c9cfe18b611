import assert from "node:assert/strict";
import { test } from "node:test";
import { capturedBytes } from "./capture.ts";
import { readDeb } from "./deb.ts";
import { debArchive, type TarFields, tarArchive } from "./testing/fixture.ts";
import { treeOfDeb, type UnpackRules } from "./tree.ts";

const epochSeconds = 1_600_000_000;
const plain: UnpackRules = {
  filters: [],
  keepSetuid: [],
  capture: [],
  userIds: {},
  groupIds: {},
  epochSeconds,
};
const unpack = (entries: readonly TarFields[], rules: Partial<UnpackRules> = {}) =>
  treeOfDeb(readDeb(debArchive(tarArchive(...entries)), "box.deb"), { ...plain, ...rules });
const listed = (entries: readonly TarFields[], rules: Partial<UnpackRules> = {}) =>
  unpack(entries, rules).entries.map((entry) => {
    const target = "target" in entry ? ` → ${entry.target}` : "";
    return `${entry.type} ${entry.path}${target}`;
  });
const directory = (name: string): TarFields => ({ name, type: "5", mode: 0o755 });

test("treeOfDeb gives paths the owner and mode of the rules, set-id bits only where they may stay", () => {
  const helper = { mode: 0o4754, uid: 0, gid: 993 };
  const ownerships = { "usr/lib/helper": helper, "etc/secret": { mode: 0o700, uid: 0, gid: 0 } };
  const entries = [
    { name: "./usr/lib/helper" },
    { name: "./usr/lib/tool" },
    directory("./etc/secret/"),
  ];
  const modes = (keepSetuid: readonly string[]) =>
    unpack(entries, { ownerships, keepSetuid })
      .entries.filter(({ path }) => /helper|secret/.test(path))
      .map(({ path, mode, uid, gid }) => `${path} ${mode.toString(8)} ${uid}:${gid}`);
  assert.deepEqual(modes([]), ["etc/secret 700 0:0", "usr/lib/helper 754 0:993"]);
  assert.deepEqual(modes(["usr/lib/helper"])[1], "usr/lib/helper 4754 0:993");
});

test("treeOfDeb makes symbolic links of all names of one, and devices of those of one", () => {
  const entries: TarFields[] = [
    { name: "./a", type: "2", linkName: "target" },
    { name: "./b", type: "1", linkName: "./a" },
    { name: "./c", type: "3", major: 1, minor: 3 },
    { name: "./d", type: "1", linkName: "./c" },
  ];
  assert.deepEqual(listed(entries), [
    "symlink a → target",
    "symlink b → target",
    "character c",
    "character d",
  ]);
});

test("treeOfDeb sorts by path and adds the parents that are missing", () => {
  const entries = [{ name: "./b/c/d" }, directory("./b.x/"), { name: "./a" }];
  assert.deepEqual(listed(entries), [
    "file a",
    "directory b",
    "directory b.x",
    "directory b/c",
    "file b/c/d",
  ]);
  assert.deepEqual(unpack(entries).entries[1], {
    type: "directory",
    path: "b",
    mode: 0o755,
    uid: 0,
    gid: 0,
    mtimeSeconds: epochSeconds,
  });
});

test("treeOfDeb moves aliased paths below usr, and keeps only the symlinks of base-files", () => {
  const entries = [
    directory("./"),
    directory("./lib/"),
    directory("./lib/udev/"),
    directory("./usr/"),
    directory("./usr/lib/"),
    directory("./usr/lib/udev/"),
    { name: "./lib/udev/rule" },
    { name: "./sbin/x", type: "1", linkName: "./lib/udev/rule" },
    { name: "./bin", type: "2", linkName: "usr/bin" },
  ];
  assert.deepEqual(listed(entries), [
    "symlink bin → usr/bin",
    "directory usr",
    "directory usr/lib",
    "directory usr/lib/udev",
    "file usr/lib/udev/rule",
    "directory usr/sbin",
    "hardlink usr/sbin/x → usr/lib/udev/rule",
  ]);
});

test("treeOfDeb strips set-id bits unless the rules keep them, and no others", () => {
  const entries = [
    { name: "su", mode: 0o4755 },
    { name: "write", mode: 0o2755 },
    { name: "helper", mode: 0o4750 },
    { name: "mail/", type: "5", mode: 0o2775 },
    { name: "tmp/", type: "5", mode: 0o1777 },
  ];
  const { entries: made } = unpack(entries, { keepSetuid: ["help*"] });
  assert.deepEqual(
    made.map(({ path, mode }) => [path, mode.toString(8)]),
    [
      ["helper", "4750"],
      ["mail", "2775"],
      ["su", "755"],
      ["tmp", "1777"],
      ["write", "755"],
    ],
  );
});

test("treeOfDeb takes owners by name where the rules know it, else by number", () => {
  const owned = { uid: 103, gid: 104 };
  const entries = [
    { name: "a", ...owned, userName: "polkitd", groupName: "messagebus" },
    { name: "b", ...owned, userName: "constructor", groupName: "" },
  ];
  const ids = { userIds: { polkitd: 990 }, groupIds: { messagebus: 0 } };
  const owners = unpack(entries, ids).entries.map(({ uid, gid }) => [uid, gid]);
  assert.deepEqual(owners, [
    [990, 0],
    [103, 104],
  ]);
});

test("treeOfDeb takes the earlier of a file's mtime and the epoch", () => {
  const { entries } = unpack([
    { name: "new", mtime: epochSeconds + 1 },
    { name: "old", mtime: 1 },
  ]);
  assert.deepEqual(
    entries.map(({ mtimeSeconds }) => mtimeSeconds),
    [epochSeconds, 1],
  );
});

const docs = { filters: [{ reason: "docs", globs: ["doc/**"], except: ["doc/keep/**"] }] };

test("treeOfDeb drops directories that a filter empties, and keeps those shipped empty", () => {
  const entries = [
    directory("doc/"),
    directory("doc/a/"),
    { name: "doc/a/x" },
    directory("mnt/"),
    directory("mnt/empty/"),
    directory("only/"),
    directory("only/gone/"),
    { name: "only/gone/y" },
  ];
  const filters = [...docs.filters, { reason: "y", globs: ["**/y"] }];
  assert.deepEqual(listed(entries, { filters }), ["directory mnt", "directory mnt/empty"]);
});

test("treeOfDeb keeps the exceptions of a filter with their parents", () => {
  const entries = [directory("doc/"), directory("doc/keep/"), { name: "doc/keep/x" }];
  const more = [...entries, { name: "doc/other" }];
  assert.deepEqual(listed(more, docs), ["directory doc", "directory doc/keep", "file doc/keep/x"]);
});

test("treeOfDeb gives the data of a hard-linked file to the first name that stays", () => {
  const entries = [
    { name: "doc/original", data: "shared", mode: 0o4755 },
    { name: "b", type: "1", linkName: "./doc/original" },
    { name: "a", type: "1", linkName: "b" },
  ];
  const { entries: made } = unpack(entries, docs);
  assert.deepEqual(listed(entries, docs), ["file a", "hardlink b → a"]);
  const [first] = made;
  assert.ok(first?.type === "file" && Buffer.from(first.data).toString() === "shared");
  assert.equal(first.mode, 0o755);
});

test("treeOfDeb captures contents, filtered out or not, and where symlinks lead", () => {
  const entries = [
    { name: "doc/copyright", data: "Licence: é" },
    { name: "doc/raw", data: Uint8Array.of(0xff, 0xfe) },
    { name: "doc/link", type: "2", linkName: "copyright" },
    { name: "doc/hard", type: "1", linkName: "doc/copyright" },
    { name: "unit", data: "[Unit]" },
    { name: "other", data: "no" },
  ];
  const { captured } = unpack(entries, { ...docs, capture: ["doc/*", "unit"] });
  assert.deepEqual(captured, {
    "doc/copyright": { text: "Licence: é" },
    "doc/hard": { text: "Licence: é" },
    "doc/link": { symlink: "copyright" },
    "doc/raw": { base64: "//4=" },
    unit: { text: "[Unit]" },
  });
  assert.deepEqual([...capturedBytes(captured["doc/raw"]!)!], [0xff, 0xfe]);
});

const malformedTable = [
  { name: "a path that leaves the tree", entries: [{ name: "../x" }], message: /"\.\.\/x" is ref/ },
  { name: "an absolute path", entries: [{ name: "/x" }], message: /"\/x" is refused/ },
  { name: "a path twice", entries: [{ name: "x" }, { name: "./x" }], message: /x is there twice/ },
  {
    name: "a file below a symlink",
    entries: [{ name: "a", type: "2", linkName: "/etc" }, { name: "a/x" }],
    message: /the path a is a symlink/,
  },
  {
    name: "a file in a folder below a symlink that the archive leaves out",
    entries: [{ name: "a", type: "2", linkName: "/etc" }, { name: "a/b/x" }],
    message: /the path a is a symlink/,
  },
  {
    name: "a hard link to nothing",
    entries: [{ name: "x", type: "1", linkName: "y" }],
    message: /the hard link x is to y/,
  },
  {
    name: "a hard link that leaves the tree",
    entries: [{ name: "x", type: "1", linkName: "../y" }],
    message: /the hard link to "\.\.\/y" is refused/,
  },
  {
    name: "hard links in a circle",
    entries: [
      { name: "x", type: "1", linkName: "y" },
      { name: "y", type: "1", linkName: "x" },
    ],
    message: /the hard link x is to/,
  },
];
for (const { name, entries, message } of malformedTable) {
  test(`treeOfDeb refuses ${name}`, () => {
    assert.throws(() => unpack(entries), { name: "ImageError", code: "package", message });
  });
}
