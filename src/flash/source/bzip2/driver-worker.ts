/** The thread that decodes bzip2: it takes input and gives output one buffer at a time. */

import { parentPort, workerData } from "node:worker_threads";
import Bunzip from "seek-bzip";
import type { Bzip2Data, Bzip2Message } from "./ring.ts";

const port = parentPort;
if (port === null) throw new TypeError("This module is the entry of a worker thread.");
const { control, input, output }: Bzip2Data = workerData;
const send = (message: Bzip2Message) => port.postMessage(message);

let inputAt = 0;
let inputLength = 0;
let hasEnded = false;
let outputLength = 0;

/** Whether there is another byte; waits for it. */
function fill(): boolean {
  if (inputAt < inputLength) return true;
  if (hasEnded) return false;
  Atomics.store(control, 0, 0);
  send({ kind: "input" });
  Atomics.wait(control, 0, 0);
  const length = Atomics.load(control, 0);
  hasEnded = length < 0;
  inputLength = Math.max(0, length);
  inputAt = 0;
  return !hasEnded;
}

const reader = {
  readByte(): number {
    if (!fill()) throw new Error("it ends too early");
    return input[inputAt++] ?? 0;
  },
  read(buffer: Uint8Array, offset: number, length: number): number {
    for (let i = 0; i < length; i++) buffer[offset + i] = reader.readByte();
    return length;
  },
  eof: () => !fill(),
};

function flush(): void {
  if (outputLength === 0) return;
  Atomics.store(control, 1, outputLength);
  send({ kind: "output", lengthBytes: outputLength });
  Atomics.wait(control, 1, outputLength);
  outputLength = 0;
}

const writer = {
  writeByte(byte: number): void {
    output[outputLength++] = byte;
    if (outputLength === output.length) flush();
  },
};

try {
  Bunzip.decode(reader, writer, true);
  flush();
  send({ kind: "done" });
} catch (error) {
  send({ kind: "failed", reason: error instanceof Error ? error.message : String(error) });
}
