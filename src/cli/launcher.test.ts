import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

const bin = join(import.meta.dirname, "../../bin");

/** Runs a program beside the launcher, which is no TypeScript. */
function runBeside(program: string) {
  const args = ["--input-type=module", "--eval", program];
  return spawnSync(process.execPath, args, { cwd: bin, encoding: "utf8" });
}

test("the launcher needs no home for its cache", () => {
  const { stdout, stderr } = runBeside(`
    import os from "node:os";
    import { syncBuiltinESMExports } from "node:module";
    os.homedir = () => { throw new Error("uv_os_homedir returned ENOENT"); };
    syncBuiltinESMExports();
    const { environmentOf } = await import("./pinned-node.mjs");
    const folders = ["", "cache", "/cache"].map((XDG_CACHE_HOME) => environmentOf({ XDG_CACHE_HOME }));
    console.log(folders.map(({ NODE_COMPILE_CACHE }) => NODE_COMPILE_CACHE ?? null).join());`);
  assert.equal(stdout, ",,/cache/diskomator/compiled\n", stderr);
});

test("a pinned Node that this system has no loader for gives way to the user's, or is explained", async () => {
  const folder = await mkdtemp(join(tmpdir(), "diskomator-launcher-"));
  try {
    const path = join(folder, "node");
    // The kernel says of a missing interpreter what it says of a missing loader.
    await writeFile(path, "#!/no/such/loader\n");
    await chmod(path, 0o755);
    const start = (version: string, node = path) =>
      runBeside(`
        Object.defineProperty(process, "versions", { value: { node: "${version}" } });
        const { exitWith, runPinned } = await import("./pinned-node.mjs");
        await exitWith(() => runPinned(["--print", "40 + 2"], ${JSON.stringify(node)}));`);
    assert.equal(start("24.12.0").stdout, "42\n");
    const old = start("22.20.0");
    assert.equal(old.status, 1);
    assert.match(
      old.stderr,
      /^Cannot start: .* no glibc, and this is Node 22.20.0. Use Node 24.12/,
    );
    assert.match(start("24.12.0", join(folder, "none")).stderr, /ENOENT/);
  } finally {
    await rm(folder, { recursive: true });
  }
});
