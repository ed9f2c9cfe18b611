/** What options and local packages of a build put into the image. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { copyFile, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import type { Entry } from "../src/image/index.ts";
import { readImage, readManifest, root, runBuild } from "./driver-build.ts";

const run = promisify(execFile);
const programPath = "../src/appliance/driver-main.ts";

let scratch: string;

before(async () => {
  scratch = await mkdtemp(join(tmpdir(), "diskomator-options-"));
});

after(() => rm(scratch, { recursive: true, force: true }));

/** A definition in a folder of its own: that of `diskomator` with changes, as source. */
async function variant(name: string, changes: string): Promise<string> {
  const folder = join(scratch, name);
  await mkdir(join(folder, "debs"), { recursive: true });
  const base = join(root, "appliances/diskomator.ts");
  const program = { "usr/lib/diskomator/daemon.mjs": { entry: join(base, "..", programPath) } };
  const source = `import base from ${JSON.stringify(base)};
    export default {
      ...base,
      filesFrom: ${JSON.stringify(join(root, "appliances/diskomator"))},
      programs: ${JSON.stringify(program)},
      ${changes}
    };`;
  await writeFile(join(folder, "box.ts"), source);
  await copyFile(join(root, "appliances/diskomator.lock.json"), join(folder, "box.lock.json"));
  return folder;
}

/** A package `less` of our own, with one program, in the folder of a variant. */
async function makeDeb(folder: string, depends: string): Promise<void> {
  const tree = join(folder, "tree");
  await mkdir(join(tree, "DEBIAN"), { recursive: true });
  await mkdir(join(tree, "usr/bin"), { recursive: true });
  const control = `Package: less\nVersion: 9999\nArchitecture: amd64\nMaintainer: x\nDepends: ${depends}\nDescription: x\n`;
  await writeFile(join(tree, "DEBIAN/control"), control);
  await writeFile(join(tree, "usr/bin/less"), "#!/bin/sh\necho ours\n", { mode: 0o755 });
  await run("dpkg-deb", ["--root-owner-group", "-b", tree, join(folder, "debs/less.deb")]);
}

const textOf = (entry: Entry | undefined) =>
  entry?.type === "file" ? Buffer.from(entry.data).toString() : undefined;

test("a package of packageDirectories takes the place of the archive's", async () => {
  const folder = await variant("local", 'packageDirectories: ["debs"],');
  await makeDeb(folder, "libc6 (>= 2.38), debconf | debconf-2.0");
  const out = join(folder, "out");
  const { code, stderr } = await runBuild(join(folder, "box.ts"), "--out", out);
  assert.equal(code, 0, stderr);
  const manifest = await readManifest(out);
  assert.equal(manifest.packages.find(({ name }) => name === "less")?.version, "9999");
  assert.equal(textOf((await readImage(out)).get("usr/bin/less")), "#!/bin/sh\necho ours\n");
});

test("a local package that needs what the lock does not have is refused by name", async () => {
  const folder = await variant("needy", 'packageDirectories: ["debs"],');
  for (const [depends, named] of [
    ["libc6, libneverheardof1", /less → libneverheardof1: found no such package/],
    ["libc6 (>= 99)", /less → libc6 \(>= 99\): found libc6 2/],
  ] as const) {
    await makeDeb(folder, depends);
    const { code, stderr } = await runBuild(join(folder, "box.ts"), "--out", join(folder, "out"));
    assert.equal(code, 1);
    assert.match(stderr, /Cannot use the local packages .*less\.deb/);
    assert.match(stderr, named);
  }
});

test("--debug-shell opens a root shell that is not there without it", async () => {
  const wants = "etc/systemd/system/sysinit.target.wants/debug-shell.service";
  const has = async (...args: readonly string[]) => {
    const out = join(scratch, "shell");
    const { code, stderr } = await runBuild("--update=if-gone", "--out", out, ...args);
    assert.equal(code, 0, stderr);
    const image = await readImage(out);
    const shadow = textOf(image.get("etc/shadow")) ?? "";
    return { link: image.get(wants)?.type, root: /^root:([^:]*):/m.exec(shadow)?.[1] };
  };
  assert.deepEqual(await has("--debug-shell"), { link: "symlink", root: "" });
  assert.deepEqual(await has(), { link: undefined, root: "*" });
});

test("the image has no set-uid file but those of keepSetuid, with the owner of their script", async () => {
  const helper = "usr/lib/dbus-1.0/dbus-daemon-launch-helper";
  const folder = await variant("setuid", `keepSetuid: [${JSON.stringify(helper)}],`);
  const setIds = async (definition: readonly string[]) => {
    const out = join(folder, "out");
    const { code, stderr } = await runBuild(...definition, "--out", out);
    assert.equal(code, 0, stderr);
    const image = await readImage(out);
    const messagebus = /^messagebus:[^:]*:(\d+):/m.exec(textOf(image.get("etc/group")) ?? "")?.[1];
    assert.equal(String(image.get(helper)?.gid), messagebus);
    const files = [...image.values()].filter(({ type, mode }) => type === "file" && mode >= 0o2000);
    return files.map(({ path, mode }) => `${path} ${mode.toString(8)}`);
  };
  assert.deepEqual(await setIds([]), []);
  assert.deepEqual(await setIds([join(folder, "box.ts")]), [`${helper} 4754`]);
});
