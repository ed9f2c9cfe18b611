import assert from "node:assert/strict";
import { test } from "node:test";
import { configDirectory, homeDirectory } from "./user-folders.ts";

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
