/** The contract between a queue and whatever moves its bytes: a socket, or a pipe in memory. */

import type { CallOptions } from "../block/index.ts";

/** What a transport tells. No call comes before `Dial` resolved, none after `ended`. */
export interface TransportHandlers {
  /** Bytes came; they are valid until the call returns. */
  bytes(chunk: Uint8Array): void;
  /**
   * Where the bytes that come next belong, if that is known: a transport may ask, and put them
   * there before it hands them over. It may until the next call of `bytes`, or until `end`.
   */
  landing(): Uint8Array | undefined;
  /** What was sent has left; there is room for more. */
  writable(): void;
  /** Time passes; a few times per second. */
  tick(nowMs: number): void;
  /** The connection is gone; `cause` is absent when the peer closed it in order. */
  ended(cause?: Error): void;
}

/** One connection. */
export interface Transport {
  /** Bytes taken by `send` that have not left yet. */
  readonly bufferedBytes: number;
  /** How many bytes have left so far; it grows as long as the connection does not stall. */
  readonly leftBytes: number;
  /** Takes buffers in order, without copying; they must not change before they have left. */
  send(chunks: readonly Uint8Array[]): void;
  /** Calls `left` once everything sent so far has left this process, or never will. */
  whenLeft(left: () => void): void;
  /** Sends what was taken, then closes; puts nothing where `landing` said from now on. Idempotent,
   * and `ended` follows. */
  end(): void;
  /** The clock that `tick` shows, in milliseconds. */
  nowMs(): number;
}

/**
 * Opens one connection to a controller.
 * @throws InitiatorError `connect-refused`, `unreachable` or `timeout`; the signal's reason.
 */
export type Dial = (handlers: TransportHandlers, options: CallOptions) => Promise<Transport>;

/** Waiting, for what is tried again later. */
export interface Clock {
  /** Milliseconds since any moment; never goes back. */
  nowMs(): number;
  /** Resolves after `durationMs`; rejects with the signal's reason. */
  sleep(durationMs: number, options?: CallOptions): Promise<void>;
}

/** What this part reports to `log`. */
export type InitiatorEvent =
  | "queue-connected"
  | "queue-ended"
  | "controller-ready"
  | "controller-closed"
  | "controller-disconnected"
  | "controller-reconnecting"
  | "controller-reconnected"
  | "controller-lost"
  | "authenticated"
  | "async-event"
  | "events-refused"
  | "namespace-skipped"
  | "command-retried";

/** Takes what happens, for people and tests; never throws. */
export type InitiatorLog = (
  event: InitiatorEvent,
  fields: Readonly<Record<string, unknown>>,
) => void;
