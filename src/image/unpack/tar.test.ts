import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { linkSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { ImageError } from "../error.ts";
import { readTar } from "./tar.ts";
import { tarChecksum, tarHeader } from "./tar-header.ts";
import { joined, padded, tarArchive, tarEntry, utf8 } from "./testing/fixture.ts";

const read = (bytes: Uint8Array) => [...readTar(bytes, "x.tar")];
const summary = (bytes: Uint8Array) =>
  read(bytes).map(({ type, path, target, data }) => [
    type,
    path,
    target,
    Buffer.from(data).toString(),
  ]);
const end = new Uint8Array(1024);
const paxRecord = ([key, value]: readonly [string, string]) => {
  const rest = ` ${key}=${value}\n`;
  return `${rest.length + 2}${rest}`;
};

/** By `tar --format=ustar --owner=man:6 --group=man:12 --mtime=@1700000000`, GNU tar 1.34. */
const ustarVector = {
  value: {
    name: padded("a.txt", 100),
    mode: 0o640,
    uid: 6,
    gid: 12,
    size: 3,
    mtime: 1_700_000_000,
    checksum: 0o011420,
    type: utf8("0"),
    linkName: new Uint8Array(100),
    magic: "ustar",
    version: utf8("00"),
    userName: "man",
    groupName: "man",
    major: 0,
    minor: 0,
    prefix: new Uint8Array(155),
  },
  texts: [
    [0, "a.txt"],
    [100, "0000640\x000000006\x000000014\x0000000000003\x0014524770400\x00011420\0 0"],
    [257, "ustar\x0000man"],
    [297, "man"],
    [329, "0000000\x000000000\x00"],
  ] as const,
};

test("tarHeader reads what GNU tar writes, and writes it apart from the checksum's form", () => {
  const block = new Uint8Array(512);
  for (const [offset, text] of ustarVector.texts) block.set(utf8(text), offset);
  assert.deepEqual(tarHeader.decode(block), ustarVector.value);
  assert.equal(tarChecksum(block), ustarVector.value.checksum);
  const written = tarHeader.encode(ustarVector.value);
  written.set(utf8("011420\0 "), tarHeader.offsets.checksum);
  assert.deepEqual(written, block);
});

test("tarHeader carries numbers beyond octal in base 256, both ways", () => {
  const size = 8 * 1024 ** 3;
  const block = tarHeader.encode({ ...ustarVector.value, size });
  assert.equal(Buffer.from(block.subarray(124, 136)).toString("hex"), "800000000000000200000000");
  assert.equal(tarHeader.decode(block).size, size);
});

test("readTar gives each kind of entry with what it needs", () => {
  const archive = tarArchive(
    { name: "dir/", type: "5", mode: 0o1777 },
    { name: "dir/file", data: "hello", mode: 0o4755, uid: 6, userName: "man" },
    { name: "dir/link", type: "2", linkName: "file" },
    { name: "dir/hard", type: "1", linkName: "dir/file", size: 5 },
    { name: "dev/null", type: "3", major: 1, minor: 3 },
    { name: "dev/loop0", type: "4", major: 7 },
    { name: "old", type: "\0", data: "x" },
    { name: "olddir/", type: "0" },
  );
  assert.deepEqual(summary(archive), [
    ["directory", "dir/", "", ""],
    ["file", "dir/file", "", "hello"],
    ["symlink", "dir/link", "file", ""],
    ["hardlink", "dir/hard", "dir/file", ""],
    ["character", "dev/null", "", ""],
    ["block", "dev/loop0", "", ""],
    ["file", "old", "", "x"],
    ["directory", "olddir/", "", ""],
  ]);
  const entries = read(archive);
  assert.equal(entries[1]!.mode, 0o4755);
  assert.deepEqual([entries[1]!.uid, entries[1]!.userName], [6, "man"]);
  assert.deepEqual([entries[4]!.major, entries[4]!.minor], [1, 3]);
});

test("readTar does not copy contents", () => {
  const archive = tarArchive({ name: "f", data: "hello" });
  assert.equal(read(archive)[0]!.data.buffer, archive.buffer);
});

test("readTar joins a POSIX prefix, and leaves GNU's alone", () => {
  const fields = { name: "name", prefix: "some/where" };
  assert.equal(read(tarArchive(fields))[0]!.path, "some/where/name");
  assert.equal(read(tarArchive({ ...fields, magic: "ustar " }))[0]!.path, "name");
});

test("readTar lets pax records and GNU long names rule the next entry only", () => {
  const long = "d/".repeat(80);
  const records = { path: "pax/name", linkpath: "pax/link", mtime: "1.5", size: "000000000003" };
  const pax = Object.entries(records).map(paxRecord).join("");
  const archive = tarArchive(
    { name: "././@LongLink", type: "L", data: `${long}file\0` },
    { name: "././@LongLink", type: "K", data: `${long}target\0` },
    { name: "short", type: "2", linkName: "cut" },
    { name: "x", type: "x", data: pax },
    { name: "short", data: "abc", size: 3 },
    { name: "plain", data: "z" },
  );
  assert.deepEqual(summary(archive), [
    ["symlink", `${long}file`, `${long}target`, ""],
    ["file", "pax/name", "", "abc"],
    ["file", "plain", "", "z"],
  ]);
  assert.deepEqual(
    read(archive).map(({ mtimeSeconds }) => mtimeSeconds),
    [1_700_000_000, 1, 1_700_000_000],
  );
});

test("readTar lets global pax records rule all entries after them", () => {
  const archive = tarArchive(
    { name: "pax_global_header", type: "g", data: paxRecord(["mtime", "7"]) },
    { name: "a" },
    { name: "x", type: "x", data: paxRecord(["mtime", "9"]) },
    { name: "b" },
    { name: "c" },
  );
  assert.deepEqual(
    read(archive).map(({ path, mtimeSeconds }) => [path, mtimeSeconds]),
    [
      ["a", 7],
      ["b", 9],
      ["c", 7],
    ],
  );
});

const entry = tarEntry({ name: "f", data: "abc" });
const withByte = (offset: number, byte: number) => {
  const bytes = joined(entry, end);
  bytes[offset] = byte;
  return bytes;
};
const latin1Path = joined(utf8("9 path="), Uint8Array.of(0xfc), utf8("\n"));
const malformedTable = [
  {
    name: "a name in Latin-1",
    bytes: tarArchive({ name: "x", type: "x", data: latin1Path }),
    message: /with other names, but should be in UTF-8/,
  },
  { name: "no end", bytes: entry, message: /the tar archive is cut after 1024 bytes/ },
  { name: "a cut header", bytes: entry.subarray(0, 300), message: /cut after 300 bytes/ },
  { name: "cut contents", bytes: entry.subarray(0, 513), message: /offset 0 is cut after 1/ },
  { name: "a wrong checksum", bytes: withByte(0, 0x67), message: /of checksum \d+, but/ },
  { name: "a size in letters", bytes: withByte(124, 0x7a), message: /is no octal number/ },
  { name: "a negative number", bytes: withByte(136, 0xff), message: /offset 0 is unreadable/ },
  { name: "a FIFO", bytes: tarArchive({ name: "p", type: "6" }), message: /of type "6"/ },
  {
    name: "a name of gigabytes",
    bytes: tarArchive({ name: "L", type: "L", size: 2 ** 31 }),
    message: /followed by 2147483648 bytes of names/,
  },
  {
    name: "a pax record without an end",
    bytes: tarArchive({ name: "x", type: "x", data: "11 mtime=9z" }),
    message: /broken pax record at byte 0/,
  },
  {
    name: "a pax record of no length",
    bytes: tarArchive({ name: "x", type: "x", data: "0 a=b\n" }),
    message: /broken pax record/,
  },
  {
    name: "a pax size in letters",
    bytes: tarArchive({ name: "x", type: "x", data: paxRecord(["size", "ab"]) }, {}),
    message: /pax size of "ab"/,
  },
];
for (const { name, bytes, message } of malformedTable) {
  test(`readTar refuses ${name}`, () => {
    assert.throws(() => read(bytes), { name: "ImageError", code: "package", message });
  });
}

test("readTar answers any bytes with entries or an ImageError", () => {
  const pax = { name: "x", type: "x", data: "11 mtime=9\n17 path=pax/name\n" };
  const seed = tarArchive(pax, { name: "f", data: "abc" }, { name: "l", type: "L", data: "y" });
  const damaged = fc
    .array(fc.tuple(fc.nat(seed.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 })
    .map((changes) => {
      const bytes = seed.slice();
      for (const [at, byte] of changes) bytes[at] = byte;
      // A right checksum lets damage get past the first check.
      for (let at = 0; at < bytes.length - 1024; at += 1024) {
        const sum = tarChecksum(bytes.subarray(at, at + 512));
        bytes.set(utf8(`${sum.toString(8).padStart(6, "0")}\0 `), at + 148);
      }
      return bytes;
    });
  fc.assert(
    fc.property(fc.oneof(damaged, fc.uint8Array({ maxLength: 1500 })), (bytes) => {
      try {
        for (const { data } of read(bytes)) assert.ok(data.length <= bytes.length);
      } catch (error) {
        assert.ok(error instanceof ImageError && error.code === "package", String(error));
      }
    }),
    { seed: 20261123, numRuns: 1000 },
  );
});

for (const format of ["ustar", "gnu", "pax"]) {
  test(`readTar reads what GNU tar writes as ${format}`, () => {
    const folder = mkdtempSync(join(tmpdir(), "tar-"));
    try {
      const deep = format === "ustar" ? join("d".repeat(90), "e".repeat(90)) : "aü".repeat(70);
      mkdirSync(join(folder, deep), { recursive: true });
      writeFileSync(join(folder, deep, "file"), "contents", { mode: 0o640 });
      symlinkSync(`${"t".repeat(60)}/x`, join(folder, "link"));
      writeFileSync(join(folder, "b"), "");
      linkSync(join(folder, "b"), join(folder, "c"));
      const options = ["--mtime=@1600000000", "--owner=box:7", "--group=net:8", "--sort=name"];
      const archive = execFileSync(
        "tar",
        ["-c", `--format=${format}`, ...options, "-C", folder, "."],
        { maxBuffer: 1024 ** 2 },
      );
      const entries = read(new Uint8Array(archive));
      const file = entries.find(({ path }) => path === `./${deep}/file`)!;
      assert.equal(Buffer.from(file.data).toString(), "contents");
      assert.deepEqual(
        [file.mode, file.uid, file.gid, file.userName, file.groupName, file.mtimeSeconds],
        [0o640, 7, 8, "box", "net", 1_600_000_000],
      );
      const link = entries.find(({ path }) => path === "./link")!;
      assert.deepEqual([link.type, link.target], ["symlink", `${"t".repeat(60)}/x`]);
      const hard = entries.find(({ path }) => path === "./c")!;
      assert.deepEqual([hard.type, hard.target], ["hardlink", "./b"]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
}
