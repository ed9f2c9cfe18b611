/** `diskomator wake`: switches a box on over the network. */

import { isIPv4 } from "node:net";
import type { WakeTo } from "../box/index.ts";
import { type Command, readOptions } from "./command.ts";
import { printJson, printLine } from "./console.ts";
import { type ExitCode, exitCodes, UsageError } from "./exit.ts";
import { withOutcome } from "./outcome.ts";
import { wakeBox } from "./wake-box.ts";

const help = `Usage: diskomator wake BOX [OPTIONS]

Switches a machine on by Wake-on-LAN. Its cards are those that "diskomator ls" saw last; its
firmware and its card must allow it, and it must have been switched off by a box or by a system that
arms it.

  --to ADDRESS[:PORT]  where the packets go: the broadcast address of another network, say
                       (default: all networks of this machine, port 9)
  --json               JSON lines; the last one is the result

Example: diskomator wake lunch-feta`;

/** The command. */
export const wake: Command = {
  help,
  async run({ args, signal }) {
    const options = { to: { type: "string" }, json: { type: "boolean", default: false } } as const;
    const { values, positionals } = readOptions(args, options, 1);
    const [name] = positionals;
    if (name === undefined) throw new UsageError("Name a box.");
    const to = values.to === undefined ? null : readTo(values.to);
    const isJson = values.json;
    return await withOutcome({ isJson, signal }, async (): Promise<ExitCode> => {
      const { box, addresses } = await wakeBox(name, to);
      const exitCode = exitCodes.ok;
      if (isJson) printJson({ event: "result", outcome: "ok", exitCode, ...box, addresses });
      else printLine(`${name}: sent to ${box.macs.join(", ")} at ${addresses.join(", ")}.`);
      return exitCode;
    });
  },
};

function readTo(text: string): WakeTo {
  const [, address = "", digits] = /^(.*?)(?::(\d{1,5}))?$/.exec(text) ?? [];
  const port = digits === undefined ? undefined : Number(digits);
  if (!isIPv4(address) || (port !== undefined && (port < 1 || port > 65535))) {
    throw new UsageError(`--to takes an IPv4 address, with a port or not, not "${text}".`);
  }
  return { address, ...(port === undefined ? {} : { port }) };
}
