/** `diskomator COMMAND`: finds the command, runs it, turns what went wrong into an exit code. */

import { build } from "./build.ts";
import type { Command } from "./command.ts";
import { printLine, tell } from "./console.ts";
import { type ExitCode, exitCodes, UsageError } from "./exit.ts";
import { start } from "./start.ts";
import { vm } from "./vm.ts";

const commands: Readonly<Record<string, Command>> = { build, vm, start };

async function main(args: readonly string[], signal: AbortSignal): Promise<ExitCode> {
  const [name, ...rest] = args;
  if (name === undefined || name === "--help" || name === "help") {
    printLine(overview());
    return name === undefined ? exitCodes.usage : exitCodes.ok;
  }
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (command === undefined) {
    throw new UsageError(
      `There is no command "${name}". The commands are ${Object.keys(commands).join(", ")}.`,
    );
  }
  if (rest.includes("--help")) {
    printLine(command.help);
    return exitCodes.ok;
  }
  return await command.run({ args: rest, signal });
}

function overview(): string {
  const lines = Object.entries(commands).map(
    ([name, { summary }]) => `  ${name.padEnd(8)}${summary}`,
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
