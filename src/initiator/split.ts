/** Splits the range of one call into commands, some of which are under way at a time. */

/** Commands of one call that are under way at a time. */
const commandsAtATime = 8;

/**
 * Calls `run` for each piece of at most `pieceBytes` of a range; an empty one has none. After a
 * failure no piece is begun, the begun ones settle, and the first failure rejects.
 */
export function splitRange(
  offsetBytes: number,
  lengthBytes: number,
  pieceBytes: number,
  run: (atBytes: number, lengthBytes: number) => Promise<unknown>,
): Promise<unknown> {
  if (lengthBytes === 0) return Promise.resolve();
  if (lengthBytes <= pieceBytes) return run(offsetBytes, lengthBytes);
  return runPieces(offsetBytes, offsetBytes + lengthBytes, pieceBytes, run);
}

async function runPieces(
  startBytes: number,
  endBytes: number,
  pieceBytes: number,
  run: (atBytes: number, lengthBytes: number) => Promise<unknown>,
): Promise<void> {
  let next = startBytes;
  let failures = 0;
  let failure: unknown;
  const worker = async () => {
    while (next < endBytes && failures === 0) {
      const at = next;
      next = Math.min(at + pieceBytes, endBytes);
      try {
        await run(at, next - at);
      } catch (error) {
        if (failures === 0) failure = error;
        failures += 1;
      }
    }
  };
  await Promise.all(Array.from({ length: commandsAtATime }, worker));
  if (failures > 0) throw failure;
}
