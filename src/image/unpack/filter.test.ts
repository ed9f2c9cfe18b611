import assert from "node:assert/strict";
import { test } from "node:test";
import { canonicalPath, parentPath, sortByPath } from "./canonical.ts";
import { builtinFilters, exclusionOf } from "./filter.ts";
import { matcherOf } from "./glob.ts";

const canonicalTable = [
  { raw: "./usr/bin/sh", wanted: { path: "usr/bin/sh" } },
  { raw: "./", wanted: { path: "" } },
  { raw: "a//b/./c/", wanted: { path: "a/b/c" } },
  { raw: "./lib/udev/x", wanted: { path: "usr/lib/udev/x" } },
  { raw: "sbin/init", wanted: { path: "usr/sbin/init" } },
  { raw: "lib64/ld.so", wanted: { path: "usr/lib64/ld.so" } },
  { raw: "./lib/", wanted: { path: "lib" } },
  { raw: "library/x", wanted: { path: "library/x" } },
  { raw: "etc/..hidden", wanted: { path: "etc/..hidden" } },
  { raw: "../etc/passwd", wanted: { refused: "leaves the tree" } },
  { raw: "a/../../b", wanted: { refused: "leaves the tree" } },
  { raw: "/etc/passwd", wanted: { refused: "absolute" } },
  { raw: "a\0b", wanted: { refused: "holds a NUL" } },
];
for (const { raw, wanted } of canonicalTable) {
  test(`canonicalPath of ${JSON.stringify(raw)}`, () => {
    assert.deepEqual(canonicalPath(raw), wanted);
  });
}

test("parentPath goes up to the root and stays there", () => {
  assert.deepEqual(["a/b/c", "a", ""].map(parentPath), ["a/b", "", ""]);
});

test("sortByPath orders by UTF-8 bytes, which UTF-16 does not", () => {
  const paths = ["\u{1f600}", "\uffee", "é", "z", "a/b", "a.b", "a"];
  const sorted = sortByPath(paths.map((path) => ({ path }))).map(({ path }) => path);
  assert.deepEqual(sorted, ["a", "a.b", "a/b", "z", "é", "\uffee", "\u{1f600}"]);
});

const globTable = [
  { glob: "a/*", yes: ["a/b", "a/.b"], no: ["a", "a/b/c", "xa/b"] },
  { glob: "a/**", yes: ["a/b", "a/b/c"], no: ["a", "ab/c"] },
  { glob: "**/x", yes: ["x", "a/x", "a/b/x"], no: ["ax", "a/x/b"] },
  { glob: "a/**/x.ko", yes: ["a/x.ko", "a/b/c/x.ko"], no: ["a/xxko", "b/a/x.ko"] },
  { glob: "rc?.d", yes: ["rc2.d", "rcS.d"], no: ["rc.d", "rc/.d", "rc10.d"] },
  { glob: "{usr/share,etc}/x-*", yes: ["etc/x-1", "usr/share/x-"], no: ["usr/x-1", "etc/x"] },
  { glob: "*.{a,la}", yes: ["x.a", "x.la"], no: ["x.laa", "xa"] },
  { glob: "{a", yes: ["{a"], no: ["a"] },
  { glob: "a+b(c)[d].e", yes: ["a+b(c)[d].e"], no: ["aab(c)[d]xe", "a+b(c)[d]xe"] },
  { glob: "ü*", yes: ["über", "ü\n"], no: ["u"] },
];
for (const { glob, yes, no } of globTable) {
  test(`matcherOf ${glob}`, () => {
    const matches = matcherOf([glob]);
    assert.deepEqual(yes.filter(matches), yes);
    assert.deepEqual(no.filter(matches), []);
  });
}

test("matcherOf several globs matches what any of them does, and none matches nothing", () => {
  const matches = matcherOf(["a", "b/*"]);
  assert.deepEqual(["a", "b/c", "b", "c"].filter(matches), ["a", "b/c"]);
  assert.equal(matcherOf([])(""), false);
  assert.equal(matcherOf(["a", "b/*"]), matches);
});

test("builtinFilters give a reason each, and keep what a box needs", () => {
  assert.ok(builtinFilters.every(({ reason, globs }) => reason !== "" && globs.length > 0));
  const isExcluded = exclusionOf(builtinFilters);
  const gone = [
    "usr/share/doc/systemd/copyright",
    "usr/share/man/de/man1/x.1.gz",
    "usr/share/locale/de/LC_MESSAGES/x.mo",
    "usr/lib/locale/de_DE.utf8/LC_CTYPE",
    "etc/init.d/ssh",
    "etc/rcS.d/S01x",
    "etc/cron.daily/dpkg",
    "usr/share/initramfs-tools/hooks/udev",
    "usr/lib/x86_64-linux-gnu/libx.a",
  ];
  const kept = [
    "usr/lib/locale/C.utf8/LC_CTYPE",
    "usr/lib/systemd/system/ssh.service",
    "usr/lib/udev/rules.d/60-persistent-storage.rules",
    "usr/lib/x86_64-linux-gnu/libc.so.6",
    "etc/pam.d/sshd",
    "usr/share/pam-configs/unix",
    "usr/lib/modules/6.12.1/kernel/fs/fat/vfat.ko.xz",
    "usr/share/dbus-1/system.conf",
    "usr/share/terminfo/l/linux",
    "etc/default/ssh",
  ];
  assert.deepEqual(gone.filter(isExcluded), gone);
  assert.deepEqual(kept.filter(isExcluded), []);
});
