/** How much is under way to a disk at a time: less when it is slow to answer, more when it is not. */

const depthMax = 24;
const depthMin = 2;
/** A piece that takes longer than this means that more in flight only waits. */
const slowMs = 500;
const fastMs = 200;

/** Adapts the number of pieces under way to what a disk takes. */
export class Depth {
  #limit = depthMax / 2;
  #latencyMs = 0;
  #untilChange = this.#limit;

  /** Pieces that may be under way now. */
  get limit(): number {
    return this.#limit;
  }

  /** A piece took so long, with `inFlight` under way. */
  completed(tookMs: number, inFlight: number): void {
    this.#latencyMs = this.#latencyMs === 0 ? tookMs : this.#latencyMs * 0.8 + tookMs * 0.2;
    if (--this.#untilChange > 0) return;
    if (this.#latencyMs > slowMs) {
      this.#limit = Math.max(depthMin, Math.floor(this.#limit * 0.7));
      this.#latencyMs = 0;
    } else if (this.#latencyMs < fastMs && inFlight >= this.#limit - 1) {
      this.#limit = Math.min(depthMax, this.#limit + 2);
    }
    this.#untilChange = this.#limit;
  }
}
