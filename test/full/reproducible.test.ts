/** Two builds that share nothing but the definition and the lock, compared byte for byte. */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";

const main = join(import.meta.dirname, "../../src/cli/main.ts");

test("build gives the same bytes from an empty cache, under another umask, locale and time zone", async (t) => {
  const scratch = await mkdtemp(join(tmpdir(), "diskomator-build-"));
  t.after(() => rm(scratch, { recursive: true, force: true }));
  const build = async (name: string, umask: string, env: Readonly<Record<string, string>>) => {
    const out = join(scratch, name);
    const words = [process.execPath, main, "build", "--no-ssh-keys", "--update=if-gone"];
    const more = ["--out", out, "--cache", join(scratch, `${name}-cache`)];
    const script = `umask ${umask}; exec "$@"`;
    await promisify(execFile)("sh", ["-c", script, "sh", ...words, ...more], {
      env: { ...process.env, ...env },
      maxBuffer: 64 * 1024 * 1024,
    });
    return await readFile(join(out, "diskomator.SHA256SUMS"), "utf8");
  };
  const first = await build("first", "022", { TZ: "UTC", LC_ALL: "C" });
  const second = await build("second", "077", { TZ: "Asia/Tokyo", LC_ALL: "C.UTF-8" });
  assert.equal(second, first);
  assert.match(first, /^[0-9a-f]{64} {2}diskomator\.efi$/m);
});
