import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { configDirectory, homeDirectory } from "./user-folders.ts";

const bin = join(import.meta.dirname, "../../bin");

test("a folder of the environment counts where it is absolute, and HOME is needed for the others", (t) => {
  const { HOME, XDG_CONFIG_HOME } = process.env;
  t.after(() => Object.assign(process.env, { HOME, XDG_CONFIG_HOME: XDG_CONFIG_HOME ?? "" }));
  process.env.HOME = "/home/me";
  for (const [named, expected] of [
    ["/etc/me", "/etc/me/diskomator"],
    ["me", "/home/me/.config/diskomator"],
    ["", "/home/me/.config/diskomator"],
  ] as const) {
    process.env.XDG_CONFIG_HOME = named;
    assert.equal(configDirectory(), expected);
  }
  process.env.HOME = "";
  assert.throws(homeDirectory, /This user has no home folder. Set HOME/);
  process.env.XDG_CONFIG_HOME = "/etc/me";
  assert.equal(configDirectory(), "/etc/me/diskomator");
});

test("the launcher needs no home for its cache", () => {
  const program = `
    import os from "node:os";
    import { syncBuiltinESMExports } from "node:module";
    os.homedir = () => { throw new Error("uv_os_homedir returned ENOENT"); };
    syncBuiltinESMExports();
    const { environmentOf } = await import("./pinned-node.mjs");
    const folders = ["", "cache", "/cache"].map((XDG_CACHE_HOME) => environmentOf({ XDG_CACHE_HOME }));
    console.log(folders.map(({ NODE_COMPILE_CACHE }) => NODE_COMPILE_CACHE ?? null).join());`;
  const args = ["--input-type=module", "--eval", program];
  const { stdout, stderr } = spawnSync(process.execPath, args, { cwd: bin, encoding: "utf8" });
  assert.equal(stdout, ",,/cache/diskomator/compiled\n", stderr);
});
