/**
 * What the owner of the box asks for: `/etc/diskomator/config.json`, and `diskomator.NAME=VALUE`
 * on the kernel command line, which wins. What makes no sense is reported and left out: a box
 * that cannot be reached because of a typing error would help nobody.
 */

import type { AccessMode } from "../rpc/index.ts";

/** Which disks to export. */
type ExportChoice = "all" | "listed" | "all-and-boot-medium";

/** The parsed configuration. */
export interface Config {
  /** `all` leaves out the medium that the box booted from. */
  readonly export: ExportChoice;
  /** For `listed`: kernel names, /dev paths and links, serial numbers or identities. */
  readonly devices: readonly string[];
  /** What every NQN begins with: `nqn.2026-11.io.diskomator`. */
  readonly nqnBase: string;
  /** Who may come: see SECURITY.md. */
  readonly access: AccessMode;
  /** No disk is opened for writing, whoever asks. */
  readonly readOnly: boolean;
}

/** A configuration together with what was wrong in its sources. */
export interface ParsedConfig {
  readonly config: Config;
  /** One sentence each, for the screen. */
  readonly problems: readonly string[];
}

/** What holds when nobody says anything. */
export const defaultConfig: Config = {
  export: "all",
  devices: [],
  nqnBase: "nqn.2026-11.io.diskomator",
  access: "paired",
  readOnly: false,
};

const choices: readonly ExportChoice[] = ["all", "listed", "all-and-boot-medium"];
const modes: readonly AccessMode[] = ["paired", "open", "local"];
const flags: ReadonlyMap<unknown, boolean> = new Map<unknown, boolean>([
  [true, true],
  [false, false],
  // As on a kernel command line: the bare word means yes.
  ["", true],
  ["yes", true],
  ["no", false],
]);
/** Room for `:BOX:DISK:h-HOST` within an NQN that fits in an identity of TLS. */
const nqnBaseLengthMax = 80;
const nqnBasePattern = /^nqn\.\d{4}-(?:0[1-9]|1[0-2])\.[A-Za-z0-9.-]+(?::[A-Za-z0-9._:-]+)?$/;
const commandLinePrefix = "diskomator.";

/**
 * Reads both sources.
 * @param json the text of the file, or null when there is none
 * @param commandLine the text of `/proc/cmdline`
 */
export function parseConfig(json: string | null, commandLine: string): ParsedConfig {
  const problems: string[] = [];
  let config = defaultConfig;
  for (const [key, value] of [...entriesOfJson(json, problems), ...entriesOf(commandLine)]) {
    const changed = readEntry(key, value);
    if (typeof changed === "string") {
      problems.push(changed);
    } else {
      config = { ...config, ...changed };
    }
  }
  if (config.export === "listed" && config.devices.length === 0) {
    problems.push(`"export" is "listed" but "devices" names none: no disk is exported.`);
  }
  return { config, problems };
}

function entriesOfJson(json: string | null, problems: string[]): [string, unknown][] {
  if (json === null) {
    return [];
  }
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (error) {
    problems.push(`config.json is not JSON: ${error instanceof Error ? error.message : error}`);
    return [];
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    problems.push("config.json must hold one object.");
    return [];
  }
  return Object.entries(value);
}

function entriesOf(commandLine: string): [string, unknown][] {
  return commandLine
    .split(/\s+/)
    .filter((word) => word.startsWith(commandLinePrefix))
    .map((word) => {
      const text = word.slice(commandLinePrefix.length);
      const at = text.indexOf("=");
      const key = at < 0 ? text : text.slice(0, at);
      const value = at < 0 ? "" : text.slice(at + 1);
      return [key, key === "devices" ? value.split(",").filter((v) => v !== "") : value];
    });
}

/** The change that an entry makes, or what is wrong with it. */
function readEntry(key: string, value: unknown): Partial<Config> | string {
  switch (key) {
    case "export": {
      const choice = choices.find((known) => known === value);
      return choice === undefined ? wrong(key, value, oneOf(choices)) : { export: choice };
    }
    case "devices":
      return isTextList(value) ? { devices: value } : wrong(key, value, "a list of names");
    case "nqnBase":
      return typeof value === "string" &&
        value.length <= nqnBaseLengthMax &&
        nqnBasePattern.test(value)
        ? { nqnBase: value }
        : wrong(key, value, `nqn.YYYY-MM.REVERSED.DOMAIN, ${nqnBaseLengthMax} bytes at most`);
    case "access": {
      const mode = modes.find((known) => known === value);
      return mode === undefined ? wrong(key, value, oneOf(modes)) : { access: mode };
    }
    case "read-only": {
      const flag = flags.get(value);
      return flag === undefined ? wrong(key, value, `"yes" or "no"`) : { readOnly: flag };
    }
    default: {
      const known = "export, devices, nqnBase, access, read-only";
      return `Unknown setting ${JSON.stringify(key)}: known are ${known}.`;
    }
  }
}

function isTextList(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === "string");
}

function wrong(key: string, found: unknown, wanted: string): string {
  return `Setting "${key}" is ${JSON.stringify(found)}; wanted: ${wanted}. It is ignored.`;
}

function oneOf(names: readonly string[]): string {
  return names.map((name) => `"${name}"`).join(" or ");
}
