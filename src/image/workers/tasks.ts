/** All tasks that workers know, by name. A new one is a function in a driver and a line here. */

import { kernelSegments } from "./driver-kernel.ts";
import { nodeSegment, packageSegment } from "./driver-segments.ts";
import type { Task } from "./task.ts";
import { xzFile } from "./xz-file.ts";

/** The registry; a name that is not in it does not compile. */
export const tasks = { packageSegment, nodeSegment, kernelSegments, xzFile };

/** Name of a task. */
export type TaskName = keyof typeof tasks;
/** What the task `N` takes. */
export type TaskInput<N extends TaskName> =
  (typeof tasks)[N] extends Task<infer Input, infer _> ? Input : never;
/** What the task `N` gives. */
export type TaskOutput<N extends TaskName> =
  (typeof tasks)[N] extends Task<infer _, infer Output> ? Output : never;
