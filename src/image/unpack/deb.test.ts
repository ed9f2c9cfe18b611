import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { readDeb } from "./deb.ts";
import { readTar } from "./tar.ts";
import { arArchive, controlText, debArchive, tarArchive } from "./testing/fixture.ts";

const control = tarArchive({ name: "./control", data: controlText });
const data = tarArchive({ name: "./usr/bin/x", data: "x" });
const paths = (bytes: Uint8Array) => Array.from(readTar(bytes, "x"), ({ path }) => path);
const version = ["debian-binary", "2.0\n"] as const;

test("readDeb gives fields, scripts, conffiles and the data archive", () => {
  const text = `${controlText}Description: a box\n of two\n .\n lines\n\n`;
  const deb = readDeb(
    debArchive(data, [
      { name: "./", type: "5" },
      { name: "./control", data: text },
      { name: "./conffiles", data: "/etc/a\n/etc/b\n" },
      { name: "./postinst", data: "#!/bin/sh\n", mode: 0o755 },
      { name: "./triggers", data: "activate-noawait ldconfig\n" },
      { name: "./md5sums", data: "" },
    ]),
    "box.deb",
  );
  assert.deepEqual(Object.fromEntries(deb.control), {
    Package: "box",
    Version: "1.0-1",
    Architecture: "amd64",
    Description: "a box\n of two\n .\n lines",
  });
  assert.deepEqual([...deb.scripts.keys()], ["postinst", "triggers"]);
  assert.equal(Buffer.from(deb.scripts.get("postinst")!).toString(), "#!/bin/sh\n");
  assert.deepEqual(deb.conffiles, ["/etc/a", "/etc/b"]);
  assert.deepEqual(paths(deb.data()), ["./usr/bin/x"]);
});

test("readDeb takes gzip and zstd, a later 2.x, and members for others", () => {
  const deb = readDeb(
    arArchive([
      ["debian-binary", "2.1\n"],
      ["_gpgorigin", "a signature"],
      ["control.tar.gz", gzipSync(control)],
      ["data.tar.zst", zstdCompressSync(data)],
      ["_late", ""],
    ]),
    "box.deb",
  );
  assert.deepEqual(paths(deb.data()), ["./usr/bin/x"]);
});

const malformedTable = [
  { name: "no members", members: [], message: /box\.deb: its first member is missing/ },
  { name: "another start", members: [["control.tar", control]], message: /is "control.tar", but/ },
  { name: "format 3.0", members: [["debian-binary", "3.0\n"]], message: /its format is "3\.0/ },
  { name: "no control", members: [version], message: /member control.tar is missing/ },
  { name: "no data", members: [version, ["control.tar", control]], message: /data.tar is missing/ },
  {
    name: "an unknown member",
    members: [version, ["extra", ""], ["control.tar", control], ["data.tar", data]],
    message: /member control.tar is called "extra"/,
  },
  {
    name: "a member after the data",
    members: [version, ["control.tar", control], ["data.tar", data], ["extra", ""]],
    message: /followed by "extra"/,
  },
  {
    name: "an unknown compression",
    members: [version, ["control.tar.lz4", control]],
    message: /called "control.tar.lz4"/,
  },
  {
    name: "a compression that its name does not say",
    members: [version, ["control.tar.xz", gzipSync(control)]],
    message: /control.tar.xz is compressed with gzip, but should be with xz/,
  },
  {
    name: "no control file",
    members: [version, ["control.tar", tarArchive()], ["data.tar", data]],
    message: /the file control is missing/,
  },
  {
    name: "a control file without a version",
    members: [
      version,
      ["control.tar", tarArchive({ name: "control", data: "Package: x\n" })],
      ["data.tar", data],
    ],
    message: /the file control is without Version/,
  },
  {
    name: "a control file of something else",
    members: [
      version,
      ["control.tar", tarArchive({ name: "control", data: "#!/bin/sh\nexit\n" })],
      ["data.tar", data],
    ],
    message: /in the line "exit"/,
  },
] as const;
for (const { name, members, message } of malformedTable) {
  test(`readDeb refuses ${name}`, () => {
    const bytes = arArchive(members);
    assert.throws(() => readDeb(bytes, "box.deb"), { code: "package", message });
  });
}

for (const compression of ["xz", "gzip", "zstd", "none"]) {
  test(`readDeb reads what dpkg-deb builds with ${compression}`, () => {
    const folder = mkdtempSync(join(tmpdir(), "deb-"));
    try {
      const tree = join(folder, "tree");
      mkdirSync(join(tree, "DEBIAN"), { recursive: true });
      mkdirSync(join(tree, "etc"));
      chmodSync(join(tree, "DEBIAN"), 0o755);
      const more = "Maintainer: box <box@example.org>\nDescription: a box\n";
      writeFileSync(join(tree, "DEBIAN/control"), controlText + more);
      writeFileSync(join(tree, "DEBIAN/conffiles"), "/etc/box.conf\n");
      writeFileSync(join(tree, "DEBIAN/prerm"), "#!/bin/sh\n", { mode: 0o755 });
      writeFileSync(join(tree, "etc/box.conf"), "setting\n");
      const built = join(folder, "box.deb");
      execFileSync("dpkg-deb", [`-Z${compression}`, "-b", tree, built], { stdio: "pipe" });
      const deb = readDeb(new Uint8Array(readFileSync(built)), "box.deb");
      assert.equal(deb.control.get("Description"), "a box");
      assert.deepEqual(deb.conffiles, ["/etc/box.conf"]);
      assert.deepEqual([...deb.scripts.keys()], ["prerm"]);
      assert.deepEqual(paths(deb.data()), ["./", "./etc/", "./etc/box.conf"]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
}
