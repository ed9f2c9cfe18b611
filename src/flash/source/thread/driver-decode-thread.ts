/**
 * Decoding in a thread of its own: unpacking and writing then run on different cores, and what the
 * decoders leave to the garbage collector does not stop the writing.
 */

import { Worker } from "node:worker_threads";
import type { CallOptions } from "../../../block/index.ts";
import { FlashError } from "../../error.ts";
import type { ByteSource } from "../byte-source.ts";
import type { DecodeOptions } from "../driver-decode.ts";
import type { DecodeAnswer, DecodeFailure, DecodeOrder, DecodeThreadData } from "./messages.ts";

const inputBytes = 1024 * 1024;

/**
 * The decoded bytes of `source`, which it owns from here on.
 * Reading throws as that of `decodeSource` does. Buffers in shared memory are filled without a copy.
 */
export function decodeInThread(
  source: ByteSource,
  format: DecodeThreadData["format"],
  options: DecodeOptions,
): ByteSource {
  return new DecodeThread(source, format, options);
}

class DecodeThread implements ByteSource {
  readonly sizeBytes = undefined;
  /** The next buffers are at hand when one is full. */
  readonly readsMax = 4;
  readonly #source: ByteSource;
  readonly #call: CallOptions;
  readonly #input = new Uint8Array(new SharedArrayBuffer(inputBytes));
  readonly #worker: Worker;
  readonly #fills: PromiseWithResolvers<number>[] = [];
  #failure: unknown;

  constructor(source: ByteSource, format: DecodeThreadData["format"], options: DecodeOptions) {
    const { name, zstdWindowLogMax, signal } = options;
    this.#source = source;
    this.#call = signal ? { signal } : {};
    const workerData: DecodeThreadData = { format, name, zstdWindowLogMax, input: this.#input };
    this.#worker = new Worker(new URL("./driver-worker.ts", import.meta.url), { workerData });
    this.#worker.on("message", (answer: DecodeAnswer) => this.#take(answer));
    this.#worker.on("error", (error) => this.#fail(error));
    this.#worker.on("exit", () => this.#fail(new Error("The decoding thread ended.")));
    this.#worker.unref();
  }

  async read(target: Uint8Array, options?: CallOptions): Promise<number> {
    options?.signal?.throwIfAborted();
    if (this.#failure !== undefined) throw this.#failure;
    const isShared = target.buffer instanceof SharedArrayBuffer;
    const shared = isShared ? target : new Uint8Array(new SharedArrayBuffer(target.byteLength));
    const filled = Promise.withResolvers<number>();
    this.#fills.push(filled);
    // While something is asked, the thread keeps the process alive.
    this.#worker.ref();
    this.#send({ kind: "fill", target: shared });
    const lengthBytes = await filled.promise.finally(() => {
      if (this.#fills.length === 0) this.#worker.unref();
    });
    if (!isShared) target.set(shared.subarray(0, lengthBytes));
    return lengthBytes;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#fail(new Error("The decoding thread was ended."));
    await this.#source[Symbol.asyncDispose]();
    await this.#worker.terminate();
  }

  #take(answer: DecodeAnswer): void {
    if (answer.kind === "filled") this.#fills.shift()?.resolve(answer.lengthBytes);
    else if (answer.kind === "failed") this.#fail(errorOf(answer.error));
    else void this.#feed(answer.lengthBytesMax);
  }

  async #feed(lengthBytesMax: number): Promise<void> {
    try {
      const target = this.#input.subarray(0, lengthBytesMax);
      this.#send({ kind: "input", lengthBytes: await this.#source.read(target, this.#call) });
    } catch (error) {
      this.#fail(error);
      this.#send({ kind: "no-input" });
    }
  }

  /** The first failure counts: a source's, and not what the decoder makes of it. */
  #fail(error: unknown): void {
    this.#failure ??= error;
    for (const { reject } of this.#fills.splice(0)) reject(this.#failure);
  }

  #send(order: DecodeOrder): void {
    this.#worker.postMessage(order);
  }
}

function errorOf({ code, message, facts }: DecodeFailure): Error {
  return code === undefined ? new Error(message) : new FlashError(code, message, facts);
}
