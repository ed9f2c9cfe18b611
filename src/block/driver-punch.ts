/** Holes in files: Node has no call for them, so `fallocate` of util-linux makes them. */

import { spawn } from "node:child_process";
import { once } from "node:events";

/** Descriptor of the file in the child. */
const childDescriptor = 3;

/**
 * Frees what a range of an open file takes; it reads as zeros from then on.
 * False where this cannot be done: another system, no such program, a file system without holes.
 */
export async function punchHole(
  descriptor: number,
  offsetBytes: number,
  lengthBytes: number,
): Promise<boolean> {
  const range = ["--offset", String(offsetBytes), "--length", String(lengthBytes)];
  const path = `/proc/self/fd/${childDescriptor}`;
  const child = spawn("fallocate", ["--punch-hole", ...range, path], {
    stdio: ["ignore", "ignore", "ignore", descriptor],
  });
  try {
    const [code] = await once(child, "close");
    return code === 0;
  } catch {
    // The program is not there.
    return false;
  }
}
