/** A disk as an image, to be cloned. */

import type { CallOptions } from "../block/index.ts";
import { inspectHead } from "./contents.ts";
import type { Image, ImageFacts, ReadTimes } from "./image.ts";
import { isAllZero, type Piece, type PiecePool, pieceBytes, zeroPiece } from "./piece.ts";
import { type Target, targetError } from "./target.ts";
import { readAhead } from "./write/read-ahead.ts";

/**
 * Makes an image of a whole disk, which is only read.
 * @throws FlashError `disk-gone` or `disk-failed`, from the iteration too.
 */
export async function imageOfDisk(
  source: Target,
  clock: () => number,
  options?: CallOptions,
): Promise<Image> {
  const { disk } = source;
  const head = new Uint8Array(Math.min(pieceBytes, disk.sizeBytes));
  await attempt(source, () => disk.read(0, head, options));
  const inspected = await inspectHead(head, disk.sizeBytes, disk.blockSizeBytes);
  const facts: ImageFacts = {
    name: source.name,
    packing: [],
    sizeBytes: disk.sizeBytes,
    sizeBytesMin: disk.sizeBytes,
    expectedBytes: disk.sizeBytes,
    dataBytes: undefined,
    sectorSizeBytes: inspected.sectorSizeBytes,
    diskGuid: inspected.diskGuid,
    contents: inspected.contents,
    checkedBy: [],
    notes: [],
    savedBlockBytes: disk.blockSizeBytes,
  };
  const times: ReadTimes = { sourceMs: 0, readMs: 0, bufferMs: 0 };
  let storedBytes = 0;
  async function* pieces(pool: PiecePool, call?: CallOptions): AsyncGenerator<Piece> {
    const all = { fromBytes: 0, toBytes: disk.sizeBytes };
    const reads = readAhead(disk, all, pool, call);
    try {
      for (;;) {
        const began = clock();
        const next = await attempt(source, () => reads.next());
        times.readMs += clock() - began;
        times.sourceMs = times.readMs;
        if (next.done) return;
        const { offsetBytes, lengthBytes, data } = next.value;
        storedBytes += lengthBytes;
        if (offsetBytes === 0 || !data || !isAllZero(data)) {
          yield next.value;
          continue;
        }
        next.value.release();
        yield zeroPiece(offsetBytes, lengthBytes);
      }
    } finally {
      await reads.return(undefined);
    }
  }
  return {
    facts,
    head,
    times,
    get storedBytes() {
      return storedBytes;
    },
    pieces,
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

async function attempt<T>(source: Target, step: () => Promise<T>): Promise<T> {
  try {
    return await step();
  } catch (error) {
    throw targetError(error, source, "read");
  }
}
