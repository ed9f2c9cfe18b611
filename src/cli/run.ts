/** `diskomator run` and `boot`: a disk of a box is booted once, and the box comes back. */

import { isIPv6 } from "node:net";
import type { Image } from "../flash/index.ts";
import { type Command, readOptions } from "./command.ts";
import { exitCodes, UsageError } from "./exit.ts";
import { parseUntil } from "./run-condition.ts";
import { parseConsole } from "./run-console.ts";
import { tellDifferences } from "./run-kexec.ts";
import { performRuns } from "./run-perform.ts";
import type { Found, ImageWrite, RunRequest } from "./run-request.ts";
import { onlyVoice, voiceOf } from "./run-voice.ts";
import { parseTarget } from "./target-address.ts";

const optionHelp = `  --until return      until the box is back (default)
  --until ssh         until the system on the disk answers by SSH
  --until port:N      until it accepts TCP connections on this port
  --until text:REGEX  until its console shows a line that matches
  --console SOURCE    where to read that console: a growing file or a serial line, tcp:HOST:PORT (a
                      serial console server), or udp:[ADDRESS:]PORT (netconsole sends to this
                      machine). With any --until, its last lines are shown if the condition fails
  --address ADDRESS   where that system is, if not at the address of the box
  --timeout SECONDS   how long to wait for any of these (default 600)
  --power-command CMD shell command that resets the machine when that time is over; the wait for the
                      box then starts again. The box's name is in $DISKOMATOR_BOX
  --exec COMMAND      shell command to run once the condition is met; the machine's address is in
                      $DISKOMATOR_ADDRESS
  --kexec             start the image's kernel without the firmware; not the same as a real boot,
                      and the differences are listed
  --append-entry      put the boot entry at the end of BootOrder for the run: for firmware that
                      drops entries that are in no order
  --wake              switch the machine on by Wake-on-LAN if it does not answer
  --no-return         boot even if the machine would not return to the box on its own
  --force             boot even while another host may write to a disk of the box, or another of its
                      disks has the same image
  --json              JSON lines; the last one is the result

Exit codes: 0 the condition was met, and COMMAND succeeded; 1 the box came back without that, or
after a crash, or COMMAND failed; 4 refused, nothing was booted; 6 the box did not come back, and
the message says how to bring it back; 7 some of several boxes failed.`;

const runHelp = `Usage: diskomator run IMAGE BOX[:DISK]... [OPTIONS]

Writes an image to a disk of a box, as flash does, boots it once, and waits. With several boxes,
all disks are written before any is booted; from then on each box proceeds independently.

  --watch             repeat whenever the image file changes, until Ctrl-C
${optionHelp}

Further options are those of flash: --confirm SERIAL, --yes, --grow, --key FILE, --require-checksum,
--long, --no-tls.

Example: diskomator run my-os.raw lunch-feta --yes --until ssh --exec ./test-suite`;

const bootHelp = `Usage: diskomator boot BOX:DISK... [OPTIONS]

Boots what is on a disk of a box once, and waits; several boxes at the same time.

${optionHelp}

Example: diskomator boot lunch-feta:S6Z1NJ0W1 --until ssh`;

const ownOptions = {
  until: { type: "string", default: "return" },
  console: { type: "string" },
  address: { type: "string" },
  timeout: { type: "string", default: "600" },
  "power-command": { type: "string" },
  exec: { type: "string" },
  kexec: { type: "boolean", default: false },
  "append-entry": { type: "boolean", default: false },
  wake: { type: "boolean", default: false },
  "no-return": { type: "boolean", default: false },
  force: { type: "boolean", default: false },
  json: { type: "boolean", default: false },
} as const;

/** Options that go to flash as they are; each run is verified. */
const flashOptions = {
  confirm: { type: "string", multiple: true },
  yes: { type: "boolean", default: false },
  grow: { type: "boolean", default: false },
  key: { type: "string" },
  "require-checksum": { type: "boolean", default: false },
  long: { type: "boolean", default: false },
  "no-tls": { type: "boolean", default: false },
} as const;

/** Writes an image and boots it once. */
export const run: Command = {
  help: runHelp,
  async run({ args, signal }) {
    const watch = { watch: { type: "boolean", default: false } } as const;
    const options = { ...ownOptions, ...flashOptions, ...watch };
    const { values, positionals } = readOptions(args, options, Number.POSITIVE_INFINITY);
    const [image, ...targets] = positionals;
    if (image === undefined || targets.length === 0)
      throw new UsageError("Name an image and a box.");
    const requests = readRequests(targets, values);
    const words = Object.keys(flashOptions).flatMap((name) => {
      const value = values[name as keyof typeof flashOptions];
      if (typeof value === "boolean") return value ? [`--${name}`] : [];
      return [value ?? []].flat().flatMap((one) => [`--${name}`, one]);
    });
    if (values.json) words.push("--json");
    if (values.watch && !isFile(image)) {
      throw new UsageError(`--watch takes a file, not ${image}.`);
    }
    if (values.kexec) tellDifferences(values.json);
    const write = await writeOf(image, [image, ...targets, ...words], signal);
    const perform = () => performRuns(requests, signal, write);
    if (!values.watch) return await perform();
    const { watchRuns } = await import("./run-watch.ts");
    return await watchRuns(requests, image, perform, signal);
  },
};

/** Boots what is on a disk once. */
export const boot: Command = {
  help: bootHelp,
  async run({ args, signal }) {
    const { values, positionals } = readOptions(args, ownOptions, Number.POSITIVE_INFINITY);
    if (positionals.length === 0) throw new UsageError("Name a box and its disk.");
    const requests = readRequests(positionals, values);
    if (values.kexec) tellDifferences(values.json);
    return await performRuns(requests, signal);
  },
};

/**
 * Writes the image as `flash` does with these arguments, to the disks that were looked at. What was
 * written once may be written again: for `--watch`, whose image may change its disk.
 */
async function writeOf(
  image: string,
  args: readonly string[],
  signal: AbortSignal,
): Promise<ImageWrite> {
  const { flashAs, readFlashArguments } = await import("./flash.ts");
  const { refuseTwins } = await import("./run-twins.ts");
  const read = readFlashArguments(args);
  const confirmedNames = new Set<string>();
  return {
    path: isFile(image) ? image : null,
    write: async (found) => {
      const names = found.map(flashNameOf);
      const onImage = (opened: Image) => refuseTwins(opened, found);
      const more = { names, confirmedNames, isEditedOurs: true, onImage };
      const code = await flashAs({ ...read, ...more }, signal);
      if (code !== exitCodes.ok) return code;
      for (const one of found) if (!one.disk.isWeak) confirmedNames.add(flashNameOf(one));
      return code;
    },
  };
}

function flashNameOf({ request: { box }, disk: { nqn } }: Found): string {
  return `${isIPv6(box) ? `[${box}]` : box}:${nqn}`;
}

/** Neither an address nor standard input. */
function isFile(image: string): boolean {
  return image !== "-" && !/^https?:\/\//.test(image);
}

interface RunValues {
  readonly until: string;
  readonly console?: string | undefined;
  readonly address?: string | undefined;
  readonly timeout: string;
  readonly "power-command"?: string | undefined;
  readonly exec?: string | undefined;
  readonly kexec: boolean;
  readonly "append-entry": boolean;
  readonly wake: boolean;
  readonly "no-return": boolean;
  readonly force: boolean;
  readonly json: boolean;
}

function readRequests(targets: readonly string[], values: RunValues): readonly RunRequest[] {
  const requests = targets.map((target) => readRequest(target, values));
  const [, ...others] = requests;
  if (others.length === 0) return requests;
  if (new Set(requests.map(({ box }) => box)).size < requests.length) {
    throw new UsageError("A box can boot only one of its disks at a time.");
  }
  if (values.address !== undefined || values.console !== undefined) {
    throw new UsageError("--address and --console are of one machine: name one box with them.");
  }
  return requests.map((request) => ({ ...request, voice: voiceOf(request.box) }));
}

function readRequest(target: string, values: RunValues): RunRequest {
  const parsed = parseTarget(target);
  if (parsed.kind !== "box") {
    throw new UsageError(
      `Only a box can boot a disk and come back: name BOX[:DISK], not ${target}.`,
    );
  }
  if (!/^[1-9]\d{0,5}$/.test(values.timeout)) {
    throw new UsageError(`--timeout takes a number of seconds, not "${values.timeout}".`);
  }
  if (values.kexec && values["append-entry"]) {
    throw new UsageError(
      "--kexec makes no boot entry that --append-entry could append: leave one out.",
    );
  }
  const condition = parseUntil(values.until);
  const source = values.console === undefined ? null : parseConsole(values.console);
  if (condition.kind === "text" && source === null) {
    throw new UsageError(
      "--until text:REGEX needs --console, which says where the text comes from.",
    );
  }
  return {
    box: parsed.box,
    disk: parsed.disk,
    condition,
    console: source,
    address: values.address,
    timeoutMs: Number(values.timeout) * 1000,
    exec: values.exec,
    powerCommand: values["power-command"],
    isKexec: values.kexec,
    isAppended: values["append-entry"],
    isWoken: values.wake,
    noReturn: values["no-return"],
    isForced: values.force,
    isJson: values.json,
    voice: onlyVoice,
  };
}
