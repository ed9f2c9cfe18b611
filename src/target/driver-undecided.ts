/**
 * Connections of a listener with TLS that are not the target's yet: in the clear or by TLS is not
 * known, or the handshake is not through. The target does not count them, so they are bounded here.
 */

import type { Socket } from "node:net";
import { nowMs } from "./driver-socket.ts";
import { HalfOpen } from "./half-open.ts";
import type { TargetLimits } from "./limits.ts";

/** As many connections as may be half open may be undecided too; see `HalfOpen`. */
export class Undecided {
  readonly #sockets = new Map<string, Socket>();
  readonly #names: HalfOpen<string>;

  constructor(limits: TargetLimits) {
    this.#names = new HalfOpen(limits);
  }

  /** A connection has come. */
  add(socket: Socket): void {
    const name = nameOf(socket);
    const leaving = this.#names.add(name, nowMs());
    if (leaving !== undefined) {
      this.#sockets.get(leaving)?.destroy();
      this.#sockets.delete(leaving);
    }
    this.#sockets.set(name, socket);
    socket.once("close", () => {
      if (this.#sockets.get(name) === socket) this.#forget(name);
    });
  }

  /** A connection becomes the target's: as it came, or as the TLS socket around it. */
  settle(socket: Socket): void {
    this.#forget(nameOf(socket));
  }

  /** Ends all of them. */
  close(): void {
    for (const socket of this.#sockets.values()) socket.destroy();
    for (const name of [...this.#sockets.keys()]) this.#forget(name);
  }

  #forget(name: string): void {
    this.#sockets.delete(name);
    this.#names.delete(name);
  }
}

/** The same for a socket and the TLS socket around it, and for no other of a listener. */
function nameOf({ localAddress, remoteAddress, remotePort }: Socket): string {
  return `${localAddress} ${remoteAddress} ${remotePort}`;
}
