/** Decompression of .xz files whose blocks are spread over the workers. */

import { decompress, isXz, readXzBlocks, type XzBlock, xzFileOfBlock } from "../unpack/index.ts";
import type { WorkerPool } from "./driver-pool.ts";
import type { Task } from "./task.ts";

/** A whole .xz file. */
export interface XzFileInput {
  readonly file: Uint8Array;
  /** Names the file in messages. */
  readonly source: string;
}

/** Decompresses one .xz file; the result is moved, not copied. */
export const xzFile: Task<XzFileInput, Uint8Array<ArrayBuffer>> = async ({ file, source }) => {
  // The decoder's own memory cannot change threads, hence the copy.
  const value = new Uint8Array(decompress(file, source));
  return { value, transfer: [value.buffer] };
};

/**
 * The same as `decompress`, with the blocks of an .xz file side by side in the workers of `pool`;
 * anything else is decompressed here.
 * @param options `weight` is added to that of each block, its length.
 * @throws ImageError `package` as `decompress` does.
 */
export async function decompressInWorkers(
  file: Uint8Array,
  source: string,
  pool: WorkerPool,
  {
    weight: base = 0,
    ...options
  }: { readonly signal?: AbortSignal; readonly weight?: number } = {},
): Promise<Uint8Array<ArrayBuffer>> {
  // What comes out of the decoder may be the decoder's own memory, hence the copy.
  if (!isXz(file)) return new Uint8Array(decompress(file, source));
  const blocks = readXzBlocks(file, source);
  const inflate = (block: XzBlock) => {
    const alone = xzFileOfBlock(file, block);
    const weight = base + block.outputBytes;
    const transfer = [alone.buffer];
    return pool.run("xzFile", { file: alone, source }, { ...options, weight, transfer });
  };
  const parts = await Promise.all(blocks.map(inflate));
  if (parts.length === 1) return parts[0]!;
  const whole = new Uint8Array(blocks.reduce((sum, { outputBytes }) => sum + outputBytes, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}
