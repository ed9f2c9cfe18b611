/** Holes in files: Node has no call for them, so `fallocate` of util-linux makes them. */

import { spawn } from "node:child_process";
import { once } from "node:events";

/** Descriptor of the file in the child. */
const childDescriptor = 3;

/** A range that is to be freed, and who waits for it. */
interface Wish {
  readonly fromBytes: number;
  readonly toBytes: number;
  readonly done: (isHole: boolean) => void;
}

/**
 * Frees ranges of an open file, by one process at a time: what is asked for meanwhile, and touches,
 * is done by the next one together. A process takes milliseconds, whatever it frees.
 */
export class HolePuncher {
  readonly #descriptor: number;
  readonly #wishes: Wish[] = [];
  #isPunching = false;
  #canPunch = true;

  constructor(descriptor: number) {
    this.#descriptor = descriptor;
  }

  /**
   * True when the range is a hole, and reads as zeros; false where this cannot be done, now or ever:
   * another system, no such program, a file system without holes.
   */
  punch(offsetBytes: number, lengthBytes: number): Promise<boolean> {
    const { promise, resolve: done } = Promise.withResolvers<boolean>();
    this.#wishes.push({ fromBytes: offsetBytes, toBytes: offsetBytes + lengthBytes, done });
    if (!this.#isPunching) void this.#punchAll();
    return promise;
  }

  async #punchAll(): Promise<void> {
    this.#isPunching = true;
    while (this.#wishes.length > 0) {
      const wishes = takeTouching(this.#wishes);
      const from = wishes[0]!.fromBytes;
      const to = Math.max(...wishes.map(({ toBytes }) => toBytes));
      this.#canPunch &&= await punchHole(this.#descriptor, from, to - from);
      for (const { done } of wishes) done(this.#canPunch);
    }
    this.#isPunching = false;
  }
}

/** Takes the first wish, and those that make one range with it; nothing between them is touched. */
function takeTouching(wishes: Wish[]): Wish[] {
  wishes.sort((a, b) => a.fromBytes - b.fromBytes);
  let toBytes = wishes[0]!.toBytes;
  let count = 1;
  for (; count < wishes.length && wishes[count]!.fromBytes <= toBytes; count++) {
    toBytes = Math.max(toBytes, wishes[count]!.toBytes);
  }
  return wishes.splice(0, count);
}

async function punchHole(
  descriptor: number,
  offsetBytes: number,
  lengthBytes: number,
): Promise<boolean> {
  const range = ["--offset", String(offsetBytes), "--length", String(lengthBytes)];
  const path = `/proc/self/fd/${childDescriptor}`;
  try {
    const child = spawn("fallocate", ["--punch-hole", ...range, path], {
      stdio: ["ignore", "ignore", "ignore", descriptor],
    });
    const [code] = await once(child, "close");
    return code === 0;
  } catch {
    // The program is not there.
    return false;
  }
}
