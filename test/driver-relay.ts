/** A relay on loopback that cuts all of its connections after so many more bytes. */

import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";

/** Carries connections to a port that may change. */
export class Relay implements AsyncDisposable {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** Where new connections go. */
  targetPort: number;
  /** Bytes of both directions until the cut. */
  #untilCut = Number.POSITIVE_INFINITY;
  #onCut = () => {};
  /** Hears what hosts say, connection by connection: `n` counts from 0. */
  onHostBytes: (n: number, bytes: Uint8Array) => void = () => {};
  #count = 0;

  /** Listens on a free port. */
  static async to(targetPort: number): Promise<Relay> {
    const relay = new Relay(targetPort);
    relay.#server.listen({ host: "127.0.0.1", port: 0 });
    await once(relay.#server, "listening");
    return relay;
  }

  private constructor(targetPort: number) {
    this.targetPort = targetPort;
    this.#server = createServer((host) => this.#carry(host));
  }

  /** The port that it listens on. */
  get port(): number {
    const address = this.#server.address();
    return typeof address === "object" && address ? address.port : 0;
  }

  /** Lets `bytes` pass, cuts everything off, then calls `onCut`. */
  cutAfter(bytes: number, onCut: () => void): void {
    this.#untilCut = bytes;
    this.#onCut = onCut;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#cut();
    this.#server.close();
    await once(this.#server, "close");
  }

  #carry(host: Socket): void {
    const target = connect({ host: "127.0.0.1", port: this.targetPort });
    const n = this.#count++;
    host.on("data", (bytes) => this.onHostBytes(n, bytes));
    for (const [from, to] of [
      [host, target],
      [target, host],
    ] as const) {
      this.#sockets.add(from);
      from.setNoDelay(true);
      from.on("data", (bytes) => this.#pass(bytes, to));
      from.on("end", () => to.end());
      from.on("error", () => to.destroy());
      from.on("close", () => this.#sockets.delete(from));
    }
  }

  #pass(bytes: Uint8Array, to: Socket): void {
    if (bytes.length < this.#untilCut) {
      this.#untilCut -= bytes.length;
      to.write(bytes);
      return;
    }
    to.write(bytes.subarray(0, this.#untilCut));
    this.#untilCut = Number.POSITIVE_INFINITY;
    this.#cut();
    this.#onCut();
  }

  #cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }
}
