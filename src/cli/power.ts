/** `diskomator reboot` and `poweroff`: end boxes, or let them begin anew. */

import { type BoxSession, openSession } from "../box/index.ts";
import { wordsOf } from "./box-target.ts";
import { type Command, readOptions } from "./command.ts";
import { progressLine } from "./console.ts";
import { RefusedError } from "./exit.ts";
import { withOutcome } from "./outcome.ts";
import { doToEach, readBoxes } from "./several-boxes.ts";
import { lookUp } from "./user-home.ts";

interface Power {
  readonly command: string;
  readonly method: "reboot" | "powerOff";
  readonly what: string;
  readonly done: string;
}

function makeCommand(power: Power): Command {
  const { command, method, what, done } = power;
  return {
    help: `Usage: diskomator ${command} BOX... [OPTIONS]

${what}
Refused while a host may write to one of the boxes' disks, unless --force is given: a reason not to
touch one of several boxes stops the command before anything is done.

  --force   do it anyway: writes in progress are cut off
  --json    JSON lines; the last one is the result

Exit codes: 0 done, 4 a host may write to one of its disks, 5 no such box, 6 unreachable, 7 some of
several boxes failed.

Example: diskomator ${command} lunch-feta`,
    async run({ args, signal }) {
      const options = {
        force: { type: "boolean", default: false },
        json: { type: "boolean", default: false },
      } as const;
      const { values, positionals } = readOptions(args, options, Number.POSITIVE_INFINITY);
      const boxes = readBoxes(positionals);
      const { force: isForced, json: isJson } = values;
      return await withOutcome({ isJson, signal }, async () => {
        progressLine.show(`Looking for ${boxes.join(", ")} ...`);
        await using stack = new AsyncDisposableStack();
        const opened = boxes.map((box) => look(box, power, { isForced, stack, signal }));
        // All of them are open, or have failed, before the first failure ends the others.
        await Promise.allSettled(opened);
        const sessions = await Promise.all(opened);
        progressLine.clear();
        const deeds = sessions.map((session, n) => ({
          box: boxes[n] ?? session.place.name,
          run: async () => {
            const { name } = session.place;
            await session.call(method, {}, { signal });
            return { text: `${name} ${done}.`, fields: { box: name } };
          },
        }));
        return await doToEach(deeds, { isJson, signal });
      });
    },
  };
}

/** @throws RefusedError while somebody may write to a disk of the box */
async function look(
  box: string,
  { command }: Power,
  {
    isForced,
    stack,
    signal,
  }: {
    readonly isForced: boolean;
    readonly stack: AsyncDisposableStack;
    readonly signal: AbortSignal;
  },
): Promise<BoxSession> {
  const { home, place } = await lookUp(box, signal);
  const session = stack.use(await openSession(place, { home, signal }));
  const { grants } = await session.call("disks", {}, { signal });
  const [writer] = grants.filter(({ mode }) => mode === "rw");
  if (writer === undefined || isForced) return session;
  throw new RefusedError(
    `Cannot ${command} ${place.name}: ${wordsOf(writer)}. End that first, or use --force.`,
  );
}

/** Boots boxes again. */
export const reboot = makeCommand({
  command: "reboot",
  method: "reboot",
  what: "Reboots one or several boxes, into whatever the firmware chooses.",
  done: "is rebooting",
});

/** Switches boxes off. */
export const poweroff = makeCommand({
  command: "poweroff",
  method: "powerOff",
  what: "Switches one or several boxes off.",
  done: "is shutting down",
});
