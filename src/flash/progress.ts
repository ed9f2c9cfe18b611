/** How far it is, how fast, how long still, and what holds it up: from counters and a clock. */

import type { ReadTimes } from "./image.ts";

/** What a disk is at. */
export type Phase = "prepare" | "write" | "verify" | "finish" | "read" | "compare";

/** What is slowest now. */
export type Bottleneck = "source" | "decompression" | "disk" | "network or disk";

/** One report about one target, or about the source. */
export interface ProgressEvent {
  readonly event: "progress";
  readonly target: string;
  readonly phase: Phase;
  readonly bytes: number;
  /** Undefined until it is known. */
  readonly total: number | undefined;
  /** Over the last two seconds. */
  readonly bytesPerSecond: number;
  readonly etaSeconds: number | undefined;
  readonly bottleneck: Bottleneck | undefined;
}

/** How a disk is written that its box can hash, and why so. */
export interface ModeEvent {
  readonly event: "mode";
  readonly target: string;
  readonly mode: "delta" | "full";
  /** For people: `12 of 256 sampled units differ`. */
  readonly reason: string;
}

const windowMs = 2000;
/** Reports come at most so often. */
const intervalMs = 250;

/** Measures one phase of one target. */
export class Meter {
  readonly #clock: () => number;
  readonly #samples: { atMs: number; bytes: number }[];
  #lastMs: number;

  constructor(clock: () => number) {
    this.#clock = clock;
    const atMs = clock();
    this.#samples = [{ atMs, bytes: 0 }];
    this.#lastMs = atMs;
  }

  /** Whether it is time for another report. */
  get isDue(): boolean {
    return this.#clock() - this.#lastMs >= intervalMs;
  }

  /** Takes a sample; rate and time left by it. */
  measure(
    bytes: number,
    total: number | undefined,
  ): Pick<ProgressEvent, "bytesPerSecond" | "etaSeconds"> {
    const atMs = this.#clock();
    this.#lastMs = atMs;
    this.#samples.push({ atMs, bytes });
    while (this.#samples.length > 2 && atMs - (this.#samples[1]?.atMs ?? atMs) >= windowMs) {
      this.#samples.shift();
    }
    const first = this.#samples[0] ?? { atMs, bytes };
    const seconds = (atMs - first.atMs) / 1000;
    const bytesPerSecond = seconds > 0 ? (bytes - first.bytes) / seconds : 0;
    const isTold = total !== undefined && bytesPerSecond > 0;
    return {
      bytesPerSecond,
      etaSeconds: isTold ? Math.max(0, total - bytes) / bytesPerSecond : undefined,
    };
  }
}

/** Names what holds the writing up, from where the time went since the last call. */
export class BottleneckFinder {
  readonly #times: ReadTimes;
  readonly #isPacked: boolean;
  #last: ReadTimes;

  constructor(times: ReadTimes, isPacked: boolean) {
    this.#times = times;
    this.#isPacked = isPacked;
    this.#last = { ...times };
  }

  /** What it is for a target; undefined when nothing was measured yet. */
  find(isRemote: boolean): Bottleneck | undefined {
    const spent = (name: keyof ReadTimes) => this.#times[name] - this.#last[name];
    const [source, read, buffer] = [spent("sourceMs"), spent("readMs"), spent("bufferMs")];
    if (source + read + buffer > windowMs) this.#last = { ...this.#times };
    if (read + buffer === 0) return undefined;
    if (buffer >= read) return isRemote ? "network or disk" : "disk";
    return this.#isPacked && source < read / 2 ? "decompression" : "source";
  }
}
