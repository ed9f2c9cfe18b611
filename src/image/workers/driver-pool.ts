/**
 * A pool of worker threads for the tasks of `tasks.ts`.
 *
 * Workers start when there is work for them and each runs one task at a time; the heaviest waiting
 * task goes first, so that a long one does not start last. A worker that is aborted or dies takes
 * only its own task with it, and another one is started in its place.
 */

import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { ImageError } from "../error.ts";
import type { SegmentLog } from "../segment/index.ts";
import { type TaskMessage, unpackError, type WorkerMessage } from "./message.ts";
import type { TaskInput, TaskName, TaskOutput } from "./tasks.ts";

/** How a pool is set up. */
export interface PoolOptions {
  /** How many tasks run at once; as many as there are cores unless told. */
  readonly threads?: number;
  /** The worker's entry; a bundle names its own, made of `driver-worker.ts`. */
  readonly workerUrl?: URL;
  readonly log?: SegmentLog;
}

/** How one task is run. */
export interface RunOptions {
  /** Aborting rejects with the signal's reason and ends the worker if the task has started. */
  readonly signal?: AbortSignal;
  /** How much work it is, in any unit common to the pool's tasks; bytes unless you know better. */
  readonly weight?: number;
  /** Buffers inside the input that are moved to the worker instead of being copied. */
  readonly transfer?: readonly ArrayBuffer[];
}

/** Runs tasks in worker threads. Disposal rejects what has not ended, and is idempotent. */
export interface WorkerPool extends AsyncDisposable {
  /** Rejects with the task's own error, or an ImageError `io` when its worker died. */
  run<N extends TaskName>(
    name: N,
    input: TaskInput<N>,
    options?: RunOptions,
  ): Promise<TaskOutput<N>>;
}

/** How many tasks may wait; more is a mistake of the caller's. */
const waitingTasksMax = 100_000;

/** A task that has not ended. */
interface Job {
  readonly message: TaskMessage;
  readonly weight: number;
  readonly transfer: readonly ArrayBuffer[];
  readonly resolve: (value: unknown) => void;
  /** Also lets go of the signal. */
  readonly reject: (reason: unknown) => void;
}

/** Opens a pool; no thread is started yet. */
export function openWorkerPool(options: PoolOptions = {}): WorkerPool {
  return new Pool(options);
}

class Pool implements WorkerPool {
  readonly #threads: number;
  readonly #url: URL;
  readonly #log: SegmentLog;
  /** Heaviest first; equals in the order of their arrival. */
  readonly #waiting: Job[] = [];
  readonly #idle: Worker[] = [];
  readonly #running = new Map<Worker, Job>();
  readonly #ending = new Set<Promise<unknown>>();
  #isClosed = false;

  constructor({ threads, workerUrl, log }: PoolOptions) {
    this.#threads = threads ?? availableParallelism();
    this.#url = workerUrl ?? new URL("./driver-worker.ts", import.meta.url);
    this.#log = log ?? (() => {});
  }

  async run<N extends TaskName>(
    name: N,
    input: TaskInput<N>,
    { signal, weight = 0, transfer = [] }: RunOptions = {},
  ): Promise<TaskOutput<N>> {
    signal?.throwIfAborted();
    if (this.#isClosed) throw closed(name);
    if (this.#waiting.length >= waitingTasksMax) {
      throw new RangeError(`At most ${waitingTasksMax} tasks may wait for a worker.`);
    }
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const job: Job = { message: { name, input }, weight, transfer, resolve, reject };
    const abort = () => this.#abort(job, signal?.reason);
    signal?.addEventListener("abort", abort, { once: true });
    try {
      this.#enqueue(job);
      this.#startNext();
      // The worker runs the function of that name, so that is what comes back.
      return (await promise) as TaskOutput<N>;
    } finally {
      signal?.removeEventListener("abort", abort);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    for (const job of this.#waiting.splice(0)) job.reject(closed(job.message.name));
    for (const [worker, job] of this.#running) {
      job.reject(closed(job.message.name));
      this.#end(worker);
    }
    for (const worker of this.#idle.splice(0)) this.#end(worker);
    await Promise.all(this.#ending);
  }

  #enqueue(job: Job): void {
    const lighter = this.#waiting.findIndex(({ weight }) => weight < job.weight);
    this.#waiting.splice(lighter < 0 ? this.#waiting.length : lighter, 0, job);
  }

  #startNext(): void {
    while (this.#waiting.length > 0 && this.#running.size < this.#threads) {
      const job = this.#waiting.shift()!;
      const worker = this.#idle.pop() ?? this.#startWorker();
      this.#running.set(worker, job);
      worker.ref();
      try {
        worker.postMessage(job.message, [...job.transfer]);
      } catch (cause) {
        this.#finish(worker)?.reject(cause);
      }
    }
  }

  #startWorker(): Worker {
    const worker = new Worker(this.#url);
    worker.on("message", (message: WorkerMessage) => this.#receive(worker, message));
    worker.on("messageerror", (cause) => this.#lose(worker, cause));
    worker.on("error", (cause) => this.#lose(worker, cause));
    worker.on("exit", (code) => this.#lose(worker, new Error(`The thread ended with ${code}.`)));
    return worker;
  }

  #receive(worker: Worker, message: WorkerMessage): void {
    if (message.kind === "log") {
      this.#log(message.event, message.fields);
      return;
    }
    const job = this.#finish(worker);
    if (message.kind === "done") job?.resolve(message.value);
    else job?.reject(unpackError(message.failure));
    this.#startNext();
  }

  /** The worker has nothing to do any more; it does not keep the process alive. */
  #finish(worker: Worker): Job | undefined {
    const job = this.#running.get(worker);
    if (this.#running.delete(worker)) {
      worker.unref();
      this.#idle.push(worker);
    }
    return job;
  }

  #abort(job: Job, reason: unknown): void {
    const place = this.#waiting.indexOf(job);
    if (place >= 0) this.#waiting.splice(place, 1);
    for (const [worker, running] of this.#running) if (running === job) this.#end(worker);
    job.reject(reason);
    this.#startNext();
  }

  /** A worker is gone, or will be at once, without having been told to end. */
  #lose(worker: Worker, cause: unknown): void {
    const job = this.#running.get(worker);
    const wasIdle = this.#idle.indexOf(worker);
    if (wasIdle >= 0) this.#idle.splice(wasIdle, 1);
    this.#end(worker);
    if (job === undefined) return;
    const reason = cause instanceof Error ? cause.message : String(cause);
    const message = `The worker that ran the task ${job.message.name} died: ${reason}`;
    job.reject(new ImageError("io", message, { task: job.message.name }, { cause }));
    this.#startNext();
  }

  #end(worker: Worker): void {
    this.#running.delete(worker);
    worker.removeAllListeners();
    // A thread that dies while it is being ended has nothing left to say.
    worker.on("error", () => {});
    const ended = worker.terminate();
    this.#ending.add(ended);
    ended.then(() => this.#ending.delete(ended));
  }
}

function closed(name: TaskName): Error {
  return new Error(`The task ${name} cannot run: the pool of workers is closed.`);
}
