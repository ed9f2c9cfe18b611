/** Keeps TLS from sending session tickets, which hosts with TLS in the kernel do not take. */

import type { Server } from "node:tls";

/** Called for each ticket; answers with a verdict, keys, and names of them. */
type TicketKeyCallback = () => readonly [number, ...Uint8Array[]];

interface CredentialsOwner {
  readonly _sharedCreds: {
    readonly context: {
      onticketkeycallback: TicketKeyCallback;
      enableTicketKeyCallback(): void;
    };
  };
}

/** OpenSSL's verdict for "no ticket". */
const none = 0;
const unused = new Uint8Array(16);

/**
 * Makes a TLS 1.3 server send no session tickets. Linux 6.12 ends a connection on which anything
 * but data comes after the handshake ("unhandled TLS record 22"), and no host of NVMe/TCP resumes
 * sessions. `node:tls` has no option for it: SSL_OP_NO_TICKET only makes tickets smaller.
 */
export function sendNoTickets(server: Server): void {
  const { context } = (server as unknown as CredentialsOwner)._sharedCreds;
  context.onticketkeycallback = () => [none, unused, unused, unused, unused];
  context.enableTicketKeyCallback();
}
