/**
 * What ends a command from outside: a signal, of which the first one asks it to and a later one ends
 * it at once, and output that nobody reads, or that cannot be written.
 */

import { tell } from "./console.ts";
import { exitCodes } from "./exit.ts";

const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/**
 * What is sent to a whole group of processes (`timeout`, a service manager, a closed terminal) comes
 * twice: once by itself, and once from the launcher, npm or both, which pass signals on.
 */
const echoMs = 500;

/** The pipe has no reader, or the terminal was closed. */
function isUnread({ isTTY }: NodeJS.WriteStream, { code }: NodeJS.ErrnoException): boolean {
  return code === "EPIPE" || (code === "EIO" && isTTY);
}

/**
 * The signal that is aborted by Ctrl-C, by SIGTERM, when the terminal is closed, when nobody reads
 * the output any more (`diskomator ls --watch | head -1`), and when it cannot be written (a full disk):
 * then the exit code is 1, whatever the command ends with.
 */
export function interruptBySignals(): AbortSignal {
  const interrupt = new AbortController();
  let firstMs: number | undefined;
  const onSignal = (name: NodeJS.Signals) => {
    const nowMs = performance.now();
    firstMs ??= nowMs;
    if (!interrupt.signal.aborted) interrupt.abort(new Error(`interrupted by ${name}`));
    else if (nowMs - firstMs > echoMs) {
      for (const each of signals) process.off(each, onSignal);
      process.kill(process.pid, name);
    }
  };
  for (const name of signals) process.on(name, onSignal);
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (interrupt.signal.aborted) return;
      interrupt.abort(new Error("interrupted: nobody reads the output"));
      if (isUnread(stream, error) || stream === process.stderr) return;
      // What the command makes of its end, it would only be told to a program that reads nothing.
      process.once("exit", () => {
        process.exitCode = exitCodes.failure;
      });
      tell(`diskomator: Cannot write the output: ${error.message}.`);
    });
  }
  return interrupt.signal;
}
