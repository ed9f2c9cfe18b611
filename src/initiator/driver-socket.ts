/** The transport over a TCP socket; with `driver-tls.ts`, all that does network I/O here. */

import { connect, type Socket } from "node:net";
import { performance } from "node:perf_hooks";
import type { CallOptions } from "../block/index.ts";
import { InitiatorError, type InitiatorErrorCode } from "./error.ts";
import { peerName } from "./host.ts";
import { ReceiveMemory } from "./receive-memory.ts";
import type { Dial, Transport, TransportHandlers } from "./transport.ts";

/** How often time is told. */
const tickMs = 250;
/** How long what is left to send may take after the end was asked for. */
const lingerMs = 1000;

const nothing = new Uint8Array(0);

/** Where a controller listens. */
export interface Address {
  /** Name or address. */
  readonly host: string;
  readonly port: number;
}

/** Where received bytes go: what sockets take as `onread`. */
export interface SocketReader {
  /** Where the next bytes are to be put. */
  readonly buffer: () => Uint8Array;
  readonly callback: (lengthBytes: number, buffer: Uint8Array) => boolean;
}

/** Opens TCP connections to `address`, each within `timeoutMs`. */
export function dialTcp(address: Address, timeoutMs: number): Dial {
  const { host, port } = address;
  return (handlers, options) =>
    openSocket(peerName(address), timeoutMs, handlers, options, "connect", (onread) =>
      connect({ host, port, noDelay: true, keepAlive: true, onread }),
    );
}

/**
 * Waits until a socket that `make` begins to connect is `ready`, and makes a transport of it.
 * @param failure Makes an error of what ended a socket before it was ready.
 * @throws As `Dial`.
 */
export async function openSocket<S extends Socket>(
  peer: string,
  timeoutMs: number,
  handlers: TransportHandlers,
  { signal }: CallOptions,
  ready: "connect" | "secureConnect",
  make: (onread: SocketReader) => S,
  failure: (peer: string, error: Error) => InitiatorError = connectError,
): Promise<Transport> {
  signal?.throwIfAborted();
  const opened = Promise.withResolvers<Transport>();
  const memory = new ReceiveMemory();
  const socket = make({
    buffer: () => memory.next(handlers.landing()),
    callback: (length, buffer) => {
      memory.received(length, buffer);
      handlers.bytes(buffer.subarray(0, length));
      return true;
    },
  });
  const failed = (error: Error) => opened.reject(failure(peer, error));
  const late = setTimeout(() => {
    const message = `Cannot connect to ${peer}: no answer within ${timeoutMs} ms.`;
    opened.reject(new InitiatorError("timeout", message, { peer }));
  }, timeoutMs);
  const ended = () =>
    failed(Object.assign(new Error("it closed the connection"), { code: "ECONNRESET" }));
  const aborted = () => opened.reject(signal?.reason);
  socket.once("error", failed);
  socket.once("close", ended);
  socket.once(ready, () => opened.resolve(new SocketTransport(socket, handlers)));
  signal?.addEventListener("abort", aborted, { once: true });
  try {
    return await opened.promise;
  } catch (error) {
    socket.destroy();
    throw error;
  } finally {
    clearTimeout(late);
    socket.off("error", failed);
    socket.off("close", ended);
    socket.on("error", () => {});
    signal?.removeEventListener("abort", aborted);
  }
}

class SocketTransport implements Transport {
  readonly #socket: Socket;
  #linger: NodeJS.Timeout | undefined;

  constructor(socket: Socket, handlers: TransportHandlers) {
    this.#socket = socket;
    let cause: Error | undefined;
    const ticker = setInterval(() => handlers.tick(performance.now()), tickMs);
    ticker.unref();
    socket.on("drain", () => handlers.writable());
    socket.once("error", (error) => {
      cause = error;
    });
    socket.once("end", () => this.end());
    socket.once("close", () => {
      clearInterval(ticker);
      clearTimeout(this.#linger);
      handlers.ended(cause);
    });
  }

  get bufferedBytes(): number {
    return this.#socket.writableLength;
  }

  get leftBytes(): number {
    // What is counted as written includes what still waits.
    return this.#socket.bytesWritten - this.#socket.writableLength;
  }

  send(chunks: readonly Uint8Array[]): void {
    if (chunks.length === 1) {
      this.#socket.write(chunks[0]!);
      return;
    }
    this.#socket.cork();
    for (const chunk of chunks) this.#socket.write(chunk);
    this.#socket.uncork();
  }

  whenLeft(left: () => void): void {
    // Writes are done in order, and those of a socket that is destroyed are called back too.
    if (this.#socket.writableLength === 0) left();
    else this.#socket.write(nothing, () => left());
  }

  end(): void {
    if (this.#linger) return;
    // What it would still receive might be put into the buffer of a call that has ended.
    this.#socket.pause();
    this.#linger = setTimeout(() => this.#socket.destroy(), lingerMs);
    this.#socket.destroySoon();
  }

  nowMs(): number {
    return performance.now();
  }
}

const codes: Readonly<Record<string, InitiatorErrorCode>> = {
  ECONNREFUSED: "connect-refused",
  ETIMEDOUT: "timeout",
};

/** The error of a connection that did not come about. */
export function connectError(
  peer: string,
  cause: Error & { readonly code?: string },
): InitiatorError {
  const code = codes[cause.code ?? ""] ?? "unreachable";
  const why = code === "connect-refused" ? "nothing listens there" : cause.message;
  const next = "Check the address, and that the controller is up and serves NVMe/TCP.";
  return new InitiatorError(
    code,
    `Cannot connect to ${peer}: ${why}. ${next}`,
    { peer },
    { cause },
  );
}
