/** A transport in memory for tests: the other end is a function, time moves when told to. */

import { InitiatorError } from "../error.ts";
import type { Clock, Dial, TransportHandlers } from "../transport.ts";

/** The far end of one connection. */
export interface FarEnd {
  /** Bytes from the host. */
  receive(chunk: Uint8Array): void;
  /** The host is gone. */
  ended(): void;
}

/** What a far end can do to the host. */
export interface NearEnd {
  /** Delivers bytes to the host, later in this turn of the event loop. */
  send(chunk: Uint8Array): void;
  /** Ends the connection, after what was sent. */
  cut(cause?: Error): void;
}

/** Connections in memory to far ends that `accept` makes. */
export class MemoryPipe {
  readonly #accept: (near: NearEnd) => FarEnd;
  readonly #open = new Set<TransportHandlers>();
  /** Cuts what is delivered to the host into pieces of this. */
  pieceBytes = Number.POSITIVE_INFINITY;
  /** While true, nothing that was sent counts as having left; what waits for that is in `held`. */
  holdsSent = false;
  readonly held: (() => void)[] = [];
  /** How much has left, as far as that is told. */
  leftBytes = 0;
  /** Nothing listens at the other end. */
  isDown = false;
  /** Bytes that were put where the host wanted them. */
  landedBytes = 0;
  /** How often a connection was asked for. */
  dials = 0;
  #nowMs = 1000;
  readonly #sleepers = new Set<{ readonly endMs: number; readonly wake: () => void }>();

  constructor(accept: (near: NearEnd) => FarEnd) {
    this.#accept = accept;
  }

  /** Connections that are not closed. */
  get openCount(): number {
    return this.#open.size;
  }

  /** Lets time pass for all connections. */
  tick(byMs: number): void {
    this.#nowMs += byMs;
    for (const handlers of this.#open) handlers.tick(this.#nowMs);
    for (const sleeper of this.#sleepers) {
      if (sleeper.endMs > this.#nowMs) continue;
      this.#sleepers.delete(sleeper);
      sleeper.wake();
    }
  }

  /** A clock that goes as `tick` says. */
  readonly clock: Clock = {
    nowMs: () => this.#nowMs,
    sleep: (durationMs, { signal } = {}) =>
      new Promise((resolve, reject) => {
        signal?.throwIfAborted();
        const sleeper = { endMs: this.#nowMs + durationMs, wake: resolve };
        this.#sleepers.add(sleeper);
        signal?.addEventListener("abort", () => {
          this.#sleepers.delete(sleeper);
          reject(signal.reason);
        });
      }),
  };

  readonly dial: Dial = async (handlers, { signal }) => {
    signal?.throwIfAborted();
    this.dials += 1;
    if (this.isDown) throw new InitiatorError("connect-refused", "Nothing listens here.");
    this.#open.add(handlers);
    const close = (cause?: Error) => {
      if (!this.#open.delete(handlers)) return;
      far.ended();
      handlers.ended(cause);
    };
    const state: { landing?: Uint8Array | undefined; isEnded?: boolean } = {};
    const far = this.#accept({
      send: (chunk) => {
        const copy = Uint8Array.from(chunk);
        queueMicrotask(() => {
          let rest = copy;
          while (rest.length > 0 && this.#open.has(handlers)) {
            rest = rest.subarray(this.#deliver(handlers, rest, state));
          }
        });
      },
      cut: (cause) => queueMicrotask(() => close(cause)),
    });
    const leftBytes = () => this.leftBytes;
    return {
      bufferedBytes: 0,
      get leftBytes() {
        return leftBytes();
      },
      send: (chunks) => {
        const joined = Buffer.concat(chunks);
        queueMicrotask(() => {
          if (this.#open.has(handlers)) far.receive(joined);
        });
      },
      whenLeft: (left) => {
        if (this.holdsSent) this.held.push(left);
        else queueMicrotask(left);
      },
      end: () => {
        state.isEnded = true;
        queueMicrotask(() => close());
      },
      nowMs: () => this.#nowMs,
    };
  };

  /**
   * Delivers some of `bytes` as a socket does: into the buffer that was chosen when the last ones
   * were delivered. Returns how many.
   */
  #deliver(
    handlers: TransportHandlers,
    bytes: Uint8Array,
    state: { landing?: Uint8Array | undefined; isEnded?: boolean },
  ): number {
    const { landing } = state;
    const piece = bytes.subarray(0, Math.min(this.pieceBytes, landing?.length ?? bytes.length));
    if (landing && state.isEnded) return bytes.length;
    if (landing) {
      landing.set(piece);
      this.landedBytes += piece.length;
    }
    handlers.bytes(landing ? landing.subarray(0, piece.length) : piece);
    state.landing = handlers.landing();
    return piece.length;
  }
}
