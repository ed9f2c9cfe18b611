/**
 * The console of the machine that is booted, as `--until text:PATTERN` waits for it: a file that
 * grows, a serial line behind a TCP port, or the kernel's netconsole.
 */

import { createSocket } from "node:dgram";
import { type EventEmitter, once } from "node:events";
import { type FileHandle, open } from "node:fs/promises";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { ConsoleLines } from "./console-lines.ts";
import { RefusedError, UsageError } from "./exit.ts";
import { messageOf } from "./outcome.ts";

/** Where a console's text comes from. */
export type ConsoleSource =
  /** What is appended to a file. */
  | { readonly kind: "file"; readonly path: string }
  /** A server of serial lines; connected again when it hangs up. */
  | { readonly kind: "tcp"; readonly host: string; readonly port: number }
  /** Datagrams to a port of this machine. */
  | { readonly kind: "udp"; readonly host: string | undefined; readonly port: number };

const fileEveryMs = 200;
const fileBytesMax = 256 * 1024;
const reconnectMs = 1000;
const connectTimeoutMs = 5000;

/**
 * Reads `--console`.
 * @throws UsageError
 */
export function parseConsole(text: string): ConsoleSource {
  const [, kind, host, digits] = /^(tcp|udp):(?:(.+):)?(\d{1,5})$/.exec(text) ?? [];
  if (kind === undefined) {
    if (/^(tcp|udp):/.test(text) || text === "") {
      throw new UsageError(
        `--console takes FILE, tcp:HOST:PORT or udp:[ADDRESS:]PORT, not "${text}".`,
      );
    }
    return { kind: "file", path: text.replace(/^file:/, "") };
  }
  const port = Number(digits);
  if (port < 1 || port > 65535) throw new UsageError(`There is no port ${digits}.`);
  const address = host?.replace(/^\[(.*)\]$/, "$1");
  if (kind === "udp") return { kind: "udp", host: address, port };
  if (address === undefined) throw new UsageError(`--console tcp: takes a host: tcp:HOST:${port}.`);
  return { kind: "tcp", host: address, port };
}

/** A console that is listened to; disposal ends that. */
export class RunConsole implements AsyncDisposable {
  readonly #stop = new AbortController();
  readonly #lines = new ConsoleLines();
  #following: Promise<void> = Promise.resolve();

  /**
   * Begins to listen: what was there before does not count.
   * @throws RefusedError when it cannot be listened to.
   */
  static async open(source: ConsoleSource): Promise<RunConsole> {
    const made = new RunConsole();
    try {
      made.#following = (await made.#follow(source)).ended;
    } catch (error) {
      const where = source.kind === "file" ? source.path : `${source.kind} port ${source.port}`;
      throw new RefusedError(
        `Cannot listen to the console at ${where}: ${messageOf(error)}. Nothing was booted.`,
      );
    }
    return made;
  }

  /** Resolves with the first line from now on that has a match. */
  find(pattern: RegExp): Promise<string> {
    return this.#lines.find(pattern);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#following;
  }

  /** Resolves when there is something to listen to. */
  async #follow(source: ConsoleSource): Promise<Following> {
    const take = (bytes: Uint8Array) => this.#lines.push(bytes);
    const { signal } = this.#stop;
    if (source.kind === "udp") return await followDatagrams(source, take, signal);
    if (source.kind === "tcp") return await followStream(source, take, signal);
    const file = await open(source.path);
    const { size } = await file.stat();
    return { ended: followFile(file, size, take, signal) };
  }
}

/** Bytes are taken until the signal aborts. */
interface Following {
  readonly ended: Promise<void>;
}

type Take = (bytes: Uint8Array) => void;

/** What comes after `from`; of a file that is cut short, all. */
async function followFile(
  file: FileHandle,
  from: number,
  take: Take,
  signal: AbortSignal,
): Promise<void> {
  await using _ = file;
  const buffer = new Uint8Array(fileBytesMax);
  for (let at = from; !signal.aborted; ) {
    if ((await file.stat()).size < at) at = 0;
    const { bytesRead } = await file.read(buffer, 0, buffer.length, at);
    at += bytesRead;
    if (bytesRead > 0) take(buffer.subarray(0, bytesRead));
    else await sleep(fileEveryMs, undefined, { signal }).catch(() => {});
  }
}

async function followStream(
  { host, port }: { readonly host: string; readonly port: number },
  take: Take,
  signal: AbortSignal,
): Promise<Following> {
  const open = async () => {
    const socket = connect({ host, port, signal });
    // Its end is told by `close`.
    socket.on("error", () => {});
    const late = AbortSignal.timeout(connectTimeoutMs);
    await once(socket, "connect", { signal: AbortSignal.any([late, signal]) }).catch((error) => {
      socket.destroy();
      throw error;
    });
    return socket.on("data", take);
  };
  const first = await open();
  const goOn = async () => {
    let socket: typeof first | null = first;
    while (!signal.aborted) {
      if (socket !== null) await closed(socket);
      await sleep(reconnectMs, undefined, { signal }).catch(() => {});
      socket = signal.aborted ? null : await open().catch(() => null);
    }
  };
  return { ended: goOn() };
}

/** How it was closed is of no interest. */
function closed(socket: EventEmitter & { readonly closed?: boolean }): Promise<void> {
  return new Promise((resolve) => {
    if (socket.closed) resolve();
    socket.once("close", () => resolve());
  });
}

async function followDatagrams(
  { host, port }: { readonly host: string | undefined; readonly port: number },
  take: Take,
  signal: AbortSignal,
): Promise<Following> {
  const type = host?.includes(":") ? "udp6" : "udp4";
  const socket = createSocket({ type, signal });
  socket.on("message", take);
  socket.bind({ port, ...(host === undefined ? {} : { address: host }) });
  await once(socket, "listening");
  return { ended: closed(socket) };
}
