/**
 * The Node that the project pins, and how a launcher hands over to it.
 *
 * Runs on any Node from 18 on, with nothing installed.
 */

import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { constants, homedir } from "node:os";
import { dirname, isAbsolute, join } from "node:path";

/** The oldest Node that will do where there is no package: major and minor number. */
const least = [24, 12];
const wanted = `Node ${least.join(".")} or later`;
const own = process.versions.node;
/** Platforms for which package.json has a package of a Node of that line. */
const pinnedPlatforms = ["linux-x64", "linux-arm64", "darwin-x64"];

/**
 * Path of the pinned Node, from its platform package; this very Node where there is no package and
 * it is new enough.
 */
export function findPinnedNode() {
  const platform = `${process.platform}-${process.arch}`;
  const name = `node-${platform}`;
  try {
    const manifest = createRequire(import.meta.url).resolve(`${name}/package.json`);
    const path = join(dirname(manifest), "bin", "node");
    if (existsSync(path)) return path;
  } catch {
    // Not installed: told below.
  }
  if (isNewEnough()) return process.execPath;
  throw new Error(
    pinnedPlatforms.includes(platform)
      ? `Cannot start: the package ${name} is not installed, and this is Node ${own} where ` +
          `${wanted} is needed. Run "npm install" (optional dependencies included), or use ${wanted}.`
      : `Cannot start: this is Node ${own}, and no Node comes along for ${platform}. Use ${wanted}.`,
  );
}

function isNewEnough() {
  const [major, minor] = own.split(".").map(Number);
  return major > least[0] || (major === least[0] && minor >= least[1]);
}

/**
 * Runs a program of ours with the pinned Node. That is built for glibc: where the system cannot start
 * it (Alpine), this very Node takes its place if it is new enough.
 */
export async function runPinned(args, node = findPinnedNode()) {
  const env = environmentOf();
  try {
    return await run(node, args, env);
  } catch (error) {
    // The file is there, and what the system misses is its loader.
    if (error.code !== "ENOENT" || !existsSync(node)) throw error;
    if (isNewEnough()) return await run(process.execPath, args, env);
    throw new Error(
      `Cannot start: ${node} does not run on this system, which has no glibc, and this is Node ${own}. ` +
        `Use ${wanted}.`,
    );
  }
}

/**
 * The environment for our programs: Node keeps what it makes of TypeScript in the user's cache
 * directory, which halves the time until a command starts.
 */
export function environmentOf(env = process.env) {
  const cache = cacheFolder(env.XDG_CACHE_HOME ?? "");
  if (cache === undefined) return { ...env };
  return { NODE_COMPILE_CACHE: join(cache, "diskomator", "compiled"), ...env };
}

/** None for a user whom the system does not know, such as a number in a container. */
function cacheFolder(named) {
  if (isAbsolute(named)) return named;
  try {
    return join(homedir(), ".cache");
  } catch {
    return undefined;
  }
}

/**
 * Runs a program in this terminal to its end. Signals are passed on, once: on a terminal Ctrl-C
 * reaches the program by itself.
 * @returns its exit code; 128 and the signal's number when a signal ended it.
 */
export function run(program, args, env = process.env) {
  const child = spawn(program, args, { stdio: "inherit", env });
  const onTerminal = process.stdin.isTTY === true;
  let interrupted = false;
  const listeners = {
    SIGINT: () => {
      if (!onTerminal && !interrupted) child.kill("SIGINT");
      interrupted = true;
    },
    SIGTERM: () => child.kill("SIGTERM"),
    SIGHUP: () => child.kill("SIGHUP"),
  };
  for (const [signal, listener] of Object.entries(listeners)) process.on(signal, listener);
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => {
      for (const [name, listener] of Object.entries(listeners)) process.off(name, listener);
      resolve(code ?? 128 + constants.signals[signal]);
    });
  });
}

/** Ends this process as `main` says; what it throws is a message for people. */
export async function exitWith(main) {
  try {
    process.exitCode = await main();
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error));
    process.exitCode = 1;
  }
}
