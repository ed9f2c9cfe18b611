/** Whole builds through a mirror that fails: each says what is wrong, and the next one succeeds. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, readdir, rm, stat, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import {
  readManifest,
  root,
  runBuild,
  startMirror,
  type TestMirror,
  userCache,
} from "./driver-build.ts";

const run = promisify(execFile);

let scratch: string;
let cache: string;
let mirror: TestMirror;

before(async () => {
  scratch = await mkdtemp(join(tmpdir(), "diskomator-faults-"));
  cache = join(scratch, "cache");
  // The mirror serves what is in the user's cache, and Node.js comes from another place.
  const first = await runBuild("--update=if-gone", "--out", join(scratch, "first"));
  assert.equal(first.code, 0, first.stderr);
  await cp(join(userCache, "npm"), join(cache, "npm"), { recursive: true });
  mirror = await startMirror();
});

after(async () => {
  await mirror?.[Symbol.asyncDispose]();
  if (scratch) await rm(scratch, { recursive: true, force: true });
});

/** A build from the test's own cache and mirror. */
function build(...args: readonly string[]) {
  return runBuild("--cache", cache, "--mirror", mirror.url, "--out", join(scratch, "out"), ...args);
}

/** How many whole packages the cache has. */
async function countCached(): Promise<number> {
  const names = await readdir(join(cache, "debs/sha256"));
  return names.filter((name) => /^[0-9a-f]{64}$/.test(name)).length;
}

const isWritten = (name: string) => stat(join(scratch, "out", name)).catch(() => undefined);

test("build names the package that the mirror has dropped, and --update", async () => {
  mirror.faults.set("less", { kind: "gone" });
  const { code, stderr } = await build();
  mirror.faults.clear();
  assert.equal(code, 1);
  assert.match(stderr, /Cannot fetch the package less .*--update/s);
  assert.equal(await isWritten("diskomator.efi"), undefined);
});

test("build refuses a package with other bytes, and does not keep it", async () => {
  const cached = await countCached();
  mirror.faults.set("less", { kind: "altered" });
  const { code, stderr } = await build();
  mirror.faults.clear();
  assert.equal(code, 1);
  assert.match(stderr, /less .*(sha-?256|hash)/is);
  assert.equal(await countCached(), cached);
});

test("build says that the network broke when every try is cut", async () => {
  const cached = await countCached();
  mirror.faults.set("less", { kind: "cut", times: Number.POSITIVE_INFINITY });
  const { code, stderr } = await build();
  mirror.faults.clear();
  assert.equal(code, 1);
  assert.match(stderr, /the package less .*127\.0\.0\.1/s);
  assert.equal(await countCached(), cached);
});

test("build goes on after a cut download, from the whole rest of its cache", async () => {
  const fault = { kind: "cut", times: 2 } as const;
  mirror.faults.set("less", { ...fault });
  mirror.asked.length = 0;
  const { code, stderr } = await build();
  mirror.faults.clear();
  assert.equal(code, 0, stderr);
  assert.deepEqual(new Set(mirror.asked), new Set(["less"]));
  assert.ok(mirror.asked.length >= 1 + fault.times);
  const [made, wanted] = await Promise.all(
    ["out", "first"].map((name) => readManifest(join(scratch, name))),
  );
  assert.deepEqual(made!.outputs, wanted!.outputs);
});

test("build asks the mirror for nothing when its cache is full", async () => {
  mirror.asked.length = 0;
  const { code, stderr } = await build("--json");
  assert.equal(code, 0, stderr);
  assert.deepEqual(mirror.asked, []);
});

test("build makes a damaged segment again", async () => {
  const [builder] = await readdir(join(cache, "segments"));
  const folder = join(cache, "segments", builder!);
  const names = (await readdir(folder)).filter((name) => name.endsWith(".seg")).sort();
  await truncate(join(folder, names[0]!), 5);
  await writeFile(join(folder, names[1]!.replace(/seg$/, "json")), "{}\n");
  const { code, stderr } = await build();
  assert.equal(code, 0, stderr);
  const [made, wanted] = await Promise.all(
    ["out", "first"].map((name) => readManifest(join(scratch, name))),
  );
  assert.deepEqual(made!.outputs, wanted!.outputs);
});

/** Runs a build with a tiny file system of its own at `folder`; only root can. */
async function buildOnFull(folder: string, ...args: readonly string[]) {
  await mkdir(folder, { recursive: true });
  const script = 'mount -t tmpfs -o size=8m none "$1" && shift && exec "$@"';
  const main = [process.execPath, join(root, "src/cli/main.ts"), "build", "--no-ssh-keys"];
  const words = [folder, ...main, "--mirror", mirror.url, ...args];
  return await run("unshare", ["-m", "sh", "-c", script, "sh", ...words]).then(
    () => "built",
    (error: { stderr: string }) => error.stderr,
  );
}

test("build says that the disk is full, of the cache and of the outputs", async (t) => {
  if (process.getuid?.() !== 0) {
    assert.ok(!process.env.CI, "only root can make a full disk, and CI must");
    return t.skip("only root can make a full disk");
  }
  const full = join(scratch, "full");
  const ofCache = await buildOnFull(full, "--cache", full, "--out", join(scratch, "out"));
  assert.match(ofCache, /Cannot fetch the packages into .*full.* bytes are needed/);
  mirror.asked.length = 0;
  const ofOutputs = await buildOnFull(full, "--cache", cache, "--out", full);
  assert.match(ofOutputs, /Cannot write .*diskomator\.(efi|raw) .*Free some space/);
  assert.deepEqual(mirror.asked, []);
});
