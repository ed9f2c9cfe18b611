/**
 * What ends a command from outside: a signal, of which the first one asks it to and a later one ends
 * it at once, and the end of whoever reads its output.
 */

const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/**
 * What is sent to a whole group of processes (`timeout`, a service manager, a closed terminal) comes
 * twice: once by itself, and once from the launcher, npm or both, which pass signals on.
 */
const echoMs = 500;

/**
 * The signal that is aborted by Ctrl-C, by SIGTERM, when the terminal is closed, and when nobody
 * reads the output any more (`diskomator ls --watch | head -1`).
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
      if (error.code !== "EPIPE") throw error;
      interrupt.abort(new Error("interrupted: nobody reads the output"));
    });
  }
  return interrupt.signal;
}
