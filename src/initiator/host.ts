/** What this host is to controllers, and the options that every connection shares. */

import { randomUUID } from "node:crypto";
import type { CallOptions } from "../block/index.ts";
import { type Digests, nqnFault, nqnOfUuid, uuidBytes, uuidOfNqn } from "../nvme/index.ts";
import type { HostConfig } from "./admin.ts";
import type { AuthenticationOptions } from "./authentication.ts";
import type { Address } from "./driver-socket.ts";
import type { TlsOptions } from "./security.ts";
import type { InitiatorLog } from "./transport.ts";

/** As whom to connect, and how. */
export interface HostOptions extends CallOptions {
  /** Name of this host; one made of a UUID of this process unless given. */
  readonly hostNqn?: string;
  /** UUID of this host; that of `hostNqn` where it has one. */
  readonly hostId?: string;
  /** Digests to protect headers and data with; none unless given. */
  readonly digests?: Partial<Digests>;
  /** How long each step of connecting may take; 10 s unless given. */
  readonly connectTimeoutMs?: number;
  /** Keys of DH-HMAC-CHAP; without them a controller that asks for authentication is refused. */
  readonly authentication?: AuthenticationOptions;
  /** Connect by TLS 1.3; without it, nothing is encrypted. */
  readonly tls?: TlsOptions;
  readonly log?: InitiatorLog;
}

const connectTimeoutDefaultMs = 10_000;
/** Controllers tell hosts apart by this; it is the same for all connections of a process. */
const processUuid = randomUUID();

/**
 * The options of a connection, filled up.
 * @throws RangeError for a name that no controller could be sent.
 */
export function hostConfig(options: HostOptions, subnqn: string): HostConfig {
  const hostnqn = options.hostNqn ?? nqnOfUuid(options.hostId ?? processUuid);
  // Only what cannot be sent is refused: targets in the field have names of any form.
  for (const nqn of [subnqn, hostnqn]) {
    const fault = nqnFault(nqn);
    if (fault === "empty" || fault === "too-long" || !/^[\x21-\x7e]*$/.test(nqn)) {
      throw new RangeError(`"${nqn}" is not an NVMe Qualified Name (1 to 223 ASCII characters).`);
    }
  }
  return {
    subnqn,
    hostnqn,
    hostid: uuidBytes(options.hostId ?? uuidOfNqn(hostnqn) ?? processUuid),
    digests: { hdgst: options.digests?.hdgst ?? false, ddgst: options.digests?.ddgst ?? false },
    connectTimeoutMs: options.connectTimeoutMs ?? connectTimeoutDefaultMs,
  };
}

/** How messages name an address; IPv6 addresses stand in brackets. */
export function peerName({ host, port }: Address): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
