/** `diskomator COMMAND`: finds the command, runs it, turns what went wrong into an exit code. */

import { readFile } from "node:fs/promises";
import type { Command } from "./command.ts";
import { printLine } from "./console.ts";
import { exitCodes, UsageError } from "./exit.ts";
import { interruptBySignals } from "./interrupt.ts";
import { reportFailure } from "./outcome.ts";

/** A command's code is loaded when it runs: each takes a part of the project that others lack. */
interface KnownCommand {
  readonly summary: string;
  load(): Promise<Command<number>>;
}

/** The commands by their names; the test of their helps reads them here. */
export const commands: Readonly<Record<string, KnownCommand>> = {
  build: { summary: "make an image", load: async () => (await import("./build.ts")).build },
  vm: {
    summary: "boot an image in a virtual machine",
    load: async () => (await import("./vm.ts")).vm,
  },
  start: {
    summary: "build an image, boot it in QEMU, write to it and read back",
    load: async () => (await import("./start.ts")).start,
  },
  serve: {
    summary: "serve files or disks of this machine to NVMe/TCP hosts",
    load: async () => (await import("./serve.ts")).serve,
  },
  flash: {
    summary: "write an image to disks",
    load: async () => (await import("./flash.ts")).flash,
  },
  run: {
    summary: "write an image to a disk of a box, boot it once, come back",
    load: async () => (await import("./run.ts")).run,
  },
  boot: {
    summary: "boot a disk of a box once",
    load: async () => (await import("./run.ts")).boot,
  },
  verify: {
    summary: "compare a disk with an image",
    load: async () => (await import("./verify.ts")).verify,
  },
  backup: {
    summary: "save a disk as an image file",
    load: async () => (await import("./backup.ts")).backup,
  },
  clone: {
    summary: "copy a disk to another",
    load: async () => (await import("./clone.ts")).clone,
  },
  ls: {
    summary: "boxes and disks on this network",
    load: async () => (await import("./ls.ts")).ls,
  },
  connect: {
    summary: "attach a disk of a box with the Linux kernel's own host",
    load: async () => (await import("./connect.ts")).connect,
  },
  disconnect: {
    summary: "detach a disk that connect attached",
    load: async () => (await import("./disconnect.ts")).disconnect,
  },
  ssh: {
    summary: "log in to a box",
    load: async () => (await import("./ssh.ts")).ssh,
  },
  reboot: {
    summary: "reboot a box",
    load: async () => (await import("./power.ts")).reboot,
  },
  poweroff: {
    summary: "switch a box off",
    load: async () => (await import("./power.ts")).poweroff,
  },
  wake: {
    summary: "switch a box on over the network",
    load: async () => (await import("./wake.ts")).wake,
  },
  doctor: {
    summary: "what this machine lacks, and how to get it",
    load: async () => (await import("./doctor.ts")).doctor,
  },
};

/** What the exit codes mean, for `--help`. */
const exitCodeLines: Readonly<Record<keyof typeof exitCodes, string>> = {
  ok: "done",
  failure: "failed",
  usage: "invalid command line",
  verifyMismatch: "the disk does not hold the image",
  refused: "refused, or not confirmed",
  notFound: "no such box or disk",
  unreachable: "unreachable, gone, or timed out",
  partial: "some of several disks failed",
  interrupted: "interrupted",
};

/**
 * Runs one command line.
 * @param args what stands after the program's name
 * @throws UsageError, and what the command could not turn into an exit code.
 */
export async function main(args: readonly string[], signal: AbortSignal): Promise<number> {
  const [first, ...others] = args;
  if (first === "--version") {
    printLine(`diskomator ${await version()}`);
    return exitCodes.ok;
  }
  if (first === undefined || isHelp(first) || (first === "help" && others.length === 0)) {
    printLine(overview());
    return first === undefined ? exitCodes.usage : exitCodes.ok;
  }
  const [name = "", ...rest] = first === "help" ? [...others.slice(0, 1), "--help"] : args;
  const known = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (known === undefined) {
    throw new UsageError(
      `There is no command "${name}". The commands are ${Object.keys(commands).join(", ")}.`,
    );
  }
  const command = await known.load();
  const end = rest.indexOf("--");
  if (rest.slice(0, end === -1 ? undefined : end).some(isHelp)) {
    printLine(command.help);
    return exitCodes.ok;
  }
  try {
    return await command.run({ args: rest, signal });
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    throw new UsageError(`${error.message} See: diskomator ${name} --help`, { cause: error });
  }
}

function isHelp(arg: string): boolean {
  return arg === "--help" || arg === "-h";
}

async function version(): Promise<string> {
  const path = new URL("../../package.json", import.meta.url);
  return JSON.parse(await readFile(path, "utf8")).version;
}

function overview(): string {
  const lines = Object.entries(commands).map(
    ([name, { summary }]) => `  ${name.padEnd(12)}${summary}`,
  );
  const names = Object.keys(exitCodeLines) as (keyof typeof exitCodes)[];
  const codes = names.map(
    (name) => `  ${String(exitCodes[name]).padStart(3)}  ${exitCodeLines[name]}`,
  );
  return [
    ...["Usage: diskomator COMMAND [OPTIONS]", "", ...lines, ""],
    'Each has --help. "diskomator --version" prints the version.',
    ...["", "Exit codes:", ...codes],
  ].join("\n");
}

if (import.meta.main) {
  const signal = interruptBySignals();
  try {
    process.exitCode = await main(process.argv.slice(2), signal);
  } catch (error) {
    // What a command did not turn into an outcome by itself.
    process.exitCode = reportFailure(error, { isJson: process.argv.includes("--json"), signal });
  }
}
