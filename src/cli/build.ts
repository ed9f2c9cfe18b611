/** `diskomator build`: makes the EFI file and what goes with it. */

import { readdir, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import {
  type BuildEvent,
  type BuildReport,
  buildAppliance,
  type Compression,
  formatReport,
  type UpdateRule,
} from "../image/index.ts";
import { type Command, readOptions } from "./command.ts";
import { printJson, printLine, progressLine, tell } from "./console.ts";
import { exitCodes, UsageError } from "./exit.ts";
import { ownHostKey, readSshKeys } from "./own-keys.ts";
import { cacheDirectory } from "./user-folders.ts";

const help = `Usage: diskomator build [APPLIANCE] [OPTIONS]

Builds an appliance (default: diskomator) from its definition and lock file, and writes
APPLIANCE.efi, .raw, .manifest.json, .spdx.json and .SHA256SUMS.

  APPLIANCE              a name from appliances/, or the path of a definition
  --out DIR              where the outputs go (default: out)
  --update[=if-gone]     resolve again and rewrite the lock file; if-gone: only when the mirror no
                         longer has a version that it names
  --mirror URL           Debian mirror (default: the one in this machine's apt configuration)
  --security-mirror URL  mirror of the security archive
  --ignore-valid-until   accept an index whose Valid-Until has passed
  --compression fast|small   (default: fast)
  --ssh-key FILE         public key that may log in as root; may be repeated
                         (default: every ~/.ssh/*.pub, or a key made for this)
  --no-ssh-keys          build in no key: nobody can log in
  --access paired|open|local   who may use the disks (default: as the definition says)
  --read-only            the box opens no disk for writing
  --debug-shell          a root shell on the ninth console (Alt-F9)
  --cache DIR            where downloads and segments are kept
                         (default: diskomator in $XDG_CACHE_HOME, or in ~/.cache)
  --threads N            number of worker threads (default: one per processor)
  --json                 JSON lines; the last one is the result

Exit codes: 0 done, 1 failed, 2 usage, 130 interrupted.

Example: diskomator build --ssh-key ~/.ssh/id_ed25519.pub --out /tmp/stick`;

/** Options that `start` shares. */
export interface BuildRequest {
  readonly appliance: string;
  readonly out: string;
  readonly update: UpdateRule;
  readonly compression: Compression;
  readonly sshKeys: readonly string[];
  readonly sshHostKey?: string;
  readonly kernelParameters?: readonly string[];
  readonly cache?: string;
  readonly mirror?: string;
  readonly securityMirror?: string;
  readonly ignoreValidUntil?: boolean;
  readonly debugShell?: boolean;
  readonly threads?: number;
  readonly signal: AbortSignal;
  readonly onEvent?: (event: BuildEvent) => void;
}

/** The command. */
export const build: Command = {
  help,
  async run({ args, signal }) {
    const { values, positionals } = readOptions(
      args.map((arg) => (arg === "--update" ? "--update=always" : arg)),
      {
        out: { type: "string", default: "out" },
        update: { type: "string", default: "never" },
        mirror: { type: "string" },
        "security-mirror": { type: "string" },
        "ignore-valid-until": { type: "boolean", default: false },
        compression: { type: "string", default: "fast" },
        "ssh-key": { type: "string", multiple: true },
        "no-ssh-keys": { type: "boolean", default: false },
        access: { type: "string" },
        "read-only": { type: "boolean", default: false },
        "debug-shell": { type: "boolean", default: false },
        cache: { type: "string" },
        threads: { type: "string" },
        json: { type: "boolean", default: false },
      },
      1,
    );
    for (const [option, value] of Object.entries(values)) {
      // Of a variable that is not set: what it should have said must not be left out in silence.
      if (value === "") throw new UsageError(`--${option} wants a value, and found an empty one.`);
    }
    const noKeys = values["no-ssh-keys"];
    if (noKeys && values["ssh-key"]) {
      throw new UsageError("--ssh-key and --no-ssh-keys exclude each other.");
    }
    const appliance = await knownAppliance(positionals[0] ?? "diskomator");
    const access = values.access && oneOf("--access", values.access, ["paired", "open", "local"]);
    const report = await runBuild({
      appliance,
      out: values.out,
      update: oneOf("--update", values.update, ["never", "always", "if-gone"]),
      compression: oneOf("--compression", values.compression, ["fast", "small"]),
      ...(noKeys ? { sshKeys: [] } : await ownKeys(values["ssh-key"])),
      kernelParameters: [
        ...(access ? [`diskomator.access=${access}`] : []),
        ...(values["read-only"] ? ["diskomator.read-only"] : []),
      ],
      ignoreValidUntil: values["ignore-valid-until"],
      debugShell: values["debug-shell"],
      ...(values.cache ? { cache: values.cache } : {}),
      ...(values.mirror ? { mirror: values.mirror } : {}),
      ...(values["security-mirror"] ? { securityMirror: values["security-mirror"] } : {}),
      ...(values.threads ? { threads: wholeNumber("--threads", values.threads) } : {}),
      signal,
      onEvent: values.json ? (event) => printJson({ ...event }) : showEvent,
    });
    progressLine.clear();
    if (values.json) printJson({ event: "result", outcome: "ok", exitCode: 0, ...report });
    else for (const line of formatReport(report)) printLine(line);
    return exitCodes.ok;
  },
};

/** Who may log in, and what the box is known by: the keys of this user. */
async function ownKeys(
  files?: readonly string[],
): Promise<Pick<BuildRequest, "sshKeys" | "sshHostKey">> {
  return { sshKeys: await readSshKeys(files), sshHostKey: await ownHostKey() };
}

/** Builds with the paths and clocks of this process. */
export async function runBuild(request: BuildRequest): Promise<BuildReport> {
  const { mirror, securityMirror, threads, sshHostKey } = request;
  return await buildAppliance({
    definitionPath: definitionPathOf(request.appliance),
    outDirectory: resolve(request.out),
    cacheDirectory: request.cache ?? cacheDirectory(),
    update: request.update,
    compression: request.compression,
    mirrors: { ...(mirror ? { mirror } : {}), ...(securityMirror ? { securityMirror } : {}) },
    ignoreValidUntil: request.ignoreValidUntil ?? false,
    debugShell: request.debugShell ?? false,
    authorizedKeys: request.sshKeys,
    ...(sshHostKey ? { sshHostKey } : {}),
    kernelParameters: request.kernelParameters ?? [],
    ...(threads ? { threads } : {}),
    now: new Date(),
    clock: () => performance.now(),
    signal: request.signal,
    ...(request.onEvent ? { onEvent: request.onEvent } : {}),
  });
}

/** Shows one event of a build to a person. */
export function showEvent(event: BuildEvent): void {
  switch (event.event) {
    case "phase":
      progressLine.show(`${event.phase} ...`);
      break;
    case "progress": {
      const percent = Math.floor((100 * event.doneBytes) / Math.max(1, event.totalBytes));
      progressLine.show(`fetch ${percent} % (${event.doneFiles} of ${event.totalFiles} packages)`);
      break;
    }
    case "lock-moved":
      tell(`The lock file moves: ${event.because}`);
      for (const line of event.lines) tell(`  ${line}`);
      break;
    case "note":
      if (process.env.DISKOMATOR_DEBUG) tell(`note (${event.code}): ${event.message}`);
      break;
  }
}

/** A definition by its name or its path. */
export function definitionPathOf(appliance: string): string {
  return /[/.]/.test(appliance)
    ? resolve(appliance)
    : join(import.meta.dirname, "../../appliances", `${appliance}.ts`);
}

/** The same name or path, once it is certain that its definition is there. */
async function knownAppliance(appliance: string): Promise<string> {
  const path = definitionPathOf(appliance);
  const found = await stat(path).catch(() => null);
  if (found?.isFile() && path.endsWith(".ts")) return appliance;
  const files = await readdir(join(import.meta.dirname, "../../appliances"));
  const locks = files.filter((file) => file.endsWith(lockSuffix));
  const names = locks.map((file) => file.slice(0, -lockSuffix.length)).join(", ");
  throw new UsageError(
    `There is no appliance ${appliance}: ${path} is no TypeScript file. Wanted ${names}, or the ` +
      "path of a definition (one with a / or a dot in it).",
  );
}

const lockSuffix = ".lock.json";

function oneOf<const T extends string>(option: string, value: string, all: readonly T[]): T {
  const found = all.find((candidate) => candidate === value);
  if (found === undefined) {
    throw new UsageError(`${option} takes ${all.join(", ")}, not "${value}".`);
  }
  return found;
}

function wholeNumber(option: string, value: string): number {
  if (!/^[1-9]\d{0,3}$/.test(value)) {
    throw new UsageError(`${option} takes a whole number from 1 on, not "${value}".`);
  }
  return Number(value);
}
