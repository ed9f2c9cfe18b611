/** What a connection needs of the world: a way to send, and what may be known of both ends. */

import type { TlsPolicy } from "./secure-channel.ts";

/** Events that a target tells; the closed list of what `log` is called with. */
export type TargetEvent =
  | "listening"
  | "connection-accepted"
  | "connection-refused"
  | "connection-ended"
  | "host-connected"
  | "host-refused"
  | "host-authenticated"
  | "peer-fault";

/** Takes one event with its facts; never holds secrets. */
export type TargetLog = (event: TargetEvent, fields: Readonly<Record<string, unknown>>) => void;

/** One end of a connection. */
export interface Endpoint {
  readonly address: string;
  readonly port: number;
  readonly family: "ipv4" | "ipv6";
}

/** Who has proven to have a key for TLS. */
export interface TlsParties {
  readonly hostnqn: string;
  readonly subnqn: string;
  /** The key was made by authentication. */
  readonly isGenerated: boolean;
}

/** A connection's way out. */
export interface Transport {
  readonly local: Endpoint;
  readonly remote: Endpoint;
  /** Whose TLS key the host proved to have; none without TLS. */
  readonly tlsParties?: TlsParties;
  /** What the listener does about TLS. */
  readonly tlsPolicy: TlsPolicy;
  /** Where it came in, there are discovery controllers only. */
  readonly isDiscoveryOnly: boolean;
  /** Bytes given to `send` that have not left. */
  readonly bufferedBytes: number;
  /** A number that changes whenever some of them leave, though it be a part of a long piece. */
  readonly sendMark: number;
  /** Sends; `sent` is called once the bytes may change, also when they will never leave. */
  send(chunk: Uint8Array, sent: () => void): void;
  /** Stops and resumes what comes in. */
  setReceiving(isReceiving: boolean): void;
  /**
   * Closes after what is buffered; nothing is sent afterwards. Idempotent.
   * @param isKnown The host has connected, and may be at work.
   */
  end(isKnown: boolean): void;
  /** A clock in milliseconds that never goes back. */
  nowMs(): number;
}
