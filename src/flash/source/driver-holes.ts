/** Holes of files: Node has no call that tells them, so Perl, which Linux systems have, asks. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";

/** Where a file has data. */
export interface DataRange {
  readonly fromBytes: number;
  readonly toBytes: number;
}

/** More than this is not worth knowing. */
const rangesMax = 100_000;

/**
 * SEEK_DATA and SEEK_HOLE of Linux, lseek(2), from the beginning of standard input to its end, which
 * ENXIO (6) tells.
 */
const script = `
  my $at = 0;
  for (my $n = 0; $n < ${rangesMax}; $n++) {
    my $from = sysseek(STDIN, $at, 3);
    if (!defined $from) { print "end\\n" if $! == 6; exit }
    $at = sysseek(STDIN, $from, 4) or exit;
    print $from + 0, " ", $at + 0, "\\n";
  }`;

/**
 * Where an open file has data, in order; all else reads as zeros. Undefined where nobody can tell:
 * another system, no such program, too many holes.
 * @param descriptor Its place in the file is moved.
 */
export async function dataRangesOf(descriptor: number): Promise<DataRange[] | undefined> {
  if (process.platform !== "linux") return undefined;
  const child = spawn("perl", ["-e", script], { stdio: [descriptor, "pipe", "ignore"] });
  try {
    const [output] = await Promise.all([text(child.stdout!), once(child, "close")]);
    const lines = output.trimEnd().split("\n");
    if (lines.pop() !== "end") return undefined;
    return lines.map((line) => {
      const [fromBytes = 0, toBytes = 0] = line.split(" ").map(Number);
      return { fromBytes, toBytes };
    });
  } catch {
    // The program is not there.
    return undefined;
  }
}
