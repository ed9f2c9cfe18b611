/** `diskomator wake`: switches boxes on over the network. */

import { isIPv4 } from "node:net";
import type { WakeTo } from "../box/index.ts";
import { type Command, readOptions } from "./command.ts";
import { UsageError } from "./exit.ts";
import { withOutcome } from "./outcome.ts";
import { doToEach, readBoxes } from "./several-boxes.ts";
import { seenBox, wakeSeen } from "./wake-box.ts";

const help = `Usage: diskomator wake BOX... [OPTIONS]

Switches one or several machines on by Wake-on-LAN. Their network cards are those that "diskomator
ls" saw last. Firmware and card must support it, and the system that switched the machine off must
have armed the card, as a box does.

  --to ADDRESS[:PORT]  where the packets go, such as the broadcast address of another network
                       (default: all networks of this machine, port 9)
  --json               JSON lines; the last one is the result

Exit codes: 0 sent, 5 the cards of a box are not known (then none is woken), 7 some of several boxes
failed.

Example: diskomator wake lunch-feta`;

/** The command. */
export const wake: Command = {
  help,
  async run({ args, signal }) {
    const options = { to: { type: "string" }, json: { type: "boolean", default: false } } as const;
    const { values, positionals } = readOptions(args, options, Number.POSITIVE_INFINITY);
    const names = readBoxes(positionals);
    const to = values.to === undefined ? null : readTo(values.to);
    const isJson = values.json;
    return await withOutcome({ isJson, signal }, async () => {
      const boxes = await Promise.all(names.map(seenBox));
      const deeds = boxes.map((box) => ({
        box: box.name,
        run: async () => {
          const addresses = await wakeSeen(box, to);
          const text = `${box.name}: sent to ${box.macs.join(", ")} at ${addresses.join(", ")}.`;
          return { text, fields: { ...box, addresses } };
        },
      }));
      return await doToEach(deeds, { isJson, signal });
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
