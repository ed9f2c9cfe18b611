/** Hashing a file or a disk on all processors: threads that read for themselves. */

import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import { BlockError, type CallOptions } from "./device.ts";
import type { DigestAnswer, DigestJob, DigestThreadData } from "./digest-pool.ts";

/** How a file is hashed. */
export interface DigesterOptions {
  /** Past the page cache: what the medium holds, not what the kernel remembers. */
  readonly isDirect: boolean;
  /** The thread's program, where this one was bundled. */
  readonly program?: URL;
}

/** Digests of a range, in their order. */
export interface DigestRange {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
}

/** Some of them: `digests` has `digestBytes` for each unit from `offsetBytes` on. */
export interface DigestedRange extends DigestRange {
  readonly digests: Uint8Array;
}

/** More threads gain nothing: no disk gives that much. */
const threadsMax = 16;
/** What a thread is asked at a time: long enough that asking costs nothing. */
const jobBytes = 4 * 1024 * 1024;

/** Threads over one file or device node; disposal ends them. */
export class Digester implements AsyncDisposable {
  readonly #path: string;
  readonly #options: DigesterOptions;
  readonly #threads: DigestThread[] = [];
  readonly #threadsMax: number;
  #isOpen = true;

  constructor(path: string, options: DigesterOptions) {
    this.#path = path;
    this.#options = options;
    const cores = availableParallelism();
    // While one waits for the disk, another hashes; memory lets nobody wait.
    this.#threadsMax = Math.min(threadsMax, options.isDirect ? 2 * cores : cores);
  }

  /**
   * The digests of ranges, in their order; each range is cut into units from its beginning on.
   * @throws BlockError `medium` when the file cannot be read, `closed` after disposal; the signal's
   *   reason.
   */
  async *digest(
    ranges: Iterable<DigestRange>,
    unitBytes: number,
    { signal }: CallOptions = {},
  ): AsyncGenerator<DigestedRange> {
    const waiting: Promise<DigestedRange>[] = [];
    const jobs = cut(ranges, Math.max(unitBytes, Math.floor(jobBytes / unitBytes) * unitBytes));
    try {
      for (;;) {
        signal?.throwIfAborted();
        // One more for each thread waits with it, so that none is idle between two.
        while (waiting.length < 2 * this.#threadsMax) {
          const next = jobs.next();
          if (next.done) break;
          const answer = this.#ask({ ...next.value, unitBytes });
          answer.catch(() => undefined);
          waiting.push(answer);
        }
        const first = waiting.shift();
        if (!first) return;
        yield await first;
      }
    } finally {
      await Promise.allSettled(waiting);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOpen = false;
    await Promise.all(this.#threads.map((thread) => thread.end()));
  }

  async #ask(job: Omit<DigestJob, "id">): Promise<DigestedRange> {
    if (!this.#isOpen) throw new BlockError("closed", `Cannot hash ${this.#path}: that is over.`);
    let thread = this.#threads.find(({ waiting }) => waiting === 0);
    if (!thread && this.#threads.length < this.#threadsMax) {
      thread = new DigestThread(this.#path, this.#options);
      this.#threads.push(thread);
    }
    thread ??= this.#threads.reduce((a, b) => (b.waiting < a.waiting ? b : a));
    const { offsetBytes, lengthBytes } = job;
    return { offsetBytes, lengthBytes, digests: await thread.ask(job) };
  }
}

function* cut(ranges: Iterable<DigestRange>, stepBytes: number): Generator<DigestRange> {
  for (const { offsetBytes, lengthBytes } of ranges) {
    for (let done = 0; done < lengthBytes; done += stepBytes) {
      yield {
        offsetBytes: offsetBytes + done,
        lengthBytes: Math.min(stepBytes, lengthBytes - done),
      };
    }
  }
}

/** One thread. */
class DigestThread {
  readonly #path: string;
  readonly #worker: Worker;
  readonly #pending = new Map<number, PromiseWithResolvers<Uint8Array>>();
  #lastId = 0;
  #failure: BlockError | undefined;

  constructor(path: string, { isDirect, program }: DigesterOptions) {
    this.#path = path;
    const workerData: DigestThreadData = { path, isDirect };
    const own = new URL("./driver-digest-thread.ts", import.meta.url);
    this.#worker = new Worker(program ?? own, { workerData });
    this.#worker.on("message", (answer: DigestAnswer) => this.#take(answer));
    this.#worker.on("error", (error) => this.#fail(this.#error("medium", error.message, error)));
    this.#worker.on("exit", () => this.#fail(this.#error("closed", "its thread has ended")));
  }

  get waiting(): number {
    return this.#pending.size;
  }

  ask(job: Omit<DigestJob, "id">): Promise<Uint8Array> {
    if (this.#failure) return Promise.reject(this.#failure);
    const id = ++this.#lastId;
    const answer = Promise.withResolvers<Uint8Array>();
    this.#pending.set(id, answer);
    this.#worker.postMessage({ ...job, id });
    return answer.promise;
  }

  async end(): Promise<void> {
    this.#fail(this.#error("closed", "its thread was ended"));
    await this.#worker.terminate();
  }

  #take(answer: DigestAnswer): void {
    const pending = this.#pending.get(answer.id);
    this.#pending.delete(answer.id);
    if ("failure" in answer) pending?.reject(this.#error("medium", answer.failure));
    else pending?.resolve(answer.digests);
  }

  #fail(error: BlockError): void {
    this.#failure ??= error;
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
  }

  #error(code: "medium" | "closed", why: string, cause?: Error): BlockError {
    const message = `Cannot hash ${this.#path}: ${why}.`;
    return new BlockError(code, message, cause ? { cause } : {});
  }
}
