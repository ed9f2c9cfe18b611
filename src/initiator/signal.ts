/** Waiting that an AbortSignal ends. */

/** `work`, or a rejection with the signal's reason when that is aborted first. */
export async function untilAborted<T>(work: Promise<T>, signal?: AbortSignal): Promise<T> {
  if (!signal) return work;
  signal.throwIfAborted();
  const aborted = Promise.withResolvers<never>();
  const onAbort = () => aborted.reject(signal.reason);
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([work, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/** Waits for `work`, but not longer than until `signal` is aborted; never rejects. */
export async function settledOrAborted(
  work: Promise<unknown>,
  signal?: AbortSignal,
): Promise<void> {
  await untilAborted(work, signal).catch(() => {});
}
