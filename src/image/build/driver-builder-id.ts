/** Which builder made a segment: a hash of the code that shapes them. */

import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

const rooms = ["kernel", "segment", "unpack", "workers"];

/**
 * A short hash of the sources of the rooms that segments come from, so that a changed builder
 * never takes segments of another one for its own.
 */
export async function builderId(): Promise<string> {
  const hash = createHash("sha256");
  for (const room of rooms) {
    const folder = join(import.meta.dirname, "..", room);
    const names = (await readdir(folder)).filter(
      (name) => name.endsWith(".ts") && !name.endsWith(".test.ts"),
    );
    const texts = await Promise.all(names.sort().map((name) => readFile(join(folder, name))));
    for (const [i, text] of texts.entries())
      hash.update(`${room}/${names[i]} ${text.length}\n`).update(text);
  }
  return hash.digest("hex").slice(0, 16);
}
