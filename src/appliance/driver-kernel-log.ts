/** The kernel's own words about the target: why an export failed, and which hosts it refused. */
import { constants, openSync, readSync } from "node:fs";
import { join } from "node:path";
import { runCompanion } from "./driver-process.ts";
import { parseKernelRecord, parseRefusal } from "./kernel-log.ts";
import { Rate } from "./rate.ts";

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

/** Tells of each host that the kernel's target refuses from now on, until the signal aborts. */
export function watchRefusals(
  told: (text: string) => void,
  problem: (message: string | null) => void,
  signal: AbortSignal,
): void {
  let begun = "";
  const rate = new Rate();
  const take = (line: string): void => {
    const text = parseRefusal(line);
    if (text !== null && rate.admits(performance.now())) told(text);
  };
  const output = (text: string): void => {
    const lines = (begun + text).split("\n");
    begun = lines.pop()!.slice(0, recordBytesMax);
    for (const line of lines) take(line);
  };
  const parameters = ["--follow-new", "--notime", "--color=never"];
  runCompanion(
    "dmesg",
    parameters,
    { output, started: () => problem(null), died: problem },
    signal,
  );
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
