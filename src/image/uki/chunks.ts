/** A file as a list of buffers, so that large parts of it are never copied. */

/** The file is their concatenation. */
export type Chunks = readonly Uint8Array[];

/** Total length in bytes. */
export function lengthOf(chunks: Chunks): number {
  return chunks.reduce((sum, { byteLength }) => sum + byteLength, 0);
}

/** Views of the bytes from `start` to `end`, both cut to the file's length. */
export function sliceChunks(chunks: Chunks, start: number, end: number): Uint8Array[] {
  const slices: Uint8Array[] = [];
  let at = 0;
  for (const chunk of chunks) {
    const from = Math.max(start - at, 0);
    const to = Math.min(end - at, chunk.byteLength);
    if (from < to) slices.push(chunk.subarray(from, to));
    at += chunk.byteLength;
  }
  return slices;
}
