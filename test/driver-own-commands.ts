/** A user with an empty home who runs the real commands; only what was downloaded is shared. */

import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { type Ended, root, userCache } from "./driver-build.ts";
import { toolEnv } from "./driver-tools.ts";

const main = join(root, "src/cli/main.ts");
const outputBytesMax = 64 * 1024 * 1024;

/** @see ownCommands */
export type OwnCommands = Awaited<ReturnType<typeof ownCommands>>;

/** Makes a user below `folder`. */
export async function ownCommands(folder: string) {
  await mkdir(folder, { recursive: true });
  const configuration = join(folder, "config");
  const env = {
    ...toolEnv,
    HOME: folder,
    XDG_CONFIG_HOME: configuration,
    XDG_STATE_HOME: join(folder, "state"),
    XDG_CACHE_HOME: dirname(userCache),
  };
  const run = (...args: readonly string[]): Promise<Ended> =>
    new Promise((resolve) => {
      const options = { env, maxBuffer: outputBytesMax };
      execFile(process.execPath, [main, ...args], options, (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === "number" ? error.code : 1;
        resolve({ code, stdout, stderr });
      });
    });
  return {
    run,
    /** The result line of a command, be it of a failure. */
    json: async (...args: readonly string[]) => {
      const { stdout, stderr } = await run(...args, "--json");
      const last = stdout.trim().split("\n").at(-1);
      if (!last) throw new Error(`${args.join(" ")} gave no result: ${stderr}`);
      return JSON.parse(last);
    },
    /** The same, and hears each JSON line as it comes; ends the command when the signal does. */
    follow: async (
      onEvent: (event: Record<string, unknown>) => void,
      args: readonly string[],
      signal?: AbortSignal,
    ) => {
      const child = spawn(process.execPath, [main, ...args, "--json"], {
        env,
        stdio: ["ignore", "pipe", "ignore"],
      });
      signal?.addEventListener("abort", () => child.kill(), { once: true });
      const closed = once(child, "close");
      let last: Record<string, unknown> = {};
      for await (const line of createInterface({ input: child.stdout })) {
        last = JSON.parse(line);
        onEvent(last);
      }
      await closed;
      return last;
    },
    /** Makes a box known under a name, behind forwarded ports. */
    know: async (name: string, address: string, ports: Readonly<Record<number, number>>) => {
      await mkdir(join(configuration, "diskomator"), { recursive: true });
      const path = join(configuration, "diskomator/boxes.json");
      await writeFile(path, JSON.stringify({ boxes: [{ name, address, ports }] }));
    },
  };
}
