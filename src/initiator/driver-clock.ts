/** The clock of this process, for waiting between attempts to reconnect. */

import { performance } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import type { Clock } from "./transport.ts";

/** The clock that controllers wait by unless they are given another one. */
export const systemClock: Clock = {
  nowMs: () => performance.now(),
  sleep: async (durationMs, { signal } = {}) => {
    try {
      await sleep(durationMs, undefined, signal ? { signal } : {});
    } catch (error) {
      signal?.throwIfAborted();
      throw error;
    }
  },
};
