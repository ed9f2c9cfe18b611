/** bzip2 in a thread of its own: the decoder is synchronous, and waits there for its input. */

import { once } from "node:events";
import { Worker } from "node:worker_threads";
import type { CallOptions } from "../../../block/index.ts";
import { FlashError } from "../../error.ts";
import type { ByteSource } from "../byte-source.ts";
import { decodeError } from "../decode-error.ts";
import { type Bzip2Message, bzip2Ended, bzip2InputBytes, bzip2OutputBytes } from "./ring.ts";

/** The decoded bytes of `source`; chunks are valid until the next one is asked for. */
export async function* unbzip2(
  source: ByteSource,
  { name, signal }: CallOptions & { readonly name: string },
): AsyncGenerator<Uint8Array> {
  const control = new Int32Array(new SharedArrayBuffer(8));
  const input = new Uint8Array(new SharedArrayBuffer(bzip2InputBytes));
  const output = new Uint8Array(new SharedArrayBuffer(bzip2OutputBytes));
  const worker = new Worker(new URL("./driver-worker.ts", import.meta.url), {
    workerData: { control, input, output },
  });
  const tell = (slot: 0 | 1, value: number) => {
    Atomics.store(control, slot, value);
    Atomics.notify(control, slot);
  };
  const chunk = Buffer.alloc(bzip2InputBytes);
  try {
    for (;;) {
      const [message]: Bzip2Message[] = await once(worker, "message", signal ? { signal } : {});
      if (message === undefined || message.kind === "done") return;
      if (message.kind === "failed") {
        throw decodeError(new Error(message.reason), { name, format: "bzip2" });
      }
      if (message.kind === "output") {
        yield output.subarray(0, message.lengthBytes);
        tell(1, 0);
        continue;
      }
      const length = await source.read(chunk, signal ? { signal } : {});
      input.set(chunk.subarray(0, length));
      tell(0, length === 0 ? bzip2Ended : length);
    }
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    if (error instanceof FlashError) throw error;
    throw decodeError(error, { name, format: "bzip2" });
  } finally {
    await worker.terminate();
  }
}
