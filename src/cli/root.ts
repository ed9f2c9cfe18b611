/** How a command does what only root may: as root, or by sudo where that asks nobody unexpectedly. */

import { spawnSync } from "node:child_process";
import { BoxError, findProgram } from "../box/index.ts";
import { tell } from "./console.ts";

/**
 * What comes before a program that root has to run.
 * @throws BoxError `unsupported` without a way to become root.
 */
export async function rootPrefix(why: string): Promise<readonly string[]> {
  if (process.getuid?.() === 0) return [];
  const sudo = await findProgram("sudo", process.env.PATH ?? "");
  const isAsking = process.stdin.isTTY && process.stderr.isTTY;
  if (sudo !== null && (isAsking || spawnSync(sudo, ["-n", "true"]).status === 0)) {
    tell(`To ${why} root is needed; sudo is used.`);
    // Asks for the password now, while the terminal is free.
    if (isAsking) spawnSync(sudo, ["-v"], { stdio: "inherit" });
    return [sudo, "-n"];
  }
  throw new BoxError(
    "unsupported",
    `Cannot ${why}: that needs root. Run the same command on a terminal where sudo may ask, or as ` +
      "root with the same configuration folder (XDG_CONFIG_HOME).",
  );
}
