export {
  findKernelSegments,
  type KernelOrder,
  type KernelSegmentsInput,
  type KernelSegmentsResult,
  type PinnedFile,
  vmlinuzPath,
} from "./driver-kernel.ts";
export {
  openWorkerPool,
  type PoolOptions,
  type RunOptions,
  type WorkerPool,
} from "./driver-pool.ts";
export {
  findSegment,
  type NodeSegmentInput,
  nodeSegmentKey,
  type PackageSegmentInput,
  packageSegmentKey,
  type SegmentResult,
} from "./driver-segments.ts";
export type { Task, TaskContext, TaskResult } from "./task.ts";
export type { TaskInput, TaskName, TaskOutput } from "./tasks.ts";
export { verifyDigest } from "./verify.ts";
export { decompressInWorkers } from "./xz-file.ts";
