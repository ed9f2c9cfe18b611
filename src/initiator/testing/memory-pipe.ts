/** A transport in memory for tests: the other end is a function, time moves when told to. */

import type { Dial, TransportHandlers } from "../transport.ts";

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
  #nowMs = 1000;

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
  }

  readonly dial: Dial = async (handlers, { signal }) => {
    signal?.throwIfAborted();
    this.#open.add(handlers);
    const close = (cause?: Error) => {
      if (!this.#open.delete(handlers)) return;
      far.ended();
      handlers.ended(cause);
    };
    const far = this.#accept({
      send: (chunk) => {
        const copy = Uint8Array.from(chunk);
        queueMicrotask(() => {
          for (let at = 0; at < copy.length; at += this.pieceBytes) {
            if (!this.#open.has(handlers)) return;
            handlers.bytes(copy.subarray(at, Math.min(at + this.pieceBytes, copy.length)));
          }
        });
      },
      cut: (cause) => queueMicrotask(() => close(cause)),
    });
    return {
      bufferedBytes: 0,
      send: (chunks) => {
        const joined = Buffer.concat(chunks);
        queueMicrotask(() => {
          if (this.#open.has(handlers)) far.receive(joined);
        });
      },
      end: () => queueMicrotask(() => close()),
      nowMs: () => this.#nowMs,
    };
  };
}
