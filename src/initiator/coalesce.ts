/** Joining what is short, since each buffer that a socket is given costs more than a short copy. */

/** Buffers up to this are copied; longer ones go to the socket as they are. */
const shortBytesMax = 256;

/** The same bytes in the same order: runs of short buffers are one buffer each. */
export function coalesce(chunks: Uint8Array[]): readonly Uint8Array[] {
  if (chunks.length < 2) return chunks;
  const joined: Uint8Array[] = [];
  for (let n = 0; n < chunks.length; ) {
    let end = n;
    let bytes = 0;
    while (end < chunks.length && chunks[end]!.length <= shortBytesMax)
      bytes += chunks[end++]!.length;
    if (end - n > 1) joined.push(join(chunks, n, end, bytes));
    else joined.push(chunks[n]!);
    n = Math.max(end, n + 1);
  }
  return joined;
}

function join(
  chunks: readonly Uint8Array[],
  start: number,
  end: number,
  bytes: number,
): Uint8Array {
  const whole = Buffer.allocUnsafe(bytes);
  let at = 0;
  for (let n = start; n < end; n++) {
    whole.set(chunks[n]!, at);
    at += chunks[n]!.length;
  }
  return whole;
}
