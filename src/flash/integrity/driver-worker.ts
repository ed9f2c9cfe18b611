/** The thread that hashes. */

import { createHash, type Hash, hash } from "node:crypto";
import { parentPort } from "node:worker_threads";
import { type HashAnswer, type HashRequest, unitBytes, unitDigestBytes } from "./hasher.ts";

const port = parentPort;
if (port === null) throw new TypeError("This module is the entry of a worker thread.");

const streams = new Map<number, Hash>();

port.on("message", (request: HashRequest) => port.postMessage(answer(request)));

function answer(request: HashRequest): HashAnswer {
  const { id } = request;
  if (request.kind === "units") return { id, units: digestUnits(request.data) };
  if (request.kind === "begin") {
    streams.set(request.stream, createHash(request.algorithm));
    return { id };
  }
  const stream = streams.get(request.stream);
  if (stream === undefined) throw new RangeError(`No hash ${request.stream} was begun.`);
  if (request.kind === "update") {
    stream.update(request.data);
    return { id };
  }
  streams.delete(request.stream);
  return { id, hex: stream.digest("hex") };
}

function digestUnits(data: Uint8Array): Uint8Array {
  const count = Math.ceil(data.byteLength / unitBytes);
  const digests = new Uint8Array(count * unitDigestBytes);
  for (let n = 0; n < count; n++) {
    const unit = data.subarray(n * unitBytes, (n + 1) * unitBytes);
    digests.set(hash("sha256", unit, "buffer").subarray(0, unitDigestBytes), n * unitDigestBytes);
  }
  return digests;
}
