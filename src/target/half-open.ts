/**
 * Connections that have not come to a finished Connect. Who floods a target with connections that
 * say nothing pushes out its own; hosts that all come at once, as after a restart of the target, are
 * left the time that they need.
 */

import type { TargetLimits } from "./limits.ts";

/** So young, a connection has had no time to say anything; only a flood brings too many of them. */
const youngMs = 1000;

/** As many as may be half open at a time, the oldest first. */
export class HalfOpen<T> {
  readonly #limits: Pick<TargetLimits, "halfOpenMax" | "halfOpenBurstMax">;
  /** When each came. */
  readonly #since = new Map<T, number>();

  constructor(limits: Pick<TargetLimits, "halfOpenMax" | "halfOpenBurstMax">) {
    this.#limits = limits;
  }

  /** Another one has come at `nowMs`; the one that has to go for it, if there is one. */
  add(item: T, nowMs: number): T | undefined {
    const leaving = this.#leaving(nowMs);
    if (leaving !== undefined) this.#since.delete(leaving);
    this.#since.set(item, nowMs);
    return leaving;
  }

  delete(item: T): void {
    this.#since.delete(item);
  }

  #leaving(nowMs: number): T | undefined {
    const { halfOpenMax, halfOpenBurstMax } = this.#limits;
    const { size } = this.#since;
    const [oldest] = this.#since;
    if (!oldest || size < halfOpenMax) return undefined;
    const isYoung = nowMs - oldest[1] < youngMs;
    return isYoung && size < halfOpenBurstMax ? undefined : oldest[0];
  }
}
