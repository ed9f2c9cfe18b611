/** Files and devices while they are served: one of them that is gone takes no other with it. */

import type { BlockDevice, FileDisk } from "../block/index.ts";
import { tell } from "./console.ts";
import { messageOf } from "./outcome.ts";

/** Looks at the sizes of files and devices again and again. */
export class ServedSizes {
  readonly #files: readonly (Pick<FileDisk, "path" | "refreshSize"> | undefined)[];
  readonly #failing = new Set<string>();

  constructor(files: readonly (Pick<FileDisk, "path" | "refreshSize"> | undefined)[]) {
    this.#files = files;
  }

  /** Places of those whose size has changed. What cannot be looked at is told of once. */
  async changed(): Promise<number[]> {
    const found: number[] = [];
    for (const [index, file] of this.#files.entries()) {
      if (file === undefined) continue;
      try {
        if (await file.refreshSize()) found.push(index);
        this.#failing.delete(file.path);
      } catch (error) {
        // A stick that was pulled out. Hosts are told by their own reads and writes.
        if (!this.#failing.has(file.path)) tell(messageOf(error));
        this.#failing.add(file.path);
      }
    }
    return found;
  }
}

/**
 * Flushes all that can be written to.
 * @throws what the first rejects with that could not be flushed, once all others are.
 */
export async function flushAll(
  devices: readonly Pick<BlockDevice, "readOnly" | "flush">[],
): Promise<void> {
  const writable = devices.filter(({ readOnly }) => !readOnly);
  const ends = await Promise.allSettled(writable.map((device) => device.flush()));
  for (const end of ends) if (end.status === "rejected") throw end.reason;
}
