import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { lstatSync, mkdtempSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import type { Entry } from "../entry.ts";
import { ImageError } from "../error.ts";
import { checkFileSize, cpioHeader, cpioNumberMax, readCpio, writeCpio } from "./cpio.ts";

const utf8 = (text: string) => new TextEncoder().encode(text);
const owner = { uid: 0, gid: 0, mtimeSeconds: 1_600_000_000 };

/** One of each kind, and a file with three names. */
const tree: readonly Entry[] = [
  { ...owner, type: "symlink", path: "bin", mode: 0o777, target: "usr/bin" },
  { ...owner, type: "directory", path: "dev", mode: 0o755 },
  { ...owner, type: "block", path: "dev/loop0", mode: 0o660, gid: 6, major: 7, minor: 0 },
  { ...owner, type: "character", path: "dev/null", mode: 0o666, major: 1, minor: 3 },
  { ...owner, type: "directory", path: "empty", mode: 0o1777 },
  { ...owner, type: "directory", path: "usr", mode: 0o755 },
  { ...owner, type: "file", path: "usr/a", mode: 0o640, uid: 33, gid: 42, data: utf8("abc") },
  { ...owner, type: "hardlink", path: "usr/b", mode: 0o640, uid: 33, gid: 42, target: "usr/a" },
  { ...owner, type: "hardlink", path: "usr/c", mode: 0o640, uid: 33, gid: 42, target: "usr/a" },
  { ...owner, type: "file", path: "usr/nothing", mode: 0o4755, data: utf8("") },
  { ...owner, type: "file", path: "usr/ünï", mode: 0o644, data: utf8("four") },
];

const header = {
  magic: utf8("070701"),
  ino: 7,
  mode: 0o100640,
  uid: 33,
  gid: 42,
  nlink: 3,
  mtime: 1_600_000_000,
  filesize: 3,
  devmajor: 0,
  devminor: 0,
  rdevmajor: 0,
  rdevminor: 0,
  namesize: 6,
  check: 0,
};

test("cpioHeader is the text that the kernel's documentation describes, both ways", () => {
  const text =
    "070701" +
    "00000007000081a0000000210000002a" +
    "000000035f5e10000000000300000000" +
    "00000000000000000000000000000006" +
    "00000000";
  assert.equal(Buffer.from(cpioHeader.encode(header)).toString(), text);
  assert.deepEqual(cpioHeader.decode(utf8(text)), header);
});

test("writeCpio and readCpio are each other's inverse", () => {
  const archive = writeCpio(tree);
  assert.equal(archive.length % 4, 0);
  assert.deepEqual(readCpio(archive, "x"), { entries: tree, endBytes: archive.length });
});

test("readCpio reads on from where an archive ended", () => {
  const [first, second] = [writeCpio(tree.slice(0, 2)), writeCpio(tree.slice(5, 7))];
  const both = new Uint8Array(Buffer.concat([first, second]));
  const { endBytes } = readCpio(both, "x");
  assert.equal(endBytes, first.length);
  assert.deepEqual(readCpio(both, "x", endBytes).entries, tree.slice(5, 7));
});

test("writeCpio numbers inodes from 1 and counts the names of a file", () => {
  const archive = writeCpio(tree);
  const text = Buffer.from(archive).toString("latin1");
  const inodeOf = (path: string) => {
    const at = text.indexOf(`${path}\0`) - cpioHeader.size;
    const { ino, nlink, filesize } = cpioHeader.decode(archive, at);
    return [ino, nlink, filesize];
  };
  assert.deepEqual(inodeOf("bin"), [1, 1, 7]);
  assert.deepEqual(inodeOf("usr/a"), [7, 3, 3]);
  assert.deepEqual(inodeOf("usr/b"), [7, 3, 0]);
  assert.deepEqual(inodeOf("usr/c"), [7, 3, 0]);
  assert.deepEqual(inodeOf("TRAILER!!!"), [0, 1, 0]);
});

test("writeCpio refuses a hard link to nothing before it, and paths beyond PATH_MAX", () => {
  assert.throws(() => writeCpio([tree[7]!, tree[6]!]), /usr\/b links to no file: usr\/a/);
  const long = { ...tree[1]!, path: "d".repeat(4096) };
  assert.throws(() => writeCpio([long]), { code: "package", message: /4096 bytes long/ });
});

test("checkFileSize draws the line at 4 GiB", () => {
  checkFileSize("x", cpioNumberMax);
  const message = /x: the file is 4294967296 bytes long, but should be shorter than 4 GiB/;
  assert.throws(() => checkFileSize("x", cpioNumberMax + 1), { code: "package", message });
});

test("cpio(1) lists what writeCpio wrote, every kind of it", () => {
  const output = execFileSync("cpio", ["-itv", "--numeric-uid-gid", "--quiet"], {
    input: writeCpio(tree),
    env: { ...process.env, LC_ALL: "C.UTF-8", TZ: "UTC" },
    stdio: "pipe",
  });
  const lines = output.toString().trimEnd().split("\n");
  const columns = lines.map((line) => line.replace(/ Sep 13\s+2020/, "").split(/ +/));
  assert.deepEqual(columns, [
    ["lrwxrwxrwx", "1", "0", "0", "7", "bin", "->", "usr/bin"],
    ["drwxr-xr-x", "2", "0", "0", "0", "dev"],
    ["brw-rw----", "1", "0", "6", "7,", "0", "dev/loop0"],
    ["crw-rw-rw-", "1", "0", "0", "1,", "3", "dev/null"],
    ["drwxrwxrwt", "2", "0", "0", "0", "empty"],
    ["drwxr-xr-x", "2", "0", "0", "0", "usr"],
    ["-rw-r-----", "3", "33", "42", "3", "usr/a"],
    ["-rw-r-----", "3", "33", "42", "0", "usr/b"],
    ["-rw-r-----", "3", "33", "42", "0", "usr/c"],
    ["-rwsr-xr-x", "1", "0", "0", "0", "usr/nothing"],
    ["-rw-r--r--", "1", "0", "0", "4", "usr/ünï"],
  ]);
});

test("cpio(1) makes files, links and directories of what writeCpio wrote", () => {
  const folder = mkdtempSync(join(tmpdir(), "cpio-"));
  try {
    // Devices and foreign owners need root; the listing has shown them.
    const mine = { uid: process.getuid!(), gid: process.getgid!() };
    const entries = tree
      .filter(({ path }) => !path.startsWith("dev/"))
      .map((entry) => ({ ...entry, ...mine }));
    const options = ["-idm", "--quiet", "--no-absolute-filenames"];
    execFileSync("cpio", options, { cwd: folder, input: writeCpio(entries), stdio: "pipe" });
    const stat = (path: string) => lstatSync(join(folder, path));
    assert.equal(readlinkSync(join(folder, "bin")), "usr/bin");
    assert.equal(stat("empty").mode % 0o10000, 0o1777);
    assert.equal(readFileSync(join(folder, "usr/c"), "utf8"), "abc");
    assert.equal(stat("usr/a").ino, stat("usr/c").ino);
    assert.equal(stat("usr/b").nlink, 3);
    assert.equal(stat("usr/ünï").mtimeMs, owner.mtimeSeconds * 1000);
    assert.equal(stat("usr/nothing").size, 0);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("readCpio reads what cpio(1) writes, whose hard links have their data last", () => {
  const folder = mkdtempSync(join(tmpdir(), "cpio-"));
  try {
    execFileSync("sh", ["-c", "printf abc > a; ln a b; ln -s a c; mkdir d"], { cwd: folder });
    const archive = execFileSync("cpio", ["-o", "-H", "newc", "--quiet"], {
      cwd: folder,
      input: "a\nb\nc\nd\n",
      stdio: "pipe",
    });
    const { entries } = readCpio(new Uint8Array(archive), "x");
    const kinds = entries.map((entry) => [
      entry.type,
      entry.path,
      "target" in entry ? entry.target : "",
    ]);
    assert.deepEqual(kinds, [
      ["hardlink", "a", "b"],
      ["file", "b", ""],
      ["symlink", "c", "a"],
      ["directory", "d", ""],
    ]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

const good = writeCpio(tree.slice(5, 7));
const patched = (offset: number, text: string) => {
  const bytes = good.slice();
  bytes.set(utf8(text), offset);
  return bytes;
};
const malformedTable = [
  { name: "nothing", bytes: new Uint8Array(0), message: /header at offset 0 is cut/ },
  { name: "no trailer", bytes: good.subarray(0, -124), message: /is cut, but should be a newc/ },
  { name: "another magic", bytes: patched(0, "070702"), message: /without the magic 070701/ },
  { name: "no numbers", bytes: patched(6, "zzzzzzzz"), message: /without hexadecimal numbers/ },
  { name: "a file beyond the end", bytes: patched(54, "7fffffff"), message: /2147483647 bytes/ },
  { name: "no name", bytes: patched(94, "00000000"), message: /of 0 \+ 0 bytes/ },
  { name: "a socket", bytes: patched(14, "0000c1ed"), message: /of mode 140755/ },
];
for (const { name, bytes, message } of malformedTable) {
  test(`readCpio refuses ${name}`, () => {
    assert.throws(() => readCpio(bytes, "x"), { name: "ImageError", code: "package", message });
  });
}

test("readCpio answers any bytes with entries or an ImageError", () => {
  const damaged = fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { maxLength: 3 });
  fc.assert(
    fc.property(damaged, (changes) => {
      const bytes = good.slice();
      for (const [at, byte] of changes) bytes[at] = byte;
      try {
        assert.ok(readCpio(bytes, "x").endBytes <= bytes.length);
      } catch (error) {
        assert.ok(error instanceof ImageError && error.code === "package", String(error));
      }
    }),
    { seed: 20261123, numRuns: 1000 },
  );
});
