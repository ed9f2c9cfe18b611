/**
 * Serves what the second target should, beside the daemon's rounds: loading it takes seconds on a slow
 * machine, and opening a disk as long as the disk likes.
 */
import type { SoftExport } from "./grant-exports.ts";
import type { World } from "./world.ts";

/** Between attempts at what failed. */
const retryMs = 5000;

/** What the second target is at. */
export class SoftServing {
  readonly #target: World["softTarget"];
  readonly #changed: () => void;
  #failures: ReadonlyMap<string, string> = new Map();
  #wishes = "[]";
  #work: Promise<void> | null = null;
  #retry: NodeJS.Timeout | undefined;

  /** @param changed is called when hosts can reach something else than before, or it failed */
  constructor(target: World["softTarget"], changed: () => void) {
    this.#target = target;
    this.#changed = changed;
  }

  /** NQN → why it is not served. */
  get failures(): ReadonlyMap<string, string> {
    return this.#failures;
  }

  /** What is under way; null when nothing is. */
  get work(): Promise<void> | null {
    return this.#work;
  }

  /** Makes exactly these served, soon. */
  want(wishes: readonly SoftExport[]): void {
    const text = JSON.stringify(wishes, (_name, value: unknown) => {
      return value instanceof Map ? [...value] : value;
    });
    if (text === this.#wishes) return;
    this.#wishes = text;
    clearTimeout(this.#retry);
    const work = (this.#work ?? Promise.resolve()).then(async () => {
      // Closing a disk that has gone may fail; everybody who asks for a grant waits here.
      this.#failures = await this.#target.settle(wishes).catch((error: unknown) => {
        const why = error instanceof Error ? error.message : String(error);
        return new Map(wishes.map(({ nqn }) => [nqn, why]));
      });
      if (this.#work === work) this.#work = null;
      if (this.#failures.size > 0 && this.#wishes === text) this.#tryAgain();
      this.#changed();
    });
    this.#work = work;
  }

  /** Ends everything. */
  async stop(): Promise<void> {
    clearTimeout(this.#retry);
    await this.#work;
    clearTimeout(this.#retry);
    await this.#target.settle([]);
  }

  #tryAgain(): void {
    this.#retry = setTimeout(() => {
      this.#wishes = "";
      this.#changed();
    }, retryMs);
  }
}
