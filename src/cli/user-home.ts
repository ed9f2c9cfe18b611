/** The user's files about boxes, as this process finds them. */

import { homedir } from "node:os";
import { join } from "node:path";
import { findBox, type Home, type HomeOptions, type Place, readHome } from "../box/index.ts";

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

/** Where they are. */
export function homePaths(): HomeOptions {
  return { configuration: configDirectory(), ssh: join(homedir(), ".ssh") };
}

/** The box that the user calls so, with what is needed to reach it. */
export async function lookUp(
  name: string,
  signal: AbortSignal,
): Promise<{ readonly home: Home; readonly place: Place }> {
  const home = await readHome(homePaths());
  return { home, place: await findBox(name, { knownBoxes: home.knownBoxes, signal }) };
}
