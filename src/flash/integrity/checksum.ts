/** Checksum files: `IMAGE.sha256` and `SHA256SUMS`, as coreutils and BSD write them. */

import { FlashError } from "../error.ts";

const gnuLine = /^\\?([0-9a-f]{64}) [ *](.+)$/i;
const bsdLine = /^SHA256 \((.+)\) = ([0-9a-f]{64})$/i;
const bareLine = /^([0-9a-f]{64})$/i;

/**
 * The SHA-256 of the file `name` by a checksum file, in lower-case hex; undefined when the file
 * speaks only of others. A checksum alone, without a name, counts for a file beside one image.
 * @throws FlashError `sidecar` when nothing in it is a checksum, or two differ for one name.
 */
export function findChecksum(
  text: string,
  name: string,
  { sidecar, isForOne }: { readonly sidecar: string; readonly isForOne: boolean },
): string | undefined {
  const found = new Set<string>();
  let lines = 0;
  for (const raw of text.split("\n")) {
    const line = raw.trimEnd();
    const gnu = gnuLine.exec(line);
    const bsd = bsdLine.exec(line);
    const bare = bareLine.exec(line);
    const [hex, of] = gnu ? [gnu[1], gnu[2]] : bsd ? [bsd[2], bsd[1]] : [bare?.[1], undefined];
    if (hex === undefined) continue;
    lines++;
    const isOurs = of === undefined ? isForOne : baseName(of) === name;
    if (isOurs) found.add(hex.toLowerCase());
  }
  if (lines === 0 || found.size > 1) {
    throw new FlashError(
      "sidecar",
      `Cannot use ${sidecar}: it ${lines === 0 ? "holds no SHA-256" : `has ${found.size} for ${name}`}. ` +
        "Fetch it again, or remove it.",
      { sidecar, name },
    );
  }
  return found.values().next().value;
}

function baseName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}
