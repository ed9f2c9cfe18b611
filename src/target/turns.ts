/**
 * So many at a time, the others in line: for commands that take memory of their own while they run,
 * which no budget counts.
 */

/** A line before something that only a few may use at a time. */
export class Turns {
  readonly #max: number;
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  constructor(max: number) {
    this.#max = max;
  }

  /** Runs `work` when it is its turn. Rejects with the signal's reason when that comes first. */
  async run<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
    signal.throwIfAborted();
    if (this.#running < this.#max) this.#running++;
    else await this.#wait(signal);
    try {
      return await work();
    } finally {
      // Who is next takes the place over.
      const start = this.#waiting.shift();
      if (start) start();
      else this.#running--;
    }
  }

  async #wait(signal: AbortSignal): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const leave = () => {
      const index = this.#waiting.indexOf(resolve);
      if (index < 0) return;
      this.#waiting.splice(index, 1);
      reject(signal.reason);
    };
    this.#waiting.push(resolve);
    signal.addEventListener("abort", leave);
    try {
      await promise;
    } finally {
      signal.removeEventListener("abort", leave);
    }
  }
}
