/**
 * The transport over TLS 1.3 with a pre-shared key. TCP Transport 1.0 §3.6.1.
 *
 * Both ends prove by the key who they are; there are no certificates, and one is not accepted.
 */

import { type ConnectionOptions, connect } from "node:tls";
import { describeNodeTlsFault, nodeTlsFault, pskCipher, type TlsPsk } from "../nvme/index.ts";
import {
  type Address,
  connectError,
  dialTcp,
  openSocket,
  type SocketReader,
} from "./driver-socket.ts";
import { InitiatorError } from "./error.ts";
import { peerName } from "./host.ts";
import type { Dials } from "./security.ts";
import type { Dial } from "./transport.ts";

/** All ways to `address`, each connection within `timeoutMs`. */
export function dialsOf(address: Address, timeoutMs: number): Dials {
  return {
    dial: dialTcp(address, timeoutMs),
    dialSecured: (psks) => dialTls(address, timeoutMs, psks),
  };
}

/**
 * Opens TLS connections to `address` with the first of `psks` that the controller takes; that one
 * comes first from then on. Targets differ in which version of the identity they know.
 * @param psks One or more.
 * @throws InitiatorError `unsupported` for keys that Node cannot use.
 */
function dialTls(address: Address, timeoutMs: number, psks: readonly TlsPsk[]): Dial {
  const peer = peerName(address);
  for (const psk of psks) {
    const fault = nodeTlsFault(psk);
    if (fault === undefined) continue;
    const message = `Cannot connect to ${peer} by TLS: ${describeNodeTlsFault(fault)}.`;
    throw new InitiatorError("unsupported", message, { peer, fault });
  }
  let first = 0;
  return async (handlers, options) => {
    let failure: unknown;
    for (let n = 0; n < psks.length; n++) {
      const index = (first + n) % psks.length;
      try {
        const transport = await dialOnce(address, timeoutMs, psks[index]!)(handlers, options);
        first = index;
        return transport;
      } catch (error) {
        const isRefusal = error instanceof InitiatorError && error.code === "authentication-failed";
        if (!isRefusal) throw error;
        // One that was only cut off may be the right one, whatever is said of the other.
        if (!isCut(failure)) failure = error;
      }
    }
    throw failure;
  };
}

function dialOnce({ host, port }: Address, timeoutMs: number, psk: TlsPsk): Dial {
  return (handlers, options) =>
    openSocket(
      peerName({ host, port }),
      timeoutMs,
      handlers,
      options,
      "secureConnect",
      (onread) => {
        const connection = {
          host,
          port,
          onread,
          minVersion: "TLSv1.3",
          maxVersion: "TLSv1.3",
          ciphers: pskCipher[psk.hash],
          pskCallback: () => ({ psk: psk.key, identity: psk.identity }),
          // Asked only where the controller showed a certificate in place of knowing the key.
          checkServerIdentity: () => new Error("it answered with a certificate"),
        } satisfies ConnectionOptions & { readonly onread: SocketReader };
        const socket = connect(connection);
        return socket.setNoDelay(true).setKeepAlive(true);
      },
      tlsError,
    );
}

/**
 * Errors of TLS itself: they come from its library, or are those of certificates. A connection that
 * is merely closed may be the refusal of a key, but just as well a target that restarts, or one
 * that a forwarder does not reach: `endedBy` says so, since that is not final.
 */
function tlsError(peer: string, error: Error & { readonly code?: string }): InitiatorError {
  const code = error.code ?? "";
  const isClosed = code === "ECONNRESET" || code === "EPIPE";
  if ("syscall" in error && !isClosed) return connectError(peer, error);
  const next = "Check that both ends have the same key, and that the target serves TLS.";
  const message = `Cannot connect to ${peer} by TLS: ${error.message}. ${next}`;
  const facts = isClosed ? ({ peer, endedBy: "controller" } as const) : { peer };
  return new InitiatorError("authentication-failed", message, facts, { cause: error });
}

function isCut(error: unknown): boolean {
  return error instanceof InitiatorError && error.facts.endedBy !== undefined;
}
