/**
 * Who may write to a namespace at a time: many, or one that must be alone with it (a fused
 * Compare and Write). First come, first served; nobody waits when nothing is exclusive.
 */

type Turn = { readonly isAlone: boolean; readonly start: () => void };

/** A gate with shared and exclusive passes. */
export class WriteGate {
  #sharing = 0;
  #isAlone = false;
  readonly #waiting: Turn[] = [];

  /** Whether something that starts and ends within this turn of the event loop may write now. */
  get isFree(): boolean {
    return !this.#isAlone && this.#waiting.length === 0;
  }

  /** Runs `work` beside other writes. */
  shared<T>(work: () => Promise<T>): Promise<T> {
    return this.#run(false, work);
  }

  /** Runs `work` with no other write under way. */
  alone<T>(work: () => Promise<T>): Promise<T> {
    return this.#run(true, work);
  }

  async #run<T>(isAlone: boolean, work: () => Promise<T>): Promise<T> {
    const mustWait = this.#isAlone || this.#waiting.length > 0 || (isAlone && this.#sharing > 0);
    if (mustWait) {
      const turn = Promise.withResolvers<void>();
      this.#waiting.push({ isAlone, start: turn.resolve });
      await turn.promise;
    } else this.#enter(isAlone);
    try {
      return await work();
    } finally {
      if (isAlone) this.#isAlone = false;
      else this.#sharing--;
      this.#next();
    }
  }

  #enter(isAlone: boolean): void {
    if (isAlone) this.#isAlone = true;
    else this.#sharing++;
  }

  #next(): void {
    for (let head = this.#waiting[0]; head; head = this.#waiting[0]) {
      if (this.#isAlone || (head.isAlone && this.#sharing > 0)) return;
      this.#waiting.shift();
      this.#enter(head.isAlone);
      head.start();
    }
  }
}
