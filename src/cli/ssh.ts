/** `diskomator ssh`: a shell on a box, or a command there. */

import { spawn } from "node:child_process";
import { findAddress, sshArguments, sshTargetOf } from "../box/index.ts";
import { type Command, readOptions } from "./command.ts";
import { tell } from "./console.ts";
import { type ExitCode, exitCodes, UsageError } from "./exit.ts";
import { withOutcome } from "./outcome.ts";
import { lookUp } from "./user-home.ts";

const help = `Usage: diskomator ssh BOX [--] [COMMAND...]

Logs in to a box as root, or runs a command there. It uses the system's ssh, with the
keys and host keys of boxes; your own known_hosts is not read. The exit code is that of COMMAND, or
255 when ssh itself failed.

Example: diskomator ssh lunch-feta journalctl -u diskomator -b`;

/** The command. */
export const ssh: Command<number> = {
  help,
  async run({ args, signal }) {
    const [box, ...rest] = args;
    if (!box || box.startsWith("-")) {
      readOptions(args, {}, 1);
      throw new UsageError("Name a box.");
    }
    const command = rest[0] === "--" ? rest.slice(1) : rest;
    return await withOutcome({ isJson: false, signal }, async () => {
      const { home, place } = await lookUp(box, signal);
      const target = sshTargetOf(place, await findAddress(place, signal), home);
      const isTerminal = command.length === 0 && process.stdin.isTTY && process.stdout.isTTY;
      return await run(sshArguments(target, { login: command, isTerminal }), signal);
    });
  },
};

/** Ctrl-C on a terminal reaches ssh by itself; a signal for us alone is passed on. */
async function run(args: readonly string[], signal: AbortSignal): Promise<number> {
  const child = spawn("ssh", args, { stdio: "inherit" });
  signal.addEventListener("abort", () => child.kill(), { once: true });
  return await new Promise((resolve) => {
    child.once("error", (error) => {
      tell(`diskomator: Cannot run ssh: ${error.message}. "diskomator doctor" says how to get it.`);
      resolve(exitCodes.failure);
    });
    // What the other side's command ends with is its own affair, whatever our codes mean.
    child.once("close", (code) => resolve(code ?? endedBy(signal)));
  });
}

/** A program without an exit code was ended by a signal: by ours, or by another one. */
function endedBy(signal: AbortSignal): ExitCode {
  return signal.aborted ? exitCodes.interrupted : exitCodes.failure;
}
