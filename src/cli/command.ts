/** What a command is, and how its options are read. */

import { type ParseArgsOptionsConfig, parseArgs } from "node:util";
import { type ExitCode, UsageError } from "./exit.ts";

/** What a command finds around it. */
export interface CommandContext {
  /** Arguments after the command's name. */
  readonly args: readonly string[];
  /** Aborted by Ctrl-C, by SIGTERM, and when the terminal is closed. */
  readonly signal: AbortSignal;
}

/**
 * One command of the command line; `help` starts with a usage line and holds an example. `Code` is
 * `number` for one that ends as another program does.
 */
export interface Command<Code extends number = ExitCode> {
  readonly help: string;
  run(context: CommandContext): Promise<Code>;
}

/**
 * Reads options strictly.
 * @throws UsageError that names the option or argument that is not known.
 */
export function readOptions<const T extends ParseArgsOptionsConfig>(
  args: readonly string[],
  options: T,
  positionalsMax: number,
) {
  try {
    const parsed = parseArgs({ args: [...args], options, allowPositionals: true, strict: true });
    const extra = parsed.positionals[positionalsMax];
    if (extra !== undefined) throw new UsageError(`There is no place for the argument "${extra}".`);
    return parsed;
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(describeFault(error));
  }
}

/** What parseArgs says, in words that fit a command line for people. */
function describeFault(error: unknown): string {
  const { message, code } = error as NodeJS.ErrnoException;
  const option = /'(?:-\w, )?(--?[^' ]*)/.exec(message)?.[1];
  if (option === undefined) return message;
  if (code === "ERR_PARSE_ARGS_UNKNOWN_OPTION") return `There is no option "${option}".`;
  if (/does not take an argument/.test(message)) return `${option} takes no value.`;
  return `${option} wants a value; one that begins with "-" is written ${option}=VALUE.`;
}
