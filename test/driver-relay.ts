/** A relay on loopback that cuts all of its connections after so many more bytes. */

import { once } from "node:events";
import { connect, createServer, type Server, type Socket } from "node:net";

/** Where a relay leads. */
export interface RelayOptions {
  /**
   * Into a virtual machine, whose side of a cut connection ends in order after what has passed:
   * libslirp 4.7 ends QEMU by an assertion where a connection is reset while its buffer is full.
   */
  readonly intoMachine?: boolean;
}

/** Carries connections to a port that may change. */
export class Relay implements AsyncDisposable {
  readonly #server: Server;
  readonly #hosts = new Set<Socket>();
  readonly #targets = new Set<Socket>();
  readonly #intoMachine: boolean;
  /** Where new connections go. */
  targetPort: number;
  /** Bytes of both directions until the cut. */
  #untilCut = Number.POSITIVE_INFINITY;
  #onCut = () => {};
  /** Hears what hosts say, connection by connection: `n` counts from 0. */
  onHostBytes: (n: number, bytes: Uint8Array) => void = () => {};
  #count = 0;

  /** Listens on a free port. */
  static async to(targetPort: number, options: RelayOptions = {}): Promise<Relay> {
    const relay = new Relay(targetPort, options);
    relay.#server.listen({ host: "127.0.0.1", port: 0 });
    await once(relay.#server, "listening");
    return relay;
  }

  private constructor(targetPort: number, { intoMachine = false }: RelayOptions) {
    this.targetPort = targetPort;
    this.#intoMachine = intoMachine;
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
    for (const target of this.#targets) target.destroy();
    this.#server.close();
    await once(this.#server, "close");
  }

  #carry(host: Socket): void {
    const target = connect({ host: "127.0.0.1", port: this.targetPort });
    const n = this.#count++;
    host.on("data", (bytes) => this.onHostBytes(n, bytes));
    this.#join(host, target, this.#hosts);
    this.#join(target, host, this.#targets);
    host.on("error", () => this.#drop(target));
    target.on("error", () => host.destroy());
  }

  #join(from: Socket, to: Socket, all: Set<Socket>): void {
    all.add(from);
    from.setNoDelay(true);
    from.on("data", (bytes) => this.#pass(bytes, to));
    from.on("end", () => to.end());
    from.on("close", () => all.delete(from));
  }

  #pass(bytes: Uint8Array, to: Socket): void {
    if (!to.writable) return;
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
    for (const host of this.#hosts) host.destroy();
    for (const target of this.#targets) this.#drop(target);
  }

  #drop(target: Socket): void {
    if (this.#intoMachine) target.end();
    else target.destroy();
  }
}
