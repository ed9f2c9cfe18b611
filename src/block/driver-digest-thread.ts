/** A thread that reads a file or a disk by itself, and hashes its units. */

import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";
import type { DigestAnswer, DigestJob, DigestThreadData } from "./digest-pool.ts";
import { digestBytes, digestsLength, digestUnits } from "./digests.ts";

/** Node has it; its types do not. */
declare const WebAssembly: {
  readonly Memory: new (limits: { readonly initial: number }) => { readonly buffer: ArrayBuffer };
};

const port = parentPort;
if (port === null) throw new TypeError("This module is the entry of a worker thread.");

/** One read past the cache: enough for a disk to be at its fastest. */
const directBytes = 4 * 1024 * 1024;
/** One read from memory: what the processor's own cache holds on to until it is hashed. */
const cachedBytes = 256 * 1024;
const pageBytes = 64 * 1024;

const { path, isDirect } = workerData as DigestThreadData;
const disk = open();

port.on("message", (job: DigestJob) => {
  let answer: DigestAnswer;
  try {
    answer = { id: job.id, digests: digest(job) };
  } catch (error) {
    answer = { id: job.id, failure: error instanceof Error ? error.message : String(error) };
  }
  port.postMessage(answer);
});
port.on("close", () => closeSync(disk.fd));

/** Opened past the page cache where that is wanted, and can be had. */
function open(): { fd: number; buffer: Uint8Array } {
  if (isDirect) {
    try {
      const fd = openSync(path, constants.O_RDONLY | constants.O_DIRECT);
      const buffer = alignedBuffer(directBytes);
      try {
        // Some file systems refuse only the reading. A disk without contents gives nothing.
        readSync(fd, buffer, 0, Math.min(pageBytes, fstatSync(fd).size || pageBytes), 0);
        return { fd, buffer };
      } catch (error) {
        closeSync(fd);
        throw error;
      }
    } catch (error) {
      if (!(error instanceof Error && "code" in error && error.code === "EINVAL")) throw error;
    }
  }
  const fd = openSync(path, constants.O_RDONLY);
  return { fd, buffer: new Uint8Array(cachedBytes) };
}

/**
 * Memory from which the kernel reads directly begins where a page does. No buffer of Node's promises
 * that; memory of WebAssembly is mapped by whole pages.
 */
function alignedBuffer(lengthBytes: number): Uint8Array {
  const memory = new WebAssembly.Memory({ initial: lengthBytes / pageBytes });
  return new Uint8Array(memory.buffer, 0, lengthBytes);
}

function digest({ offsetBytes, lengthBytes, unitBytes }: DigestJob): Uint8Array {
  const digests = new Uint8Array(digestsLength(lengthBytes, unitBytes));
  const pieceBytes = Math.max(unitBytes, disk.buffer.byteLength);
  if (pieceBytes > disk.buffer.byteLength) disk.buffer = alignedBuffer(pieceBytes);
  const whole = Math.floor(pieceBytes / unitBytes) * unitBytes;
  for (let done = 0; done < lengthBytes; done += whole) {
    const piece = disk.buffer.subarray(0, Math.min(whole, lengthBytes - done));
    fill(piece, offsetBytes + done);
    digestUnits(piece, unitBytes, digests, (done / unitBytes) * digestBytes);
  }
  return digests;
}

function fill(piece: Uint8Array, offsetBytes: number): void {
  for (let done = 0; done < piece.byteLength; ) {
    const count = readSync(disk.fd, piece, done, piece.byteLength - done, offsetBytes + done);
    if (count === 0) throw new RangeError(`it ends at byte ${offsetBytes + done}`);
    done += count;
  }
}
