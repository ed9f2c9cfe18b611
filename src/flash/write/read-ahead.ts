/** Reading a disk from end to end with several reads under way, in order. */

import type { BlockDevice, CallOptions } from "../../block/index.ts";
import { type Piece, type PiecePool, pieceBytes, pooledPiece } from "../piece.ts";

const readsMax = 16;

/**
 * The pieces of a range of a disk, in order; all are data. Whoever iterates releases each.
 * @throws BlockError as the disk does.
 */
export async function* readAhead(
  disk: BlockDevice,
  range: { readonly fromBytes: number; readonly toBytes: number },
  pool: PiecePool,
  options?: CallOptions,
): AsyncGenerator<Piece> {
  const reads: Promise<Piece>[] = [];
  let next = range.fromBytes;
  const start = async (offsetBytes: number, lengthBytes: number): Promise<Piece> => {
    const buffer = await pool.take(options?.signal);
    try {
      await disk.read(offsetBytes, buffer.subarray(0, lengthBytes), options);
    } catch (error) {
      pool.put(buffer);
      throw error;
    }
    return pooledPiece(pool, buffer, offsetBytes, lengthBytes);
  };
  try {
    for (;;) {
      while (reads.length < readsMax && next < range.toBytes) {
        const length = Math.min(pieceBytes, range.toBytes - next);
        const read = start(next, length);
        read.catch(() => undefined);
        reads.push(read);
        next += length;
      }
      const read = reads.shift();
      if (!read) return;
      yield await read;
    }
  } finally {
    for (const result of await Promise.allSettled(reads)) {
      if (result.status === "fulfilled") result.value.release();
    }
  }
}
