/** The transport of a target over a TCP or TLS socket. */

import { Socket } from "node:net";
import { performance } from "node:perf_hooks";
import type { TargetConnection } from "./connection.ts";
import type { TlsPolicy } from "./secure-channel.ts";
import type { Endpoint, Transport } from "./transport.ts";
import { Vigil } from "./vigil.ts";

/** What is left to send may take so long after the end was asked for. */
const lingerMs = 1000;
/** Idle time after which TCP asks whether the host is still there. */
const keepAliveMs = 30_000;
/**
 * Where all connections read to: what a turn brings is dealt with before the next socket is read.
 */
const scratch = Buffer.allocUnsafeSlow(256 * 1024);
/** Read to while data is to come that has a place of its own: little of it is to be copied. */
const smallScratch = scratch.subarray(0, 4096);

/** A clock in milliseconds that never goes back. */
export const nowMs = (): number => performance.now();

/** One event loop, one vigil. */
const vigil = new Vigil({ nowMs, afterLook: (work) => setImmediate(work) });

/** What a listener does with its connections. */
export interface Door {
  readonly isDiscoveryOnly: boolean;
  readonly tlsPolicy: TlsPolicy;
  /** Makes the engine of a connection; undefined when the connection is to be closed. */
  accept(transport: Transport): TargetConnection | undefined;
}

interface HandleOwner {
  readonly _handle?: { readonly writeQueueSize?: number } | null;
}

/**
 * Serves a plain socket. It is read into memory of ours: `onread` is an option of the constructor
 * only, so a second socket takes the handle of the one that the server made.
 */
export function servePlain(accepted: Socket, door: Door): void {
  const handle = (accepted as unknown as HandleOwner)._handle;
  let transport: SocketTransport | undefined;
  let next: Uint8Array = scratch;
  const options = {
    handle,
    onread: {
      buffer: () => {
        next = nextBuffer(transport?.connection);
        return next;
      },
      callback: (length: number, buffer: Uint8Array) => {
        const connection = transport?.connection;
        if (!connection) return false;
        if (connection.isEnded) return true;
        const isScratch = buffer.buffer === scratch.buffer;
        if (isScratch) connection.receive(scratch.subarray(0, length));
        else connection.landed(length);
        if (connection.hasAnsweredOne) vigil.answered();
        return !connection.isEnded;
      },
    },
  };
  const socket = new Socket(options as ConstructorParameters<typeof Socket>[0]);
  // What else may be read to is given away at the end of a connection.
  const canReadOn = () => next.buffer === scratch.buffer;
  transport = new SocketTransport(socket, door, canReadOn);
  if (transport.connection) socket.resume();
}

/** Where the next bytes of a connection are read to. */
function nextBuffer(connection: TargetConnection | undefined): Uint8Array {
  const landing = connection?.landing();
  if (landing) return landing;
  return connection?.isExpectingData ? smallScratch : scratch;
}

/** Serves a socket whose data comes by events: TLS. */
export function serveStream(
  socket: Socket,
  door: Door,
  tlsParties?: NonNullable<Transport["tlsParties"]>,
): void {
  const transport = new SocketTransport(socket, door, () => true, tlsParties);
  socket.on("data", (chunk: Buffer) => {
    transport.connection?.receive(chunk);
    if (transport.connection?.hasAnsweredOne) vigil.answered();
  });
  if (transport.connection) socket.resume();
}

class SocketTransport implements Transport {
  readonly local: Endpoint;
  readonly remote: Endpoint;
  readonly tlsParties?: NonNullable<Transport["tlsParties"]>;
  readonly isDiscoveryOnly: boolean;
  readonly tlsPolicy: TlsPolicy;
  readonly connection: TargetConnection | undefined;
  readonly #socket: Socket;
  readonly #canReadOn: () => boolean;
  #linger: NodeJS.Timeout | undefined;

  constructor(
    socket: Socket,
    door: Door,
    canReadOn: () => boolean,
    tlsParties?: NonNullable<Transport["tlsParties"]>,
  ) {
    this.#socket = socket;
    this.#canReadOn = canReadOn;
    this.isDiscoveryOnly = door.isDiscoveryOnly;
    this.tlsPolicy = door.tlsPolicy;
    if (tlsParties) this.tlsParties = tlsParties;
    this.local = endpoint(socket.localAddress, socket.localPort);
    this.remote = endpoint(socket.remoteAddress, socket.remotePort);
    socket.setNoDelay(true);
    socket.setKeepAlive(true, keepAliveMs);
    const connection = door.accept(this);
    this.connection = connection;
    if (!connection) {
      socket.on("error", () => {});
      socket.destroy();
      return;
    }
    let cause = "the host closed the connection";
    socket.on("error", (error) => {
      cause = `the connection broke: ${error.message}`;
    });
    socket.on("drain", () => connection.writable());
    socket.on("end", () => connection.end(cause));
    socket.on("close", () => {
      clearTimeout(this.#linger);
      connection.end(cause);
    });
  }

  get bufferedBytes(): number {
    return this.#socket.writableLength;
  }

  get sendMark(): number {
    // What a socket says of itself counts whole pieces: over a slow line, 1 MiB takes long.
    const handle = (this.#socket as unknown as HandleOwner)._handle;
    return this.#socket.writableLength + (handle?.writeQueueSize ?? 0);
  }

  send(chunk: Uint8Array, sent: () => void): void {
    let isSent = false;
    const once = () => {
      if (!isSent) sent();
      isSent = true;
    };
    this.#socket.write(chunk, once);
    // What the kernel took at once may change at once; the callback comes a tick later.
    if (this.#socket.writableLength === 0) once();
  }

  setReceiving(isReceiving: boolean): void {
    if (isReceiving) this.#socket.resume();
    else this.#socket.pause();
  }

  /**
   * A host that is at work is read on, to no purpose, until it has seen the end: what it sends to a
   * socket that is closed brings a reset, with which Linux 6.12 kills the programs that do I/O.
   */
  end(isKnown: boolean): void {
    if (this.#linger) return;
    this.#linger = setTimeout(() => this.#socket.destroy(), lingerMs);
    this.#linger.unref();
    if (isKnown && this.#canReadOn()) {
      this.#socket.resume();
      this.#socket.end();
      return;
    }
    this.#socket.pause();
    this.#socket.destroySoon();
  }

  nowMs(): number {
    return performance.now();
  }
}

/** One end of a socket; an IPv4 address in IPv6 clothes is told as IPv4. */
function endpoint(address = "", port = 0): Endpoint {
  const plain = address.startsWith("::ffff:") ? address.slice("::ffff:".length) : address;
  return { address: plain, port, family: plain.includes(":") ? "ipv6" : "ipv4" };
}
