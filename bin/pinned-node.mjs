/**
 * The Node that the project pins, and how a launcher hands over to it.
 *
 * Runs on any Node from 18 on, with nothing installed.
 */

import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { constants, homedir } from "node:os";
import { dirname, join } from "node:path";

const leastMajor = 24;

/**
 * Path of the pinned Node, from its platform package; this very Node where there is no package and
 * it is new enough.
 */
export function findPinnedNode() {
  const name = `node-${process.platform}-${process.arch}`;
  try {
    const manifest = createRequire(import.meta.url).resolve(`${name}/package.json`);
    const path = join(dirname(manifest), "bin", "node");
    if (existsSync(path)) return path;
  } catch {
    // Not installed: told below.
  }
  const major = Number(process.versions.node.split(".")[0]);
  if (major >= leastMajor) return process.execPath;
  throw new Error(
    `Cannot start: the package ${name} is not installed, and this is Node ${process.versions.node} ` +
      `where ${leastMajor} is needed. Run "npm install" (optional dependencies included), ` +
      `or use Node ${leastMajor}.`,
  );
}

/**
 * The environment for our programs: Node keeps what it makes of TypeScript in the user's cache
 * directory, which halves the time until a command starts.
 */
export function environmentOf(env = process.env) {
  const cache = env.XDG_CACHE_HOME || join(homedir(), ".cache");
  return { NODE_COMPILE_CACHE: join(cache, "diskomator", "compiled"), ...env };
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
