/** The thread that decodes: it asks its owner for packed bytes, and fills the owner's buffers. */

import { parentPort, workerData } from "node:worker_threads";
import { FlashError, reasonOf } from "../../error.ts";
import type { ByteSource } from "../byte-source.ts";
import { decodeSource } from "../driver-decode.ts";
import type { DecodeAnswer, DecodeFailure, DecodeOrder, DecodeThreadData } from "./messages.ts";

const port = parentPort;
if (port === null) throw new TypeError("This module is the entry of a worker thread.");
const { format, name, zstdWindowLogMax, input }: DecodeThreadData = workerData;
const send = (answer: DecodeAnswer) => port.postMessage(answer);

/** The read that waits for the owner. */
let waiting: PromiseWithResolvers<number> | undefined;

const packed: ByteSource = {
  sizeBytes: undefined,
  async read(target) {
    waiting = Promise.withResolvers();
    send({ kind: "want", lengthBytesMax: Math.min(target.byteLength, input.byteLength) });
    const lengthBytes = await waiting.promise;
    target.set(input.subarray(0, lengthBytes));
    return lengthBytes;
  },
  [Symbol.asyncDispose]: () => Promise.resolve(),
};
const options = zstdWindowLogMax === undefined ? { name } : { name, zstdWindowLogMax };
const decoded = decodeSource(packed, format, options);

async function fill(target: Uint8Array): Promise<void> {
  let lengthBytes = 0;
  while (lengthBytes < target.byteLength) {
    const count = await decoded.read(target.subarray(lengthBytes));
    if (count === 0) break;
    lengthBytes += count;
  }
  send({ kind: "filled", lengthBytes });
}

let fills = Promise.resolve();

port.on("message", (order: DecodeOrder) => {
  if (order.kind === "input") waiting?.resolve(order.lengthBytes);
  else if (order.kind === "no-input") waiting?.reject(new Error("the source failed"));
  else {
    fills = fills.then(() => fill(order.target));
    fills.catch((error: unknown) => send({ kind: "failed", error: failureOf(error) }));
  }
});

function failureOf(error: unknown): DecodeFailure {
  if (!(error instanceof FlashError)) {
    return { code: undefined, message: reasonOf(error), facts: {} };
  }
  const { code, message, facts } = error;
  return { code, message, facts };
}
