/** `diskomator connect`: a disk of a box as a block device of this machine, by the Linux kernel. */

import { access } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import {
  BoxError,
  devicePath,
  findProgram,
  type KernelController,
  machineHostnqn,
  numericAddress,
  openSession,
  planConnect,
  planDisconnect,
  planForget,
  readControllers,
  runSteps,
  waitsElsewhere,
} from "../box/index.ts";
import type { GrantMode } from "../rpc/index.ts";
import { findWriter, isInTheClear, pickDisk, purposeOf, wordsOf } from "./box-target.ts";
import { type Command, readOptions } from "./command.ts";
import { printJson, printLine, progressLine, tell } from "./console.ts";
import { type ExitCode, exitCodes, RefusedError, UsageError } from "./exit.ts";
import { messageOf, withOutcome } from "./outcome.ts";
import { rootPrefix } from "./root.ts";
import { lookUp } from "./user-home.ts";

const help = `Usage: diskomator connect BOX[:DISK] [OPTIONS]

Attaches a disk of a box to this machine with the Linux kernel's own NVMe/TCP host, and prints the
path of the block device. Traffic is encrypted by TLS, which needs tlshd (package ktls-utils) and
keyctl (keyutils); "diskomator doctor" looks for both. It runs as root, or through sudo.

  --read-only  the box refuses all writes
  --overlay    writes stay in the box's memory, and are gone afterwards
  --shared     let others who give --shared write to it at the same time: for cluster file systems;
               any other file system would be destroyed
  --no-tls     do not encrypt; both ends still authenticate each other (DH-HMAC-CHAP)
  --json       JSON lines; the last one is the result

While a disk is attached for writing, no one else gets it unless it is shared. The grant lasts until
"diskomator disconnect", or until the box ends. A box that has rebooted has new keys: the device
waits until the same command is run again.

Example: diskomator connect lunch-feta:S6Z1NJ0W1 --read-only`;

/** udev makes the link once it has looked at the disk. */
const appearMs = 20_000;
const lookAgainMs = 100;

interface ConnectRequest {
  readonly box: string;
  readonly disk: string | undefined;
  readonly mode: GrantMode;
  readonly isShared: boolean;
  readonly isEncrypted: boolean;
  readonly isJson: boolean;
}

/** The command. */
export const connect: Command = {
  help,
  async run({ args, signal }) {
    const { values, positionals } = readOptions(
      args,
      {
        "read-only": { type: "boolean", default: false },
        overlay: { type: "boolean", default: false },
        shared: { type: "boolean", default: false },
        "no-tls": { type: "boolean", default: false },
        json: { type: "boolean", default: false },
      },
      1,
    );
    const name = readBoxName(positionals[0]);
    if (values["read-only"] && values.overlay) {
      throw new UsageError("--read-only and --overlay exclude each other.");
    }
    const mode = values.overlay ? "overlay" : values["read-only"] ? "ro" : "rw";
    if (values.shared && mode !== "rw") {
      throw new UsageError("--shared is for what is written to: leave it or the other option out.");
    }
    const isEncrypted = !values["no-tls"];
    const how = { mode, isShared: values.shared, isEncrypted, isJson: values.json } as const;
    const request = { ...name, ...how };
    return await withOutcome({ isJson: values.json, signal }, () => attach(request, signal));
  },
};

/** `BOX[:DISK]`, with brackets around an IPv6 address. */
export function readBoxName(text: string | undefined) {
  const match = /^(\[[^\]]+\]|[^:/[\]]+)(?::(.+))?$/.exec(text ?? "");
  const [, box = "", disk] = match ?? [];
  if (match === null) throw new UsageError("Name a box, or a disk of it: BOX[:DISK].");
  return { box: box.replace(/^\[|\]$/g, ""), disk };
}

async function attach(request: ConnectRequest, signal: AbortSignal): Promise<ExitCode> {
  const { mode, isShared, isEncrypted, isJson } = request;
  await assertAble(isEncrypted);
  progressLine.show(`Looking for ${request.box} ...`);
  const { home, place } = await lookUp(request.box, signal);
  await using session = await openSession(place, { home, signal });
  const { disk } = await pickDisk(session, request.disk, signal);
  progressLine.clear();
  const prefix = await rootPrefix(`attach ${disk.name} of ${place.name}`);
  const hostnqn = await machineHostnqn();
  const purpose = purposeOf("connect");
  const asked = {
    ...{ hostnqn, disks: [disk.name], mode, seconds: null, purpose },
    // Boxes of earlier versions do not know the word.
    ...(isShared ? { shared: true } : {}),
  };
  const granted = await session.call("grant", asked, { signal });
  const one = granted.disks[0];
  if (one === undefined) throw new TypeError("A grant of one disk has one disk.");
  const found = await findController(one.nqn, hostnqn);
  const device = devicePath(one);
  try {
    if (found?.state !== "live") {
      const other = await findWriter(session, one.name, signal, hostnqn);
      if (other !== undefined && !isShared) {
        throw new RefusedError(
          `Cannot attach ${disk.name} of ${place.name}: ${wordsOf(other)}. End that first.`,
        );
      }
      const address = await numericAddress(session.address);
      const isSecret = isEncrypted && !isInTheClear(session, place.name);
      const how = { address, isEncrypted: isSecret, found };
      const connection = { access: granted, disk: one, place, ...how };
      if (found && waitsElsewhere(found, connection)) {
        throw new RefusedError(
          `Cannot attach ${disk.name} of ${place.name}: ${found.name} waits for it at ` +
            `${found.address} port ${found.port}, where it will not be. Detach that first: ` +
            `diskomator disconnect ${place.name}:${disk.name} --force`,
        );
      }
      await runSteps(planConnect(connection), { prefix, signal });
    }
    await appear(device, () => findController(one.nqn, hostnqn), signal);
  } catch (error) {
    // A device that waits, waits for its grant; nothing else stays.
    if (found === undefined) {
      await leaveNothing(one.nqn, hostnqn, prefix);
      await session.call("revoke", { grant: granted.grant }).catch(() => {});
    }
    throw error;
  }
  if (isJson) {
    const { sizeBytes, readOnly, serial } = one;
    const result = { box: place.name, disk: disk.name, serial, device, sizeBytes, readOnly };
    printJson({ event: "result", outcome: "ok", exitCode: exitCodes.ok, ...result });
  } else {
    printLine(device);
    if (found?.state === "live") tell("It was attached already.");
  }
  return exitCodes.ok;
}

/**
 * Takes away what a failed attempt has left in the kernel: a controller, which would try to come back
 * for ever, and its key.
 */
async function leaveNothing(
  subsystemNqn: string,
  hostnqn: string,
  prefix: readonly string[],
): Promise<void> {
  try {
    const left = await findController(subsystemNqn, hostnqn);
    const steps = left ? planDisconnect(left) : planForget({ hostnqn, subsystemNqn });
    await runSteps(steps, { prefix });
  } catch (error) {
    tell(`What was begun could not be taken back: ${messageOf(error)}`);
  }
}

/** What can be told before anything is asked of anybody. */
async function assertAble(isEncrypted: boolean): Promise<void> {
  const refuse = (why: string) =>
    new BoxError("unsupported", `Cannot attach a disk: ${why} "diskomator doctor" has more.`);
  if (process.platform !== "linux") throw refuse("that is for Linux; flash and backup are not.");
  if (!isEncrypted) return;
  const path = process.env.PATH ?? "";
  for (const [program, name] of [
    ["keyctl", "keyutils"],
    ["tlshd", "ktls-utils"],
  ] as const) {
    if ((await findProgram(program, path)) !== null) continue;
    throw refuse(`${program} (package ${name}) is not installed. Install it, or use --no-tls.`);
  }
}

async function findController(nqn: string, hostnqn: string): Promise<KernelController | undefined> {
  const all = await readControllers();
  return all.find((one) => one.subsystemNqn === nqn && one.hostnqn === hostnqn);
}

/** Waits until the controller is connected and udev has made the link. */
async function appear(
  device: string,
  find: () => Promise<KernelController | undefined>,
  signal: AbortSignal,
): Promise<void> {
  const late = AbortSignal.timeout(appearMs);
  const isThere = async () => {
    const isLinked = await access(device).then(
      () => true,
      () => false,
    );
    return isLinked && (await find())?.state === "live";
  };
  while (!(await isThere())) {
    if (late.aborted) {
      throw new BoxError(
        "timeout",
        `The kernel was told to connect, and ${device} was not there within ${appearMs / 1000} s. ` +
          'See "dmesg", and whether tlshd and udev run.',
      );
    }
    await sleep(lookAgainMs, undefined, { signal });
  }
}
