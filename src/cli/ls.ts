/** `diskomator ls`: boxes and their disks. */

import { setTimeout as sleep } from "node:timers/promises";
import { createLogUpdate } from "log-update";
import {
  addKnownBox,
  type Home,
  type KnownBox,
  type Place,
  placeOfAddress,
  readHome,
  writeKnownBoxes,
} from "../box/index.ts";
import { type BoxLook, type Looked, lookAround, Sessions } from "./box-look.ts";
import { type Command, readOptions } from "./command.ts";
import { printJson, printLine, progressLine, tell, visible } from "./console.ts";
import { type ExitCode, exitCodes, NotFoundError, UsageError } from "./exit.ts";
import { withOutcome } from "./outcome.ts";
import { homePaths } from "./user-home.ts";

const help = `Usage: diskomator ls [ADDRESS...] [OPTIONS]

Lists boxes and their disks: those that announce themselves on this network, those that are known
(boxes.json in the configuration folder), and those at ADDRESS.

  --remember   add each ADDRESS to the list of known boxes, under the box's own name
  --forget     remove each name or ADDRESS from that list
  --watch      keep running and show changes, until Ctrl-C
  --timeout S  how many seconds a box may take to answer (default 10)
  --json       JSON lines; the last one is the result

Boxes that were built by somebody else are listed as "not ours". DISK and SERIAL both name a disk:
BOX:nvme0n1 or BOX:S6Z1NJ0W1.

Exit codes: 0 done, 5 nothing to --forget, 6 a box at an ADDRESS does not answer.

Example: diskomator ls 10.0.8.17 --remember`;

/** Announcements come at once, or when the question is asked again after one that was lost. */
const listenMs = 1100;
const watchEveryMs = 5000;
const watchAtLeastMs = 300;

/** The command. */
export const ls: Command = {
  help,
  async run({ args, signal }) {
    const { values, positionals } = readOptions(
      args,
      {
        remember: { type: "boolean", default: false },
        forget: { type: "boolean", default: false },
        watch: { type: "boolean", default: false },
        timeout: { type: "string", default: "10" },
        json: { type: "boolean", default: false },
      },
      Number.POSITIVE_INFINITY,
    );
    const { remember, forget, watch, json: isJson } = values;
    if ((remember || forget) && positionals.length === 0) throw new UsageError("Name an address.");
    if (!/^[1-9]\d{0,2}$/.test(values.timeout)) {
      throw new UsageError(`--timeout takes seconds from 1 to 999, not "${values.timeout}".`);
    }
    const timeoutMs = Number(values.timeout) * 1000;
    return await withOutcome({ isJson, signal }, async () => {
      progressLine.show("Looking for boxes ...");
      const home = await readHome(homePaths());
      if (forget) return await forgetBoxes(home, positionals);
      const request = { home, places: positionals.map(placeOfAddress), timeoutMs };
      if (watch) return await watchBoxes(request, isJson, signal);
      await using sessions = new Sessions();
      const looking = lookAround(sessions, { ...request, listenMs, signal });
      const [looked] = await Promise.all([looking, table()]);
      progressLine.clear();
      if (remember) await rememberBoxes(home, request.places, looked);
      await rememberSeen(looked);
      await show(looked, isJson);
      return exitCodeOf(looked);
    });
  },
};

/** What makes tables is loaded while boxes are waited for. */
const table = () => import("./box-table.ts");

/** An address that was named is to be there; a box that is known may be off. */
function exitCodeOf({ boxes }: Looked): ExitCode {
  const isMissing = boxes.some(({ from, kind }) => from === "address" && kind === "failed");
  return isMissing ? exitCodes.unreachable : exitCodes.ok;
}

async function show(looked: Looked, isJson: boolean): Promise<void> {
  if (isJson) {
    const boxes = looked.boxes.map(jsonOf);
    const others = looked.foreign.map(({ text, ...rest }) => ({
      ...rest,
      text: Object.fromEntries(text),
    }));
    const exitCode = exitCodeOf(looked);
    const outcome = exitCode === exitCodes.ok ? "ok" : "failed";
    printJson({ event: "result", outcome, exitCode, boxes, others });
    return;
  }
  const { formatLooked } = await table();
  for (const line of formatLooked(looked)) printLine(line);
  if (looked.boxes.length > 0) return;
  tell(
    "No box was found. One on another network is found by its address: diskomator ls ADDRESS. " +
      '"diskomator doctor" looks for what may be in the way of announcements.',
  );
}

function jsonOf(box: BoxLook): Readonly<Record<string, unknown>> {
  if (box.kind !== "open") return { ...box };
  const { description, ...rest } = box;
  return { ...description, ...rest };
}

/** A machine that is off does not say which cards it has. */
async function rememberSeen({ boxes }: Looked): Promise<void> {
  const open = boxes.filter((box) => box.kind === "open");
  if (open.length > 0) await (await import("./wake-box.ts")).rememberCards(open);
}

/** What was found at addresses that were given becomes known. */
async function rememberBoxes(
  home: Home,
  places: readonly Place[],
  { boxes }: Looked,
): Promise<void> {
  let known: readonly KnownBox[] = home.knownBoxes;
  for (const { addresses } of places) {
    const address = addresses[0] ?? "";
    const box = boxes.find((one) => one.from === "address" && one.address === address);
    if (box?.kind !== "open") {
      tell(`${address} is not remembered: it is no box that answers to you.`);
      continue;
    }
    known = addKnownBox(known, { name: box.name, address, ports: new Map() });
    tell(`${box.name} is remembered at ${address}.`);
  }
  await writeKnownBoxes(homePaths(), known);
}

async function forgetBoxes(home: Home, names: readonly string[]): Promise<ExitCode> {
  const isMeant = ({ name, address }: KnownBox, word: string) => name === word || address === word;
  const kept = home.knownBoxes.filter((box) => !names.some((word) => isMeant(box, word)));
  const unknown = names.filter((word) => !home.knownBoxes.some((box) => isMeant(box, word)));
  if (unknown.length > 0) {
    const known = home.knownBoxes.map(({ name }) => name).join(", ") || "none";
    throw new NotFoundError(
      `Cannot forget ${unknown.join(", ")}: not in the list of known boxes. Known are: ${known}.`,
    );
  }
  await writeKnownBoxes(homePaths(), kept);
  tell(`${home.knownBoxes.length - kept.length} forgotten, ${kept.length} known.`);
  return exitCodes.ok;
}

/** Shows anew whenever something has changed; sessions stay open, so that boxes say so. */
async function watchBoxes(
  request: { readonly home: Home; readonly places: readonly Place[]; readonly timeoutMs: number },
  isJson: boolean,
  signal: AbortSignal,
): Promise<ExitCode> {
  let bell = new AbortController();
  await using sessions = new Sessions(() => bell.abort());
  const update = process.stdout.isTTY && !isJson ? createLogUpdate(process.stdout) : null;
  const { formatLooked } = await table();
  progressLine.clear();
  let shown = "";
  try {
    while (!signal.aborted) {
      bell = new AbortController();
      const looked = await lookAround(sessions, { ...request, listenMs, signal });
      const text = formatLooked(looked).join("\n") || "No box yet.";
      if (text !== shown) {
        if (isJson) printJson({ event: "boxes", boxes: looked.boxes.map(jsonOf) });
        else if (update) update(visible(text));
        else printLine(text);
      }
      shown = text;
      await sleep(watchAtLeastMs, undefined, { signal });
      const wakes = AbortSignal.any([signal, bell.signal]);
      // Rejects only when there is a reason to look again.
      await sleep(watchEveryMs, undefined, { signal: wakes }).catch(() => {});
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    update?.done();
  }
  return exitCodes.ok;
}
