/** How many events are told in a while: who hammers at the door does not drown all else. */

const eventsMax = 10;
const whileMs = 2000;

/** Counts events of one kind; pure, the caller keeps the time. */
export class Rate {
  #sinceMs = Number.NEGATIVE_INFINITY;
  #count = 0;

  /** Whether an event that happens now is told. */
  admits(nowMs: number): boolean {
    if (nowMs - this.#sinceMs > whileMs) [this.#sinceMs, this.#count] = [nowMs, 0];
    this.#count += 1;
    return this.#count <= eventsMax;
  }
}
