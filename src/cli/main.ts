/** `diskomator COMMAND`: finds the command, runs it, turns what went wrong into an exit code. */

import type { Command } from "./command.ts";
import { printLine, tell } from "./console.ts";
import { type ExitCode, exitCodes, UsageError } from "./exit.ts";

/** A command's code is loaded when it runs: each takes a part of the project that others lack. */
interface KnownCommand {
  readonly summary: string;
  load(): Promise<Command>;
}

const commands: Readonly<Record<string, KnownCommand>> = {
  build: { summary: "make an image", load: async () => (await import("./build.ts")).build },
  vm: {
    summary: "boot an image in a virtual machine",
    load: async () => (await import("./vm.ts")).vm,
  },
  start: {
    summary: "build, boot, write and read back: the whole path once",
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
    summary: "attach a disk of a box by the Linux kernel's own host",
    load: async () => (await import("./connect.ts")).connect,
  },
  disconnect: {
    summary: "detach it",
    load: async () => (await import("./disconnect.ts")).disconnect,
  },
  ssh: {
    summary: "log in to a box",
    load: async () => (await import("./ssh.ts")).ssh,
  },
  reboot: {
    summary: "boot a box again",
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

async function main(args: readonly string[], signal: AbortSignal): Promise<ExitCode> {
  const [name, ...rest] = args;
  if (name === undefined || name === "--help" || name === "help") {
    printLine(overview());
    return name === undefined ? exitCodes.usage : exitCodes.ok;
  }
  const known = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (known === undefined) {
    throw new UsageError(
      `There is no command "${name}". The commands are ${Object.keys(commands).join(", ")}.`,
    );
  }
  const command = await known.load();
  const end = rest.indexOf("--");
  if (rest.slice(0, end === -1 ? undefined : end).includes("--help")) {
    printLine(command.help);
    return exitCodes.ok;
  }
  return await command.run({ args: rest, signal });
}

function overview(): string {
  const lines = Object.entries(commands).map(
    ([name, { summary }]) => `  ${name.padEnd(12)}${summary}`,
  );
  return ["Usage: diskomator COMMAND [OPTIONS]", "", ...lines, "", "Each has --help."].join("\n");
}

function exitCodeOf(error: unknown, signal: AbortSignal): ExitCode {
  if (signal.aborted) return exitCodes.interrupted;
  return error instanceof UsageError ? exitCodes.usage : exitCodes.failure;
}

const interrupt = new AbortController();
for (const name of ["SIGINT", "SIGTERM"] as const) {
  process.once(name, () => interrupt.abort(new Error(`interrupted by ${name}`)));
}
try {
  process.exitCode = await main(process.argv.slice(2), interrupt.signal);
} catch (error) {
  tell(`diskomator: ${error instanceof Error ? error.message : String(error)}`);
  if (process.env.DISKOMATOR_DEBUG && error instanceof Error) tell(error.stack ?? "");
  process.exitCode = exitCodeOf(error, interrupt.signal);
}
