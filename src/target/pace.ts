/**
 * Whether a medium is quick enough to be called directly.
 *
 *   quick ──several calls took long──► slow for a while ──time is over──► quick again, on trial
 *     └──one call took very long──► slow for a hundred times as long ──┘
 *
 * A direct call that finds its blocks in memory takes microseconds, and a promise costs more than
 * that (4 KiB from the page cache: 4 µs directly, 70 µs through the thread pool of a busy machine);
 * one that waits for a disk stops everybody. So calls are direct while they prove quick, and each
 * disappointment doubles the time until the next trial. One long call is no proof: the kernel may
 * have given the processor to somebody else meanwhile. One very long call is: a disk that tries to
 * read a bad sector for half a minute would stop everybody for most of the time.
 */

/** A direct call may take this long, and so much longer per byte. */
const quickMs = 0.25;
const quickMsPerByte = 1 / 400_000;
/** A call that takes so much longer still is proof by itself; rests so many times as long follow. */
const proofMs = 50;
const restPerProof = 100;
const slowMsMin = 4;
const slowMsMax = 250;
/** A long call adds 1 to the suspicion; so much of it a quick call takes away. */
const reliefPerCall = 1 / 16;
/** Suspicion from which on a medium is slow, and what is left of it for the next trial. */
const suspicionMax = 3.5;
const suspicionOnTrial = 2;

/** The pace of one kind of call on one medium. */
export class Pace {
  #slowUntilMs = Number.NEGATIVE_INFINITY;
  #slowMs = slowMsMin;
  #suspicion = 0;
  /** How often the medium was found to be slow. */
  disappointments = 0;

  /** Whether a call at `nowMs` should be direct. */
  isQuick(nowMs: number): boolean {
    return nowMs >= this.#slowUntilMs;
  }

  /** A direct call for `bytes` ended at `nowMs` after `tookMs`. */
  note(bytes: number, tookMs: number, nowMs: number): void {
    const allowedMs = quickMs + bytes * quickMsPerByte;
    if (tookMs <= allowedMs) {
      if (this.#suspicion === 0) return;
      this.#suspicion = Math.max(0, this.#suspicion - reliefPerCall);
      if (this.#suspicion === 0) this.#slowMs = slowMsMin;
      return;
    }
    if (tookMs > allowedMs + proofMs) {
      this.disappointments++;
      this.#suspicion = suspicionMax;
      this.#slowMs = slowMsMax;
      this.#slowUntilMs = nowMs + tookMs * restPerProof;
      return;
    }
    this.#suspicion++;
    if (this.#suspicion < suspicionMax) return;
    this.disappointments++;
    this.#suspicion = suspicionOnTrial;
    this.#slowUntilMs = nowMs + this.#slowMs;
    this.#slowMs = Math.min(this.#slowMs * 2, slowMsMax);
  }
}
