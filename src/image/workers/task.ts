/** What a task is: a function that runs in a worker thread, by name, on plain data. */

import type { SegmentLog } from "../segment/index.ts";

/** What a task finds around it. */
export interface TaskContext {
  /** Events reach the log of the pool's owner. */
  readonly log: SegmentLog;
}

/** What a task hands back. */
export interface TaskResult<T> {
  readonly value: T;
  /** Buffers inside `value` that are moved to the owner's thread instead of being copied. */
  readonly transfer?: readonly ArrayBuffer[];
}

/** A task; input and value are structured-cloneable. */
export type Task<Input, Output> = (
  input: Input,
  context: TaskContext,
) => Promise<TaskResult<Output>>;
