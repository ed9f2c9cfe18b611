/**
 * Asks disks of which some may not answer. Who waits for one holds a thread of the daemon's four until
 * the kernel gives the disk up, which takes minutes, and the kernel's target is changed by such
 * threads: a few disks are asked at once, and none again that is still waited for.
 */

/** How many, and for how long. */
export interface PatienceOptions {
  readonly timeoutMs: number;
  readonly atOnceMax: number;
}

/** What is under way, by kernel name of the disk. */
export class Patience {
  readonly #options: PatienceOptions;
  readonly #underWay = new Map<string, { isLate: boolean }>();
  readonly #waiting = new Set<() => void>();

  constructor(options: PatienceOptions) {
    this.#options = options;
  }

  /** What `look` gives; null when it fails or takes too long, or so many others do. */
  async ask<T>(name: string, look: (signal: AbortSignal) => Promise<T>): Promise<T | null> {
    while (!this.#isFree(name)) {
      if (this.#isHopeless(name)) return null;
      await new Promise<void>((resolve) => this.#waiting.add(resolve));
    }
    const one = { isLate: false };
    this.#underWay.set(name, one);
    const end = new AbortController();
    const late = Promise.withResolvers<null>();
    const timer = setTimeout(() => {
      one.isLate = true;
      end.abort();
      late.resolve(null);
      this.#wake();
    }, this.#options.timeoutMs);
    const looking = look(end.signal)
      .catch(() => null)
      .finally(() => {
        clearTimeout(timer);
        this.#underWay.delete(name);
        this.#wake();
      });
    return await Promise.race([looking, late.promise]);
  }

  #isFree(name: string): boolean {
    return !this.#underWay.has(name) && this.#underWay.size < this.#options.atOnceMax;
  }

  #isHopeless(name: string): boolean {
    const late = [...this.#underWay.values()].filter(({ isLate }) => isLate);
    return this.#underWay.get(name)?.isLate === true || late.length >= this.#options.atOnceMax;
  }

  #wake(): void {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const wake of waiting) wake();
  }
}
