/** `diskomator serve` in a process of its own, which a test can kill. */

import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";

const entry = join(import.meta.dirname, "../src/cli/main.ts");

/** A running `diskomator serve --json`. */
export class ServeProcess implements AsyncDisposable {
  /** UUIDs of what is served, in the order of the command line. */
  readonly uuids: readonly string[];
  readonly #child: ChildProcessByStdio<null, Readable, null>;

  /** Starts it, and waits until it serves. */
  static async start(args: readonly string[]): Promise<ServeProcess> {
    const child = spawn(process.execPath, [entry, "serve", "--json", ...args], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const { promise, resolve, reject } = Promise.withResolvers<readonly string[]>();
    createInterface(child.stdout).on("line", (line) => {
      const { event, namespaces } = JSON.parse(line);
      if (event !== "serving") return;
      resolve(namespaces.map(({ uuid }: { readonly uuid: string }) => uuid));
    });
    const command = `diskomator serve ${args.join(" ")}`;
    child.on("exit", () => reject(new Error(`${command} ended without serving.`)));
    return new ServeProcess(child, await promise);
  }

  private constructor(child: ChildProcessByStdio<null, Readable, null>, uuids: readonly string[]) {
    this.#child = child;
    this.uuids = uuids;
  }

  /** Kills it, without a chance to end in order, and waits until it is gone. */
  async kill(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const gone = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await gone;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.kill();
  }
}
