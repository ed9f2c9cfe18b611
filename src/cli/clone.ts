/** `diskomator clone`: copies one disk to another. */

import { imageOfDisk, openHasher } from "../flash/index.ts";
import { type Command, readOptions } from "./command.ts";
import { openTarget, warnOfUse } from "./disk-target.ts";
import { UsageError } from "./exit.ts";
import { flashTo, stateOf } from "./flash.ts";
import { withOutcome } from "./outcome.ts";
import { targetHelp } from "./target-address.ts";

const help = `Usage: diskomator clone FROM TO [OPTIONS]

Copies a whole disk to another one that is at least as large, with the rules of flash.

${targetHelp}

  --confirm SERIAL, --yes, --no-verify, --grow, --dry-run, --json: as for flash

Example: diskomator clone lunch-feta:S6Z1NJ0W1 lunch-feta:S7AA0J002 --confirm S7AA0J002`;

/** The command. */
export const clone: Command = {
  help,
  async run({ args, signal }) {
    const { values, positionals } = readOptions(
      args,
      {
        confirm: { type: "string", multiple: true },
        yes: { type: "boolean", default: false },
        "no-verify": { type: "boolean", default: false },
        grow: { type: "boolean", default: false },
        "dry-run": { type: "boolean", default: false },
        "no-tls": { type: "boolean", default: false },
        json: { type: "boolean", default: false },
      },
      2,
    );
    const [from, to] = positionals;
    if (from === undefined || to === undefined) throw new UsageError("Name two disks.");
    const isJson = values.json;
    let hasBegun = false;
    return await withOutcome(
      { isJson, signal },
      async () => {
        await using hasher = openHasher();
        const opening = { isEncrypted: !values["no-tls"], signal };
        await using source = await openTarget(from, { ...opening, readOnly: true });
        warnOfUse(source);
        await using target = await openTarget(to, { ...opening, readOnly: false });
        const open = () => imageOfDisk(source, () => performance.now(), { signal });
        await using image = await open();
        return await flashTo(image, [target], {
          options: {
            confirmed: values.confirm ?? [],
            isYes: values.yes,
            isVerified: !values["no-verify"],
            isGrown: values.grow,
            needsChecksum: false,
            source: source.identity,
          },
          isDryRun: values["dry-run"],
          isJson,
          mayAsk: true,
          hasher,
          reopen: open,
          from: source,
          signal,
          onBegin: () => {
            hasBegun = true;
          },
        });
      },
      (end) => stateOf(to, hasBegun, end),
    );
  },
};
