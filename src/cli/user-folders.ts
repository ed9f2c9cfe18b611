/** Where the user's files are, as the environment says. */

import { homedir } from "node:os";
import { join } from "node:path";

/** The user's configuration of diskomator: `$XDG_CONFIG_HOME/diskomator`. */
export function configDirectory(): string {
  return join(process.env.XDG_CONFIG_HOME || join(homedir(), ".config"), "diskomator");
}

/** What is remembered from one command to the next: `$XDG_STATE_HOME/diskomator`. */
export function stateDirectory(): string {
  return join(process.env.XDG_STATE_HOME || join(homedir(), ".local/state"), "diskomator");
}

/** What can be made anew: `$XDG_CACHE_HOME/diskomator`. */
export function cacheDirectory(): string {
  return join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "diskomator");
}
