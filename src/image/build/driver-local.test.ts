import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { type TestContext, test } from "node:test";
import { applyLocalPackages } from "./driver-local.ts";
import { emptyLock, lockedPackage, smallDefinition } from "./testing/fixtures.ts";

const definition = { ...smallDefinition, packages: ["less"], packageDirectories: ["debs"] };
const lock = { ...emptyLock, packages: [lockedPackage] };

/** A tar of one file; POSIX ustar has the columns. */
function tar(name: string, text: string): Buffer {
  const header = Buffer.alloc(512);
  header.write(name);
  for (const [at, field] of [
    [100, "0000644"],
    [108, "0000000"],
    [116, "0000000"],
    [124, text.length.toString(8).padStart(11, "0")],
    [136, "00000000000"],
    [148, "        0ustar"],
  ] as const) {
    header.write(field, at);
  }
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  const padding = Buffer.alloc((512 - (text.length % 512)) % 512);
  return Buffer.concat([header, Buffer.from(text), padding, Buffer.alloc(1024)]);
}

/** A package of no files. */
function deb(control: string): Buffer {
  const member = (name: string, data: Buffer) => [
    Buffer.from(
      `${name.padEnd(16)}0           0     0     100644  ${`${data.length}`.padEnd(10)}\`\n`,
    ),
    data,
  ];
  return Buffer.concat([
    Buffer.from("!<arch>\n"),
    ...member("debian-binary", Buffer.from("2.0\n")),
    ...member("control.tar", tar("./control", control)),
    ...member("data.tar", Buffer.alloc(1024)),
  ]);
}

/** A definition's folder with packages of `less` in `debs`, and a downloaded one beside. */
async function folderWith(t: TestContext, controls: Readonly<Record<string, string>>) {
  const folder = await mkdtemp(join(tmpdir(), "local-"));
  t.after(() => rm(folder, { recursive: true }));
  await mkdir(join(folder, "debs"));
  const all = { "../less.deb": "Version: 1\nArchitecture: amd64\n", ...controls };
  for (const [name, control] of Object.entries(all)) {
    await writeFile(join(folder, "debs", name), deb(`Package: less\n${control}`));
  }
  const packages = new Map([["less", join(folder, "less.deb")]]);
  return applyLocalPackages(definition, join(folder, "box.ts"), lock, packages);
}

test("applyLocalPackages takes the latest version of a name, not the last file", async (t) => {
  const { pinned, local } = await folderWith(t, {
    "less_1+x10_amd64.deb": "Version: 1+x10\nArchitecture: amd64\n",
    "less_1+x9_amd64.deb": "Version: 1+x9\nArchitecture: amd64\n",
  });
  assert.equal(basename(local.get("less") ?? ""), "less_1+x10_amd64.deb");
  assert.equal(pinned.packages[0]?.version, "1+x10");
});

test("applyLocalPackages refuses a package for other machines", async (t) => {
  const found = folderWith(t, { "less_2_arm64.deb": "Version: 2\nArchitecture: arm64\n" });
  await assert.rejects(found, { code: "definition", message: /arm64\.deb: it is for arm64, and/ });
});
