/**
 * What npm's scripts call: makes the checkout ready, then hands over to the pinned Node.
 *
 * `node bin/setup.mjs COMMAND [ARGUMENT...]`, with a command of the table below
 *
 * Runs on any Node from 18 on, with nothing installed. A second run finds everything in place and
 * only looks.
 */

import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { accessSync, constants, existsSync, readFileSync, writeFileSync } from "node:fs";
import { delimiter, dirname, isAbsolute, join } from "node:path";
import { fileURLToPath } from "node:url";
import { environmentOf, exitWith, findPinnedNode, run } from "./pinned-node.mjs";
import { managers, systemPrograms } from "./system-programs.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const inRoot = (path) => join(root, path);

/** Each command's program for the pinned Node, and its first arguments. */
const commands = {
  start: [inRoot("src/cli/main.ts"), "start"],
  test: [inRoot("tools/test.ts"), "test"],
  "test:unit": [inRoot("tools/test.ts"), "test:unit"],
  "test:full": [inRoot("tools/test.ts"), "test:full"],
  check: [inRoot("tools/check.ts")],
  format: [inRoot("node_modules/@biomejs/biome/bin/biome"), "check", "--write", root],
  diskomator: [inRoot("src/cli/main.ts")],
  fuzz: [inRoot("tools/fuzz.ts")],
  picture: [inRoot("tools/picture.ts")],
  prepack: [inRoot("tools/pack.ts"), "prepack"],
  postpack: [inRoot("tools/pack.ts"), "postpack"],
};

/** A program of `bench/` by its name. */
function findBench(name) {
  const path = inRoot(`bench/${name}.ts`);
  if (/^[a-z-]+$/.test(name ?? "") && existsSync(path)) return path;
  throw new Error(`There is no bench "${name ?? ""}"; see bench/README.md.`);
}

/** System programs for administrators are not on everybody's PATH. */
const administratorFolders = ["/usr/local/sbin", "/usr/sbin", "/sbin"];
const path = [...(process.env.PATH ?? "").split(delimiter), ...administratorFolders];

await exitWith(() => main(process.argv[2], process.argv.slice(3)));

async function main(command, args) {
  const handover = command === "bench" ? [findBench(args.shift())] : commands[command];
  if (handover === undefined) {
    console.error(
      `usage: node bin/setup.mjs ${[...Object.keys(commands), "bench"].join("|")} [ARGUMENT...]`,
    );
    return 2;
  }
  await installNodePackages();
  await installSystemPrograms(command);
  const node = findPinnedNode();
  const env = { ...environmentOf(), PATH: [dirname(node), ...path].join(delimiter) };
  return run(node, [...handover, ...args], env);
}

/** The stamp holds the hash of the lock file that node_modules was made from. */
async function installNodePackages() {
  const stamp = inRoot("node_modules/.diskomator-lock");
  const wanted = createHash("sha256")
    .update(readFileSync(inRoot("package-lock.json")))
    .digest("hex");
  if (readText(stamp) === wanted) return;
  say("Installing the npm packages that package-lock.json pins ...");
  await runNpmInstall(process.execPath);
  // npm leaves out optional packages, without a word, whose `engines` exclude the Node that it
  // runs on. The binary of @napi-rs/lzma wants a newer one than many systems have, so npm runs
  // once more, on the Node that it has just installed.
  const pinned = findPinnedNode();
  if (pinned !== process.execPath) await runNpmInstall(pinned);
  writeFileSync(stamp, wanted);
}

/** Runs `npm install` on the Node at `node`. */
async function runNpmInstall(node) {
  // The npm that has started this, if one has; else the script that PATH names finds its Node there.
  const npm = process.env.npm_execpath;
  const [program, ...first] = npm?.endsWith("js") ? [node, npm] : ["npm"];
  const kinds = ["--include=dev", "--include=optional"];
  const options = ["--no-save", "--loglevel=error", ...kinds, "--prefix", root];
  const env = { ...process.env, PATH: [dirname(node), ...path].join(delimiter) };
  const code = await run(program, [...first, "install", ...options], env);
  if (code !== 0) {
    throw new Error(`Cannot install the npm packages: npm install ended with ${code}.`);
  }
}

async function installSystemPrograms(command) {
  const manager = managers.find((name) => isThere(name === "apt" ? "apt-get" : name));
  const missing = findMissing(command, manager);
  if (missing.length === 0) return;
  if (manager === undefined) {
    throw new Error(`Cannot run ${command}: missing: ${describe(missing)}. Install them first.`);
  }
  const packages = [...new Set(missing.flatMap(({ packages }) => packages[manager] ?? []))];
  const install = installCommand(manager, packages);
  const became = await becomeRoot(manager, install, packages);
  const quiet = [
    "env",
    "DEBIAN_FRONTEND=noninteractive",
    "apt-get",
    "-o",
    "DPkg::Lock::Timeout=300",
  ];
  const apt = [...became, ...quiet];
  say(`Installing with apt-get: ${packages.join(" ")} ...`);
  // Lists that are partly out of reach may still do; the installation tells.
  await run(apt[0], [...apt.slice(1), "update", "--quiet"]);
  const code = await run(apt[0], [...apt.slice(1), ...install.slice(1)]);
  const still = findMissing(command, manager);
  if (code === 0 && still.length === 0) return;
  throw new Error(
    `Cannot run ${command}: apt-get ended with ${code}; still missing: ${describe(still)}. ` +
      `Try: ${[...became, ...install].join(" ")}`,
  );
}

/** What comes before apt-get; only root, or sudo without a surprise, may install. */
async function becomeRoot(manager, install, packages) {
  const asRoot = process.getuid?.() === 0;
  const exact = [...(asRoot || manager === "brew" ? [] : ["sudo"]), ...install].join(" ");
  const refusal = new Error(`Needed from the system: ${packages.join(" ")}. Run: ${exact}`);
  if (manager !== "apt") throw refusal;
  if (asRoot) return [];
  if (!isThere("sudo")) throw refusal;
  const saying = `Needed from the system: ${packages.join(" ")}. Installing with sudo.`;
  if (process.stdin.isTTY === true) {
    say(saying);
    return ["sudo"];
  }
  if (spawnSync("sudo", ["-n", "true"], { stdio: "ignore" }).status !== 0) throw refusal;
  say(saying);
  return ["sudo", "-n"];
}

function installCommand(manager, packages) {
  switch (manager) {
    case "apt":
      return ["apt-get", "install", "--yes", "--no-install-recommends", ...packages];
    case "pacman":
      return ["pacman", "-S", "--needed", ...packages];
    default:
      return [manager, "install", ...packages];
  }
}

/** A system for which the table has no package does without. */
function findMissing(command, manager) {
  return systemPrograms
    .filter(({ commands }) => commands.includes(command))
    .filter(({ packages }) => manager === undefined || packages[manager] !== undefined)
    .filter(({ find }) => !find.some(isThere));
}

/** A file, or a program on the path. */
function isThere(name) {
  if (isAbsolute(name)) return mayAccess(name, constants.R_OK);
  return path.some((folder) => folder !== "" && mayAccess(join(folder, name), constants.X_OK));
}

function mayAccess(file, mode) {
  try {
    accessSync(file, mode);
    return true;
  } catch {
    return false;
  }
}

function readText(file) {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return undefined;
  }
}

function describe(missing) {
  return missing.map(({ find }) => find[0]).join(" ");
}

function say(text) {
  console.error(text);
}
