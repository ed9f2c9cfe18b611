/**
 * Connections of a listener with TLS that are not the target's yet: in the clear or by TLS is not
 * known, or the handshake is not through. The target does not count them, so they are bounded here.
 */

import type { Socket } from "node:net";

/** As many connections as may be undecided at a time; a further one ends the oldest. */
export class Undecided {
  readonly #sockets = new Map<string, Socket>();
  readonly #max: number;

  constructor(max: number) {
    this.#max = max;
  }

  /** A connection has come. */
  add(socket: Socket): void {
    if (this.#sockets.size >= this.#max) {
      const [oldest] = this.#sockets;
      this.#sockets.delete(oldest![0]);
      oldest![1].destroy();
    }
    const name = nameOf(socket);
    this.#sockets.set(name, socket);
    socket.once("close", () => {
      if (this.#sockets.get(name) === socket) this.#sockets.delete(name);
    });
  }

  /** A connection becomes the target's: as it came, or as the TLS socket around it. */
  settle(socket: Socket): void {
    this.#sockets.delete(nameOf(socket));
  }

  /** Ends all of them. */
  close(): void {
    for (const socket of this.#sockets.values()) socket.destroy();
    this.#sockets.clear();
  }
}

/** The same for a socket and the TLS socket around it, and for no other of a listener. */
function nameOf({ localAddress, remoteAddress, remotePort }: Socket): string {
  return `${localAddress} ${remoteAddress} ${remotePort}`;
}
