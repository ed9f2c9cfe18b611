/** The thread that hashes. */

import { createHash, type Hash } from "node:crypto";
import { parentPort } from "node:worker_threads";
import { digestsLength, digestUnits } from "../../block/index.ts";
import { type HashAnswer, type HashRequest, unitBytes } from "./hasher.ts";

const port = parentPort;
if (port === null) throw new TypeError("This module is the entry of a worker thread.");

const streams = new Map<number, Hash>();

port.on("message", (request: HashRequest) => port.postMessage(answer(request)));

function answer(request: HashRequest): HashAnswer {
  const { id } = request;
  if (request.kind === "units") return { id, units: digestsOf(request.data) };
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

function digestsOf(data: Uint8Array): Uint8Array {
  const digests = new Uint8Array(digestsLength(data.byteLength, unitBytes));
  digestUnits(data, unitBytes, digests, 0);
  return digests;
}
