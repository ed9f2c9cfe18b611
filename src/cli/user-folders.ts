/** Where the user's files are, as the environment says. */

import { homedir } from "node:os";
import { isAbsolute, join } from "node:path";

/** The user's configuration of diskomator: `$XDG_CONFIG_HOME/diskomator`. */
export function configDirectory(): string {
  return join(folder(process.env.XDG_CONFIG_HOME, ".config"), "diskomator");
}

/** What is remembered from one command to the next: `$XDG_STATE_HOME/diskomator`. */
export function stateDirectory(): string {
  return join(folder(process.env.XDG_STATE_HOME, ".local/state"), "diskomator");
}

/** What can be made anew: `$XDG_CACHE_HOME/diskomator`. */
export function cacheDirectory(): string {
  return join(folder(process.env.XDG_CACHE_HOME, ".cache"), "diskomator");
}

/** A relative path is none, as the XDG Base Directory Specification has it. */
function folder(named: string | undefined, inHome: string): string {
  return named !== undefined && isAbsolute(named) ? named : join(homeDirectory(), inHome);
}

/** @throws for a user whom the system does not know, such as a number in a container. */
export function homeDirectory(): string {
  let cause: unknown;
  try {
    if (isAbsolute(homedir())) return homedir();
  } catch (error) {
    cause = error;
  }
  const message = "This user has no home folder. Set HOME to a folder that is kept.";
  throw new Error(message, { cause });
}
