/** Which failed exports are due again: a few times with growing pauses, then on a change only. */

const triesMax = 5;

interface Failure {
  readonly sequence: number | null;
  readonly error: string;
  readonly tries: number;
  readonly due: boolean;
}

/** Failures by kernel name; pure, the caller keeps the time. */
export class Retries {
  readonly #failures = new Map<string, Failure>();

  /**
   * Notes a failure.
   * @returns after how many milliseconds to call `makeDue`, or null to wait for a change
   */
  fail(name: string, sequence: number | null, error: string): number | null {
    const before = this.#failures.get(name);
    const tries = before?.sequence === sequence ? before.tries + 1 : 1;
    this.#failures.set(name, { sequence, error, tries, due: false });
    return tries > triesMax ? null : 1000 * 2 ** tries;
  }

  /** Lets the disk be tried again. */
  makeDue(name: string): void {
    const failure = this.#failures.get(name);
    if (failure !== undefined) {
      this.#failures.set(name, { ...failure, due: true });
    }
  }

  /** Forgets a disk that changed, has gone or was exported. */
  clear(name: string): void {
    this.#failures.delete(name);
  }

  /** Kernel names that are not to be tried now. */
  blocked(): ReadonlySet<string> {
    const names = [...this.#failures].filter(([, { due }]) => !due).map(([name]) => name);
    return new Set(names);
  }

  /** Kernel name → what failed. */
  errors(): ReadonlyMap<string, string> {
    return new Map([...this.#failures].map(([name, { error }]) => [name, error]));
  }
}
