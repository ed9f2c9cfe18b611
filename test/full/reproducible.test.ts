/** Builds that share nothing but the definition and the lock, compared byte for byte. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { chmod, chown, cp, mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { root, runBuild, userCache } from "../driver-build.ts";

const run = promisify(execFile);
/** What Debian calls `nobody`; any id that is not ours would do. */
const nobody = 65534;

let scratch: string;

before(async () => {
  scratch = await mkdtemp(join(tmpdir(), "diskomator-same-"));
  await chmod(scratch, 0o755);
  // Fetches whatever the user's cache lacks, and moves the lock if it must.
  const { code, stderr } = await runBuild("--update=if-gone", "--out", join(scratch, "first"));
  assert.equal(code, 0, stderr);
});

after(() => rm(scratch, { recursive: true, force: true }));

interface Circumstances {
  readonly umask: string;
  readonly env: Readonly<Record<string, string>>;
  /** As whom; ourselves unless told. */
  readonly uid?: number;
  readonly args?: readonly string[];
}

/** A copy of the checkout as it is now, that everybody may read. */
async function copyCheckout(from: string, to: string): Promise<string> {
  const isOurs = (path: string) => !/^(\.git|out)($|\/)/.test(relative(from, path));
  await cp(from, to, { recursive: true, filter: isOurs, verbatimSymlinks: true });
  await run("chmod", ["-R", "a+rX", to]);
  return to;
}

/** Builds from a copy of the checkout with an empty cache; the sums of the outputs. */
async function build(checkout: string, name: string, how: Circumstances): Promise<string> {
  const home = join(scratch, `home-${name}`);
  const out = join(home, "out");
  const cache = join(home, "cache");
  await mkdir(cache, { recursive: true });
  // Only the package of Node.js, whose name is its hash: it comes by way of the user's npm.
  await cp(join(userCache, "npm"), join(cache, "npm"), { recursive: true });
  if (how.uid !== undefined) {
    await run("chown", ["-R", `${how.uid}:${how.uid}`, home]);
    // The lock lies beside the definition, and the compiler's cache beside nothing.
    await chown(join(checkout, "appliances"), how.uid, how.uid);
  }
  const node = process.execPath.replace(root, `${checkout}/`);
  const words = [node, join(checkout, "src/cli/main.ts"), "build", "--no-ssh-keys"];
  const more = ["--out", out, "--cache", cache, ...(how.args ?? [])];
  await run("sh", ["-c", `umask ${how.umask}; exec "$@"`, "sh", ...words, ...more], {
    cwd: home,
    env: { PATH: process.env.PATH, HOME: home, ...how.env },
    maxBuffer: 64 * 1024 * 1024,
    ...(how.uid === undefined ? {} : { uid: how.uid, gid: how.uid }),
  });
  return await readFile(join(out, "diskomator.SHA256SUMS"), "utf8");
}

test("build gives the same bytes elsewhere, with an empty cache, as another user, one thread", async (t) => {
  const one = await copyCheckout(root, join(scratch, "one"));
  const two = await copyCheckout(one, join(scratch, "two/deeper"));
  const first = await build(one, "first", { umask: "022", env: { TZ: "UTC", LC_ALL: "C" } });
  assert.match(first, /^[0-9a-f]{64} {2}diskomator\.efi$/m);
  const elsewhere = { umask: "077", env: { TZ: "Asia/Tokyo", LC_ALL: "C.UTF-8" } };
  const args = ["--threads", "1"];
  assert.equal(await build(two, "second", { ...elsewhere, args }), first);
  if (process.getuid?.() !== 0) {
    assert.ok(!process.env.CI, "only root can build as another user, and CI must");
    return t.skip("only root can build as another user");
  }
  assert.equal(await build(two, "third", { ...elsewhere, uid: nobody }), first);
});
