/** A question to the person at the terminal. */

import { createInterface } from "node:readline/promises";

/** Where it is asked, and what ends the waiting. */
export interface Terminal {
  readonly input: NodeJS.ReadableStream;
  readonly output: NodeJS.WritableStream;
  readonly signal: AbortSignal;
  /** Ctrl-C: while a line is read, the terminal makes no signal of it. */
  readonly interrupt: () => void;
}

/**
 * What is typed; undefined where the input ends instead, as by Ctrl-D.
 * @throws the signal's reason
 */
export async function ask(
  question: string,
  { input, output, signal, interrupt }: Terminal,
): Promise<string | undefined> {
  signal.throwIfAborted();
  const prompt = createInterface({ input, output, terminal: true });
  const { promise: ended, resolve: end } = Promise.withResolvers<undefined>();
  prompt.on("SIGINT", interrupt);
  prompt.on("close", () => end(undefined));
  try {
    return await Promise.race([prompt.question(question, { signal }), ended]);
  } catch {
    // Aborted, or ended by Ctrl-D, which is an error of its own to the library.
    signal.throwIfAborted();
    return undefined;
  } finally {
    prompt.close();
  }
}
