/** The user's files about boxes, as this process finds them. */

import { join } from "node:path";
import { findBox, type Home, type HomeOptions, type Place, readHome } from "../box/index.ts";
import { configDirectory, homeDirectory } from "./user-folders.ts";

/** Where they are. */
export function homePaths(): HomeOptions {
  return { configuration: configDirectory(), ssh: join(homeDirectory(), ".ssh") };
}

/** The box that the user calls so, with what is needed to reach it. */
export async function lookUp(
  name: string,
  signal: AbortSignal,
): Promise<{ readonly home: Home; readonly place: Place }> {
  const home = await readHome(homePaths());
  return { home, place: await findBox(name, { knownBoxes: home.knownBoxes, signal }) };
}
