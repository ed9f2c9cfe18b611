/** `diskomator disconnect`: what `connect` attached is detached, and its grant taken back. */

import { realpath } from "node:fs/promises";
import { basename } from "node:path";
import {
  isFor,
  type KernelController,
  machineHostnqn,
  openSession,
  planDisconnect,
  readControllers,
  runSteps,
} from "../box/index.ts";
import { pickDisk } from "./box-target.ts";
import { type Command, readOptions } from "./command.ts";
import { readBoxName } from "./connect.ts";
import { printJson, printLine, progressLine, tell } from "./console.ts";
import { usersOf } from "./disk-use.ts";
import { type ExitCode, exitCodes, NotFoundError, RefusedError, UsageError } from "./exit.ts";
import { messageOf, withOutcome } from "./outcome.ts";
import { rootPrefix } from "./root.ts";
import { lookUp } from "./user-home.ts";

const help = `Usage: diskomator disconnect BOX[:DISK] [OPTIONS]
       diskomator disconnect /dev/DEVICE [OPTIONS]
       diskomator disconnect --all [OPTIONS]

Detaches what "diskomator connect" has attached, and takes the grant back. If the box cannot be
reached, name the device instead, or use --all: then the grant stays, until the same is done with
the name of the box, or the box is rebooted. A disk that is mounted, swapped to, or beneath another
device is left alone.

  --force  detach it even while it is in use: data not written yet is lost
  --json   JSON lines; the last one is the result

Example: diskomator disconnect lunch-feta`;

/** The command. */
export const disconnect: Command = {
  help,
  async run({ args, signal }) {
    const options = {
      all: { type: "boolean", default: false },
      force: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
    } as const;
    const { values, positionals } = readOptions(args, options, 1);
    const [name] = positionals;
    if ((name === undefined) !== values.all) throw new UsageError("Name a box, or use --all.");
    const { force, json: isJson } = values;
    return await withOutcome({ isJson, signal }, async () => {
      const hostnqn = await machineHostnqn();
      const ours = (await readControllers()).filter((one) => one.hostnqn === hostnqn);
      if (name === undefined || name.startsWith("/")) {
        const chosen = name === undefined ? ours : await ofDevice(name, ours);
        const code = await detach(chosen, name ?? "this machine", { force, isJson, signal });
        tell("Its box still keeps the disk for this machine, until: diskomator disconnect BOX");
        return code;
      }
      return await leaveBox(name, ours, { force, isJson, signal });
    });
  },
};

interface DetachOptions {
  readonly force: boolean;
  readonly isJson: boolean;
  readonly signal: AbortSignal;
}

/** Detaches what belongs to a box or one of its disks, and gives the grants back. */
async function leaveBox(
  text: string,
  ours: readonly KernelController[],
  options: DetachOptions,
): Promise<ExitCode> {
  const { signal } = options;
  const { box, disk: wanted } = readBoxName(text);
  progressLine.show(`Looking for ${box} ...`);
  const { home, place } = await lookUp(box, signal);
  await using session = await openSession(place, { home, signal });
  const { disks, grants } = await session.call("disks", {}, { signal });
  const named = wanted === undefined ? disks : [(await pickDisk(session, wanted, signal)).disk];
  progressLine.clear();
  const nqns = named.flatMap(({ state }) => (state.kind === "exported" ? [state.nqn] : []));
  const chosen = ours.filter((one) => nqns.some((nqn) => isFor(one, nqn)));
  const hostnqn = await machineHostnqn();
  const names = new Set(named.map((disk) => disk.name));
  const own = grants.filter((one) => {
    // A disk that is not there now has no name in its grant.
    const isMeant = wanted === undefined || one.disks.some((disk) => names.has(disk));
    return one.hostnqn === hostnqn && isMeant;
  });
  // A device that was detached without its box leaves a grant.
  const isGrantOnly = chosen.length === 0 && own.length > 0;
  const code = isGrantOnly ? exitCodes.ok : await detach(chosen, text, options);
  for (const { grant } of own) {
    try {
      await session.call("revoke", { grant }, { signal });
      if (isGrantOnly) tell(`Nothing was attached; the grant ${grant} is taken back.`);
    } catch (error) {
      tell(`The grant ${grant} of ${place.name} could not be taken back: ${messageOf(error)}`);
    }
  }
  if (isGrantOnly) finish([], options);
  return code;
}

async function ofDevice(
  path: string,
  ours: readonly KernelController[],
): Promise<readonly KernelController[]> {
  const name = basename(await realpath(path).catch(() => path));
  return ours.filter((one) => one.name === name || one.devices.includes(name));
}

async function detach(
  chosen: readonly KernelController[],
  what: string,
  { force, isJson, signal }: DetachOptions,
): Promise<ExitCode> {
  if (chosen.length === 0) {
    throw new NotFoundError(`Nothing of ${what} is attached by "diskomator connect".`);
  }
  for (const device of force ? [] : chosen.flatMap(({ devices }) => devices)) {
    const user = await usersOf(`/dev/${device}`);
    if (user === undefined) continue;
    throw new RefusedError(
      `Cannot detach ${device} (${what}): it is in use: ${user}. End that first, or use --force.`,
    );
  }
  const prefix = await rootPrefix(`detach ${what}`);
  for (const controller of chosen) {
    await runSteps(planDisconnect(controller), { prefix, signal });
    if (!isJson) printLine(`${controller.name} is detached`);
  }
  finish(chosen, { isJson });
  return exitCodes.ok;
}

function finish(chosen: readonly KernelController[], { isJson }: Pick<DetachOptions, "isJson">) {
  if (!isJson) return;
  const detached = chosen.map(({ name }) => name);
  printJson({ event: "result", outcome: "ok", exitCode: exitCodes.ok, detached });
}
