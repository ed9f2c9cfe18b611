/**
 * The control channel's end on the box: a socket that only root can open, to which sshd's subsystem
 * joins whoever has logged in.
 */
import { chmodSync, mkdirSync, rmSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { dirname } from "node:path";
import { type Handlers, idleMs, RpcError, RpcSession, sessionsMax } from "../rpc/index.ts";
import type { Log } from "./log.ts";

/** What a server is made from. */
export interface RpcServerOptions {
  readonly path: string;
  readonly handlers: Handlers;
  readonly log: Log;
  /** Something is wrong with the socket; null when it is well again. */
  readonly told: (problem: string | null) => void;
}

/** How often sessions are looked through for idle ones. */
const idleLookMs = 60_000;

/** Serves until the signal aborts; open sessions end then. */
export function serveRpc(options: RpcServerOptions, signal: AbortSignal): void {
  const { path, told } = options;
  const sessions = new Set<Socket>();
  let count = 0;
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    if (sessions.size >= sessionsMax) {
      options.log("session", { session: null, end: "too many sessions" });
      refuseSession(socket, options);
      return;
    }
    count += 1;
    sessions.add(socket);
    socket.on("close", () => sessions.delete(socket));
    void serveSession(socket, count, options);
  });
  server.on("error", (error) => told(`The control channel does not work: ${error.message}`));
  signal.addEventListener(
    "abort",
    () => {
      server.close();
      for (const socket of sessions) socket.destroy();
    },
    { once: true },
  );
  mkdirSync(dirname(path), { recursive: true });
  rmSync(path, { force: true });
  // To connect is to write to the socket: by systemd's umask of 022 root alone may, from its birth.
  server.listen(path, () => {
    chmodSync(path, 0o600);
    told(null);
  });
}

/** Serves one session to its end; never rejects. */
async function serveSession(socket: Socket, id: number, options: RpcServerOptions): Promise<void> {
  const { handlers, log } = options;
  const session = new RpcSession({
    handlers,
    write: (line) => send(socket, line),
    onCall: (method, code, message) => {
      const error = code === null ? {} : { code, error: message.slice(0, 200) };
      log("call", { session: id, method, ...error });
    },
  });
  let lastMs = performance.now();
  const idle = setInterval(() => {
    if (session.isIdle && performance.now() - lastMs > idleMs) session.close();
  }, idleLookMs);
  socket.on("error", () => session.close());
  socket.on("close", () => session.close());
  void session.ended.then((end) => {
    clearInterval(idle);
    if (end !== "closed") log("session", { session: id, end });
    // What was answered last still gets there.
    socket.end();
    setTimeout(() => socket.destroy(), lingerMs).unref();
  });
  try {
    // Leaving this loop, by its end or by an error, is the end of what the client says.
    for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
      lastMs = performance.now();
      await session.receive(chunk as Buffer);
    }
  } catch {
    // The socket's `error` event has ended the session.
  }
  await session.drained();
  session.close();
}

/** Says why a session too many ends, to the first that is asked: a client sees only that it does. */
function refuseSession(socket: Socket, { handlers }: RpcServerOptions): void {
  const refuse = async (): Promise<never> => {
    const message =
      `The box has ${sessionsMax} sessions, as many as it takes: each command has one. End some, ` +
      "or try again later.";
    throw new RpcError("limit", message, { sessions: sessionsMax });
  };
  const refusing: { -readonly [M in keyof Handlers]: Handlers[M] } = { ...handlers };
  for (const name of Object.keys(refusing) as (keyof Handlers)[]) refusing[name] = refuse;
  const session = new RpcSession({
    handlers: refusing,
    write: async (line) => {
      await send(socket, line);
      session.close();
    },
  });
  const late = setTimeout(() => session.close(), lingerMs);
  socket.on("error", () => session.close());
  socket.on("close", () => session.close());
  socket.on("data", (chunk: Buffer) => void session.receive(chunk));
  void session.ended.then(() => {
    clearTimeout(late);
    socket.end();
    setTimeout(() => socket.destroy(), lingerMs).unref();
  });
}

/** How long a closed session's last answers may take. */
const lingerMs = 5000;

/** Resolves when the socket has taken the line and has room again. */
function send(socket: Socket, line: string): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.write(line, (error) => {
      if (error) reject(error);
      else resolve();
    });
  });
}
