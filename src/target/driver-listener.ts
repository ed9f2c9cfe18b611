/** Listens for hosts: TCP, TLS 1.3 with pre-shared keys, or both on one port. */

import { randomBytes } from "node:crypto";
import { createServer, type Server, type Socket } from "node:net";
import {
  createServer as createTlsServer,
  type TLSSocket,
  type Server as TlsServer,
} from "node:tls";
import { type Door, nowMs, servePlain, serveStream } from "./driver-socket.ts";
import { sendNoTickets } from "./driver-tickets.ts";
import { Undecided } from "./driver-undecided.ts";
import { TargetError, type TargetErrorCode } from "./error.ts";
import type { TlsPolicy } from "./secure-channel.ts";
import { Target, type TargetOptions } from "./target.ts";
import { type TlsKey, TlsKeys } from "./tls-keys.ts";
import type { TlsParties } from "./transport.ts";

/** How often time is told. */
const tickMs = 250;
/** First byte of a TLS record of type handshake; an ICReq begins with 0. */
const tlsHandshake = 0x16;
/** Connections that wait for `accept`. */
const backlog = 256;

/** How a listener is made. */
export interface ListenOptions {
  /** Address to listen on; `0.0.0.0` and `::` for all of them. The loopback address unless told. */
  readonly host?: string;
  /** On `::`, leave IPv4 to another listener; false unless told. */
  readonly ipv6Only?: boolean;
  /** 4420 unless told; 0 for any that is free. */
  readonly port?: number;
  /** Serve discovery controllers only, as on port 8009. */
  readonly discoveryOnly?: boolean;
  /**
   * Off unless told. Hosts with a DH-HMAC-CHAP secret can make a key of their own where the policy
   * is "optional" (secure channel concatenation); `keys` may be empty then.
   */
  readonly tls?: { readonly policy: Exclude<TlsPolicy, "off">; readonly keys: readonly TlsKey[] };
}

/**
 * A listener; disposing of it leaves connections that are open as they are, and ends those that have
 * not come to TLS yet.
 */
export interface TargetListener extends AsyncDisposable {
  readonly host: string;
  /** The port, chosen by the system where 0 was asked for. */
  readonly port: number;
}

/** A target with listeners. */
export interface RunningTarget extends AsyncDisposable {
  /** Subsystems, namespaces and statistics; change them while hosts are connected. */
  readonly target: Target;
  /** @throws TargetError `address-in-use`, `address-unavailable`, `denied`, `listen` or `key`. */
  listen(options?: ListenOptions): Promise<TargetListener>;
  /** Stops listening, ends all connections, waits for the devices. Idempotent. */
  close(): Promise<void>;
}

/** Makes a target; nothing listens until `listen` is called. */
export function createTarget(options: TargetOptions = {}): RunningTarget {
  const target = new Target(options, { nowMs, random: (length) => randomBytes(length) });
  const listeners = new Set<TargetListener>();
  let ticker: NodeJS.Timeout | undefined;
  let closing: Promise<void> | undefined;
  const close = async () => {
    for (const listener of [...listeners]) await listener[Symbol.asyncDispose]();
    target.close("the target was closed");
    clearInterval(ticker);
    await target.settled();
  };
  const running: RunningTarget = {
    target,
    async listen(listenOptions = {}) {
      // After a time in which this process stood still (a pause of the machine, SIGSTOP), what hosts
      // have sent lies in the sockets: it is read before anybody is judged by the clock.
      ticker ??= setInterval(() => setImmediate(() => target.tick(nowMs())), tickMs);
      const listener = await listen(target, listenOptions, (gone) => listeners.delete(gone));
      listeners.add(listener);
      return listener;
    },
    close() {
      closing ??= close();
      return closing;
    },
    [Symbol.asyncDispose]: () => running.close(),
  };
  return running;
}

async function listen(
  target: Target,
  { host = "127.0.0.1", port = 4420, ipv6Only = false, discoveryOnly = false, tls }: ListenOptions,
  onGone: (listener: TargetListener) => void,
): Promise<TargetListener> {
  const policy = tls?.policy ?? "off";
  const door: Door = {
    isDiscoveryOnly: discoveryOnly,
    tlsPolicy: policy,
    accept: (transport) => target.accept(transport),
  };
  const undecided = new Undecided(target.limits);
  const keys = new TlsKeys(tls?.keys ?? []);
  const tlsServer = tls ? makeTlsServer(target, door, keys, undecided) : undefined;
  const server = createServer({ pauseOnConnect: true, noDelay: true }, (socket) => {
    if (!tlsServer) {
      servePlain(socket, door);
      return;
    }
    undecided.add(socket);
    if (policy === "required") tlsServer.emit("connection", socket);
    else sniff(socket, target, door, tlsServer, undecided);
  });
  await opened(server, { host, port, ipv6Only });
  const address = server.address();
  const bound = typeof address === "object" && address ? address.port : port;
  const leave = target.addListening({ host, port: bound, tls: policy, discoveryOnly });
  target.log("listening", { host, port: bound, tls: policy });
  let closing: Promise<void> | undefined;
  const listener: TargetListener = {
    host,
    port: bound,
    [Symbol.asyncDispose]() {
      closing ??= new Promise((resolve) => {
        leave();
        onGone(listener);
        undecided.close();
        // Resolves without waiting for connections: they are the target's.
        server.close();
        resolve();
      });
      return closing;
    },
  };
  return listener;
}

function opened(
  server: Server,
  {
    host,
    port,
    ipv6Only,
  }: { readonly host: string; readonly port: number; readonly ipv6Only: boolean },
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", (error: NodeJS.ErrnoException) => reject(listenError(host, port, error)));
  server.listen({ host, port, ipv6Only, backlog }, resolve);
  return promise;
}

const codes: Readonly<Record<string, TargetErrorCode>> = {
  EADDRINUSE: "address-in-use",
  EADDRNOTAVAIL: "address-unavailable",
  EACCES: "denied",
};

function listenError(host: string, port: number, cause: NodeJS.ErrnoException): TargetError {
  const code = codes[cause.code ?? ""] ?? "listen";
  const message = `Cannot listen on ${host}:${port}: ${cause.message}. Choose another address.`;
  return new TargetError(code, message, { cause });
}

function makeTlsServer(target: Target, door: Door, keys: TlsKeys, undecided: Undecided): TlsServer {
  const parties = new WeakMap<TLSSocket, TlsParties>();
  const server = createTlsServer({
    minVersion: "TLSv1.3",
    ciphers: "TLS_AES_128_GCM_SHA256",
    handshakeTimeout: target.limits.halfOpenMs,
    pskCallback: (socket, identity) => {
      const found = keys.find(identity) ?? target.generatedKeys.find(identity, nowMs());
      if (!found) {
        target.log("host-refused", { peer: socket.remoteAddress, reason: "no such TLS key" });
        return null;
      }
      parties.set(socket, { ...found.parties, isGenerated: found.isGenerated });
      return found.psk.key;
    },
  });
  sendNoTickets(server);
  server.on("secureConnection", (socket) => {
    undecided.settle(socket);
    serveStream(socket, door, parties.get(socket));
  });
  server.on("tlsClientError", (error, socket) => {
    target.log("connection-ended", { peer: socket.remoteAddress, reason: error.message });
    socket.destroy();
  });
  return server;
}

/** Tells by its first byte whether a host wants TLS. */
function sniff(
  socket: Socket,
  target: Target,
  door: Door,
  tlsServer: TlsServer,
  undecided: Undecided,
): void {
  const late = setTimeout(() => socket.destroy(), target.limits.halfOpenMs);
  const ignore = () => {};
  socket.on("error", ignore);
  socket.once("close", () => clearTimeout(late));
  socket.once("data", (chunk: Buffer) => {
    clearTimeout(late);
    socket.pause();
    socket.unshift(chunk);
    socket.off("error", ignore);
    if (chunk[0] === tlsHandshake) {
      tlsServer.emit("connection", socket);
      return;
    }
    undecided.settle(socket);
    serveStream(socket, door);
  });
  socket.resume();
}
