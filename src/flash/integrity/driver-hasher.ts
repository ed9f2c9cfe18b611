/** Threads that hash, and the asking of them. */

import { availableParallelism } from "node:os";
import { Worker } from "node:worker_threads";
import type { HashAnswer, Hasher, HashRequest, HashStream, StreamAlgorithm } from "./hasher.ts";

/** One processor is left to what reads and writes; more than these wait for it. */
const threadsMax = Math.max(1, Math.min(4, availableParallelism() - 1));

/** Hashes in a thread, in more where units are many; started when wanted. Dispose of it to end them. */
export function openHasher(): Hasher {
  return new HashThreads();
}

/** Streams keep to the first thread; units go to the one that has the least to do. */
class HashThreads implements Hasher {
  readonly #threads: HashThread[] = [];

  digestUnits(data: Uint8Array): Promise<Uint8Array> {
    let thread = this.#first;
    for (const other of this.#threads) if (other.waiting < thread.waiting) thread = other;
    if (thread.waiting > 0 && this.#threads.length < threadsMax) thread = this.#start();
    return thread.digestUnits(data);
  }

  begin(algorithm: StreamAlgorithm): HashStream {
    return this.#first.begin(algorithm);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread[Symbol.asyncDispose]()));
  }

  get #first(): HashThread {
    return this.#threads[0] ?? this.#start();
  }

  #start(): HashThread {
    const thread = new HashThread();
    this.#threads.push(thread);
    return thread;
  }
}

type Unnumbered<T> = T extends unknown ? Omit<T, "id"> : never;

interface Pending {
  readonly resolve: (answer: HashAnswer) => void;
  readonly reject: (error: unknown) => void;
}

class HashThread implements Hasher {
  readonly #worker = new Worker(new URL("./driver-worker.ts", import.meta.url));
  readonly #pending = new Map<number, Pending>();
  #lastId = 0;
  #lastStream = 0;
  #failure: unknown;

  constructor() {
    this.#worker.on("message", (answer: HashAnswer) => {
      this.#pending.get(answer.id)?.resolve(answer);
      this.#pending.delete(answer.id);
    });
    this.#worker.on("error", (error) => this.#fail(error));
    this.#worker.on("exit", () => this.#fail(new Error("The hashing thread ended.")));
    this.#worker.unref();
  }

  get waiting(): number {
    return this.#pending.size;
  }

  async digestUnits(data: Uint8Array): Promise<Uint8Array> {
    const { units } = await this.#ask({ kind: "units", data });
    return units ?? new Uint8Array();
  }

  begin(algorithm: StreamAlgorithm): HashStream {
    const stream = ++this.#lastStream;
    const begun = this.#ask({ kind: "begin", stream, algorithm });
    begun.catch(() => undefined);
    return {
      update: async (data) => {
        await this.#ask({ kind: "update", stream, data });
      },
      digest: async () => (await this.#ask({ kind: "digest", stream })).hex ?? "",
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#fail(new Error("The hashing thread was ended."));
    this.#worker.ref();
    await this.#worker.terminate();
  }

  #ask(request: Unnumbered<HashRequest>): Promise<HashAnswer> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
      // While something is asked, the thread keeps the process alive.
      this.#worker.ref();
      this.#worker.postMessage({ ...request, id });
    }).finally(() => {
      if (this.#pending.size === 0 && this.#failure === undefined) this.#worker.unref();
    }) as Promise<HashAnswer>;
  }

  #fail(error: unknown): void {
    this.#failure ??= error;
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
  }
}
