/** `diskomator reboot` and `poweroff`: end a box, or let it begin anew. */

import { openSession } from "../box/index.ts";
import { wordsOf } from "./box-target.ts";
import { type Command, readOptions } from "./command.ts";
import { printJson, printLine, progressLine } from "./console.ts";
import { type ExitCode, exitCodes, RefusedError, UsageError } from "./exit.ts";
import { withOutcome } from "./outcome.ts";
import { lookUp } from "./user-home.ts";

interface Power {
  readonly command: string;
  readonly method: "reboot" | "powerOff";
  readonly what: string;
  readonly done: string;
}

function makeCommand({ command, method, what, done }: Power): Command {
  return {
    help: `Usage: diskomator ${command} BOX [OPTIONS]

${what}
A box whose disks somebody may write to is left alone, unless --force is given.

  --force   even so: what is being written is cut short
  --json    JSON lines; the last one is the result

Exit codes: 0 done, 4 somebody may write to a disk of it, 5 no such box, 6 unreachable.

Example: diskomator ${command} lunch-feta`,
    async run({ args, signal }) {
      const options = {
        force: { type: "boolean", default: false },
        json: { type: "boolean", default: false },
      } as const;
      const { values, positionals } = readOptions(args, options, 1);
      const [box] = positionals;
      if (!box) throw new UsageError("Name a box.");
      const isJson = values.json;
      return await withOutcome({ isJson, signal }, async (): Promise<ExitCode> => {
        progressLine.show(`Looking for ${box} ...`);
        const { home, place } = await lookUp(box, signal);
        await using session = await openSession(place, { home, signal });
        progressLine.clear();
        const { grants } = await session.call("disks", {}, { signal });
        const [writer] = grants.filter(({ mode }) => mode === "rw");
        if (writer !== undefined && !values.force) {
          throw new RefusedError(
            `Cannot ${command} ${place.name}: ${wordsOf(writer)}. End that first, or use --force.`,
          );
        }
        await session.call(method, {}, { signal });
        if (isJson) {
          printJson({ event: "result", outcome: "ok", exitCode: exitCodes.ok, box: place.name });
        } else printLine(`${place.name} ${done}.`);
        return exitCodes.ok;
      });
    },
  };
}

/** Boots a box again. */
export const reboot = makeCommand({
  command: "reboot",
  method: "reboot",
  what: "Boots a box again, from whatever its firmware chooses.",
  done: "boots again",
});

/** Switches a box off. */
export const poweroff = makeCommand({
  command: "poweroff",
  method: "powerOff",
  what: "Switches a box off.",
  done: "goes off",
});
