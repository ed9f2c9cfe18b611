/** Tasks that succeed together or end together. */

/**
 * Runs all tasks at once. When one fails the others' signal is aborted, all are waited for, and
 * the call rejects with what the first one failed of; nothing goes on behind the caller's back.
 */
export async function runTogether<T>(
  tasks: readonly ((signal: AbortSignal) => Promise<T>)[],
  signal?: AbortSignal,
): Promise<T[]> {
  const stop = new AbortController();
  const inner = signal === undefined ? stop.signal : AbortSignal.any([stop.signal, signal]);
  const results = await Promise.allSettled(
    tasks.map(async (task) => {
      try {
        return await task(inner);
      } catch (error) {
        stop.abort(error);
        throw error;
      }
    }),
  );
  return results.map((result) => {
    if (result.status === "rejected") {
      throw inner.reason;
    }
    return result.value;
  });
}
