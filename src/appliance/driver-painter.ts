/**
 * Writes to a screen that may take nothing for now: somebody pressed Scroll Lock. A stream of Node's
 * would wait for it, and everything else on the box with it.
 */
import { write } from "node:fs";

/** Between attempts. */
const retryDelayMs = 100;

/**
 * Shows texts on a descriptor that does not block. One that is not out yet gives way to the next, so
 * each has to begin by clearing the screen.
 */
export function createPainter(fd: number): (text: string) => void {
  let newest: Uint8Array | null = null;
  let isBusy = false;
  const put = (data: Uint8Array): void => {
    write(fd, data, (error, written) => {
      const isFull = error !== null && error.code === "EAGAIN";
      const rest = error === null ? data.subarray(written) : isFull ? data : new Uint8Array(0);
      const next = newest ?? rest;
      newest = null;
      if (next.length === 0) isBusy = false;
      else if (isFull) setTimeout(put, retryDelayMs, next).unref();
      else put(next);
    });
  };
  return (text) => {
    newest = Buffer.from(text);
    if (isBusy) return;
    isBusy = true;
    const first = newest;
    newest = null;
    put(first);
  };
}
