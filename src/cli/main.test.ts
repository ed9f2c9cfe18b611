import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, linkSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { UsageError } from "./exit.ts";
import { commands, main } from "./main.ts";

const launcher = join(import.meta.dirname, "../../bin/diskomator.mjs");
const entry = join(import.meta.dirname, "main.ts");
const home = await mkdtemp(join(tmpdir(), "diskomator-main-"));
after(() => rm(home, { recursive: true }));
const nowhere = ["--listen", "127.0.0.1:0"];
const env = { ...process.env, HOME: home, XDG_CONFIG_HOME: "", XDG_CACHE_HOME: "" };

function run(...args: readonly string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [entry, ...args], {
    cwd: home,
    env,
    encoding: "utf8",
  });
  return { status, stdout, stderr };
}

test("diskomator --help, -h and help list the commands and what the exit codes mean", () => {
  for (const arg of ["--help", "-h", "help"]) {
    const { status, stdout } = run(arg);
    assert.equal(status, 0, arg);
    for (const line of [/^ {2}flash +write an image/m, /^ {4}4 {2}refused/m, /^ {2}130 /m]) {
      assert.match(stdout, line, arg);
    }
  }
  const listed = run("--help").stdout.matchAll(/^ {2,4}(\d+) {2}(.+)$/gm);
  const documents = readFileSync(join(import.meta.dirname, "../../docs/flash.md"), "utf8");
  const table = [...documents.matchAll(/\| (\d+) +\| (.+?) +(?=\|)/g)];
  const pairs = (found: Iterable<RegExpExecArray>) =>
    new Map(Array.from(found, ([, code = "", meaning = ""]) => [code, meaning]));
  assert.deepEqual(pairs(table), pairs(listed));
  assert.equal(run().status, 2);
  assert.match(run("--version").stdout, /^diskomator \d+\.\d+\.\d+\n$/);
});

test("every command's help begins with its usage, has an example, and fits 100 columns", async () => {
  for (const [name, { load }] of Object.entries(commands)) {
    const { help } = await load();
    assert.match(help, new RegExp(`^Usage: diskomator ${name}\\b[^]*\\nExample: `), name);
    for (const line of help.split("\n")) assert.ok(line.length <= 100, `${name}: ${line}`);
  }
  const shown = run("help", "flash");
  assert.deepEqual([shown.status, shown.stdout], [0, `${(await commands.flash!.load()).help}\n`]);
  assert.deepEqual(run("flash", "image", "-h"), shown);
});

test("a command line that makes no sense ends with 2, and says what is wrong and where to look", async () => {
  const table = [
    [["bild"], /There is no command "bild"/],
    [["help", "bild"], /There is no command "bild"/],
    [["flash", "--bogus"], /There is no option "--bogus"\. See: diskomator flash --help/],
    [["build", "--threads", "-1"], /--threads wants a value.*--threads=VALUE/],
    [["build", "--mirror"], /--mirror wants a value/],
    [["build", "--access", ""], /--access wants a value, and found an empty one/],
    [["doctor", "--json=yes"], /--json takes no value/],
    [["build", "none"], /no appliance none: .* Wanted .*diskomator.*, or the path/],
    [["build", "/"], /no appliance \/: .*no TypeScript file/],
    [["build", "--ssh-key", "x", "--no-ssh-keys"], /exclude each other/],
    [["backup", "/dev/null", "-"], /give it a name/],
    [["vm", "--out", "none"], /no image \S+none\/diskomator.raw. Make it: diskomator build disk/],
    [["doctor", "more"], /no place for the argument "more"/],
  ] as const;
  const { signal } = new AbortController();
  for (const [args, says] of table) {
    await assert.rejects(main(args, signal), (error) => {
      assert(error instanceof UsageError, args.join(" "));
      assert.match(error.message, says);
      return true;
    });
  }
  const { status, stdout, stderr } = run("bild");
  assert.deepEqual([status, stdout], [2, ""]);
  assert.match(stderr, /^diskomator: There is no command "bild"/);
});

test("--json ends with one result line, whatever a command fails of", () => {
  for (const args of [
    ["flash", "--json"],
    ["build", "--json", "none"],
    ["serve", "--json", "none"],
  ]) {
    const { status, stdout } = run(...args);
    const { event, outcome, exitCode, message } = JSON.parse(stdout.trim().split("\n").at(-1)!);
    assert.deepEqual([event, outcome, exitCode], ["result", "failed", status], args.join(" "));
    assert.match(message, /[.]/);
  }
});

test("a command that is interrupted says so, whichever it is, and ends with 130", async (t) => {
  writeFileSync(join(home, "disk"), "");
  // A mirror, or what keeps images, that never answers.
  const silent = createServer().listen(0, "127.0.0.1");
  t.after(() => silent.close().closeAllConnections());
  await once(silent, "listening");
  const address = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`;
  for (const args of [
    ["build", "--json", "--update", "--mirror", address, "--security-mirror", address],
    ["flash", "--json", `${address}/image.raw`, "disk"],
  ]) {
    const noProxy = { no_proxy: "127.0.0.1" };
    const child = spawn(process.execPath, [entry, ...args], {
      cwd: home,
      env: { ...env, ...noProxy },
    });
    silent.once("connection", () => child.kill("SIGINT"));
    let stdout = "";
    child.stdout.setEncoding("utf8").on("data", (text) => {
      stdout += text;
    });
    await once(child, "close");
    const { exitCode, message } = JSON.parse(stdout.trim().split("\n").at(-1)!);
    assert.deepEqual([child.exitCode, exitCode], [130, 130], args[0]);
    assert.match(message, /^Interrupted\./, args[0]);
  }
});

test("a command whose output nobody reads ends in order, without a stack trace", async () => {
  const child = spawn(process.execPath, [entry, "serve", "--memory", "1M", "--json", ...nowhere], {
    env,
  });
  child.stdout.destroy();
  let stderr = "";
  child.stderr.setEncoding("utf8").on("data", (text) => {
    stderr += text;
  });
  await once(child, "close");
  assert.equal(child.exitCode, 0, stderr);
  assert.doesNotMatch(stderr, /EPIPE| at /);
});

test("serve takes a file that has two names for one disk, and refuses to serve it twice", () => {
  writeFileSync(join(home, "one"), Buffer.alloc(4096));
  linkSync(join(home, "one"), join(home, "other"));
  const { status, stderr } = run("serve", "one", "other", ...nowhere);
  assert.equal(status, 4);
  assert.match(stderr, /Cannot serve other: it is the same file as one, /);
});

test("a terminal that was closed ends a command in order, as a signal does", () => {
  const program = `
    import { interruptBySignals } from "./src/cli/interrupt.ts";
    const signal = interruptBySignals();
    process.stderr.isTTY = true;
    for (const again of [1, 2]) process.stderr.emit("error", Object.assign(new Error("write"), { code: "EIO" }));
    console.log(signal.aborted);`;
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ["--input-type=module", "--eval", program],
    { cwd: join(import.meta.dirname, "../.."), env, encoding: "utf8" },
  );
  assert.deepEqual([status, stdout, stderr], [0, "true\n", ""]);
});

test("output that cannot be written ends a command in order, with 1 and the reason", (t) => {
  if (!existsSync("/dev/full")) return t.skip("only Linux has a file that is always full");
  for (const args of [["--help"], ["doctor", "--json"], ["serve", "--memory", "1M", ...nowhere]]) {
    const full = openSync("/dev/full", "w");
    const stdio = ["ignore", full, "pipe"] as const;
    const { status, stderr } = spawnSync(process.execPath, [entry, ...args], {
      env,
      encoding: "utf8",
      stdio: [...stdio],
    });
    closeSync(full);
    assert.equal(status, 1, args[0]);
    assert.match(stderr, /^diskomator: Cannot write the output: ENOSPC: no space left/m, args[0]);
    assert.doesNotMatch(stderr, /^ +at /m, args[0]);
  }
});

test("a signal for all processes of a command lets it end in order, launcher and all", async () => {
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"] as const) {
    const args = [launcher, "serve", "--json", "--memory", "1M", ...nowhere];
    const child = spawn(process.execPath, args, {
      detached: true,
      env,
      stdio: ["ignore", "pipe", "ignore"],
    });
    let text = "";
    child.stdout.setEncoding("utf8").on("data", (data) => {
      if (text === "") process.kill(-child.pid!, signal);
      text += data;
    });
    await once(child, "close");
    assert.match(text, /"event":"result".*\n$/, signal);
  }
});
