/** The kernel's own words on why an export failed: lines of /dev/kmsg about the target. */
import { constants, openSync, readSync } from "node:fs";
import { join } from "node:path";
import { parseKernelRecord, parseRefusal } from "./kernel-log.ts";

const recordBytesMax = 8192;
const keptMax = 20;

/** Reads the kernel's log when it is asked to; it costs nothing in between. */
export class KernelLog {
  readonly #fd: number | null;
  readonly #kept: string[] = [];

  constructor(root: string) {
    this.#fd = openLog(join(root, "dev/kmsg"));
  }

  /** The newest lines about the target since the machine booted, oldest first. */
  read(): readonly string[] {
    const buffer = new Uint8Array(recordBytesMax);
    while (this.#fd !== null) {
      const record = readRecord(this.#fd, buffer);
      if (record === null) {
        break;
      }
      const line = parseKernelRecord(record);
      if (line !== null) {
        this.#kept.push(line);
      }
    }
    this.#kept.splice(0, Math.max(0, this.#kept.length - keptMax));
    return [...this.#kept];
  }
}

/** Between looks for hosts that were refused: nobody waits for it. */
const refusalPauseMs = 2000;
/** Told of each look at most; who hammers at the door does not drown all else. */
const refusalsMax = 10;

/** Tells of each host that the kernel's target refuses from now on, until the signal aborts. */
export function watchRefusals(
  root: string,
  told: (text: string) => void,
  signal: AbortSignal,
): void {
  const fd = openLog(join(root, "dev/kmsg"));
  if (fd === null) return;
  const buffer = new Uint8Array(recordBytesMax);
  // What was said before this daemon ran, another one has told; passing over it can wait.
  let tell: (text: string) => void = () => {};
  const look = (): void => {
    for (let count = 0; ; ) {
      const record = readRecord(fd, buffer);
      if (record === null) return;
      const text = parseRefusal(record);
      if (text !== null && count < refusalsMax) tell(text);
      if (text !== null) count += 1;
    }
  };
  const timer = setInterval(() => {
    look();
    tell = told;
  }, refusalPauseMs);
  signal.addEventListener("abort", () => clearInterval(timer), { once: true });
}

function openLog(path: string): number | null {
  try {
    return openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch {
    return null;
  }
}

/** One record, an empty text for one that was overwritten meanwhile, null at the end. */
function readRecord(fd: number, buffer: Uint8Array): string | null {
  try {
    const length = readSync(fd, buffer);
    return length === 0 ? null : new TextDecoder().decode(buffer.subarray(0, length));
  } catch (error) {
    return error instanceof Error && "code" in error && error.code === "EPIPE" ? "" : null;
  }
}
