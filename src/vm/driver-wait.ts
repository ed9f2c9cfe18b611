/** Waiting for a condition that some other party brings about, with a deadline and a signal. */

/** How long to wait. */
export interface WaitOptions {
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** Tells those who wait that it is worth looking again. */
export class Bell {
  readonly #listeners = new Set<() => void>();

  ring(): void {
    for (const listener of [...this.#listeners]) listener();
  }

  /** Returns the function that ends the listening. */
  listen(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}

/**
 * Looks at once and at each ring until `look` returns something.
 * @param look may throw when there is nothing left to wait for.
 * @param late makes the error of the deadline.
 */
export function waitUntil<T>(
  bell: Bell,
  look: () => T | undefined,
  late: () => Error,
  options: WaitOptions,
): Promise<T> {
  const { timeoutMs, signal } = options;
  return new Promise<T>((resolve, reject) => {
    let timer: NodeJS.Timeout | undefined;
    const finish = (settle: () => void) => {
      stopListening();
      clearTimeout(timer);
      signal?.removeEventListener("abort", aborted);
      settle();
    };
    const aborted = () => finish(() => reject(signal?.reason));
    const lookAgain = () => {
      try {
        const found = look();
        if (found !== undefined) finish(() => resolve(found));
      } catch (error) {
        finish(() => reject(error));
      }
    };
    const stopListening = bell.listen(lookAgain);
    if (signal?.aborted) return aborted();
    signal?.addEventListener("abort", aborted);
    if (timeoutMs !== undefined) timer = setTimeout(() => finish(() => reject(late())), timeoutMs);
    lookAgain();
  });
}
