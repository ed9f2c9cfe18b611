/** When a download is tried again, and how: a pure decision after each failed try. */
import type { TryFailure } from "./failure.ts";

/** How patient downloads are. */
export interface RetryPolicy {
  /** Tries at one URL without notable progress. */
  readonly triesMax: number;
  /** Pause before the second try, the third, …; the last one serves for all further ones. */
  readonly delaysMs: readonly number[];
}

/** What has happened to one download so far. */
export interface RetryState {
  /** Which of the file's URLs is in use. */
  readonly urlIndex: number;
  /** Failed tries at this URL that brought next to nothing. */
  readonly failedTries: number;
  /** Failed tries in all. */
  readonly totalTries: number;
  /** Times that wrong bytes were thrown away. */
  readonly restarts: number;
}

/** What to do next; `discard`: what was fetched is thrown away first. */
export type RetryDecision =
  | { readonly kind: "again"; readonly state: RetryState; readonly delayMs: number }
  | { readonly kind: "discard"; readonly state: RetryState }
  | { readonly kind: "give-up"; readonly state: RetryState };

/** Three tries, as apt and npm have it. */
export const defaultRetryPolicy: RetryPolicy = { triesMax: 3, delaysMs: [500, 2000] };

/** The state of a download that has not begun. */
export const firstState: RetryState = {
  urlIndex: 0,
  failedTries: 0,
  totalTries: 0,
  restarts: 0,
};

/** A try that brought this much does not count as failed: a large file outlives many cuts. */
export const progressBytesMin = 1024 * 1024;

/** Wrong bytes are fetched once more from the start: a proxy may have kept a damaged copy. */
const restartsMax = 1;

/** Decides after a try failed that brought `gainedBytes`. */
export function decideRetry(
  policy: RetryPolicy,
  before: RetryState,
  failure: TryFailure,
  gainedBytes: number,
  urlCount: number,
): RetryDecision {
  const state = { ...before, totalTries: before.totalTries + 1 };
  const nextUrl = { ...state, urlIndex: state.urlIndex + 1, failedTries: 0, restarts: 0 };
  const hasNextUrl = nextUrl.urlIndex < urlCount;
  switch (failure.kind) {
    case "gone":
    case "refused":
      return hasNextUrl
        ? { kind: "again", state: nextUrl, delayMs: 0 }
        : { kind: "give-up", state };
    case "wrong":
      if (state.restarts < restartsMax) {
        return { kind: "discard", state: { ...state, restarts: state.restarts + 1 } };
      }
      return hasNextUrl ? { kind: "discard", state: nextUrl } : { kind: "give-up", state };
    case "transient": {
      const failedTries = gainedBytes >= progressBytesMin ? 1 : state.failedTries + 1;
      if (failedTries >= policy.triesMax) {
        return hasNextUrl
          ? { kind: "again", state: nextUrl, delayMs: 0 }
          : { kind: "give-up", state };
      }
      const delayMs = policy.delaysMs[failedTries - 1] ?? policy.delaysMs.at(-1) ?? 0;
      return {
        kind: "again",
        state: { ...state, failedTries },
        delayMs: Math.max(delayMs, failure.retryAfterMs ?? 0),
      };
    }
  }
}
