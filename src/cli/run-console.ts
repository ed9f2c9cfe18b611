/**
 * The console of the machine that is booted, as `--until text:PATTERN` waits for it and as is shown
 * when a run ends otherwise than was hoped for: a file that grows, a serial line of this machine or
 * behind a TCP port, or the kernel's netconsole.
 */

import { createSocket } from "node:dgram";
import { type EventEmitter, once } from "node:events";
import { constants } from "node:fs";
import { type FileHandle, open, stat } from "node:fs/promises";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { ConsoleLines } from "./console-lines.ts";
import { RefusedError, UsageError } from "./exit.ts";
import { messageOf } from "./outcome.ts";

/** Where a console's text comes from. */
export type ConsoleSource =
  /** What is appended to a file; what comes out of a serial line, a terminal or a pipe. */
  | { readonly kind: "file"; readonly path: string }
  /** A server of serial lines; connected again when it hangs up. */
  | { readonly kind: "tcp"; readonly host: string; readonly port: number }
  /** Datagrams to a port of this machine. */
  | { readonly kind: "udp"; readonly host: string | undefined; readonly port: number };

const fileEveryMs = 200;
/** A serial line's buffer in the kernel is small. */
const lineEveryMs = 20;
/** So long empty, it is looked whether it is there at all. */
const pulledEveryMs = 1000;
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
  readonly #failed = Promise.withResolvers<never>();
  #following: Promise<void> = Promise.resolve();

  private constructor() {
    this.#failed.promise.catch(() => {});
  }

  /**
   * Begins to listen: what was there before does not count.
   * @throws RefusedError when it cannot be listened to.
   */
  static async open(source: ConsoleSource): Promise<RunConsole> {
    const made = new RunConsole();
    const where = source.kind === "file" ? source.path : `${source.kind} port ${source.port}`;
    try {
      const { ended } = await made.#follow(source);
      made.#following = ended.catch((cause: unknown) => {
        const message = `The console at ${where} cannot be listened to any more: ${messageOf(cause)}.`;
        made.#failed.reject(new Error(message, { cause }));
      });
    } catch (error) {
      throw new RefusedError(
        `Cannot listen to the console at ${where}: ${messageOf(error)}. Nothing was booted.`,
      );
    }
    return made;
  }

  /** Rejects with the reason when nothing more can be heard; never resolves. */
  get failed(): Promise<never> {
    return this.#failed.promise;
  }

  /** Resolves with the first line from now on that has a match; rejects as `failed` does. */
  find(pattern: RegExp): Promise<string> {
    return Promise.race([this.#lines.find(pattern), this.failed]);
  }

  /** What it showed last since it was opened. */
  lastLines(): readonly string[] {
    return this.#lines.last();
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
    const file = await open(source.path, withoutWaiting);
    try {
      const found = await file.stat();
      if (found.isDirectory() || found.isBlockDevice()) throw new Error("it is no console");
      if (found.isFile()) return { ended: followFile(file, found.size, take, signal) };
      return { ended: followLine(file, source.path, take, signal) };
    } catch (error) {
      await file.close();
      throw error;
    }
  }
}

/** A pipe is opened though nobody writes to it, and a serial line does not become our terminal. */
const withoutWaiting = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0) | (constants.O_NOCTTY ?? 0);

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

/**
 * What has no places in it that could be read from: a terminal, a serial line, a pipe.
 * @param path where it was found. An adapter that is pulled out reads as empty from then on; plugged in
 *   again it would be a line whose speed nobody has set.
 */
async function followLine(
  file: FileHandle,
  path: string,
  take: Take,
  signal: AbortSignal,
): Promise<void> {
  await using _ = file;
  const buffer = new Uint8Array(fileBytesMax);
  for (let emptyMs = 0; !signal.aborted; ) {
    const bytesRead = await readNow(file, buffer);
    if (bytesRead > 0) {
      emptyMs = 0;
      take(buffer.subarray(0, bytesRead));
      continue;
    }
    await sleep(lineEveryMs, undefined, { signal }).catch(() => {});
    emptyMs += lineEveryMs;
    if (emptyMs % pulledEveryMs === 0 && !(await isStillAt(file, path))) {
      throw new Error("it is not there any more; plug it in and set it up again");
    }
  }
}

async function isStillAt(file: FileHandle, path: string): Promise<boolean> {
  const [own, found] = await Promise.all([file.stat(), stat(path).catch(() => null)]);
  return found !== null && own.dev === found.dev && own.ino === found.ino;
}

/** Bytes that are there now. A pipe to which nobody writes has an end, and none when somebody does. */
async function readNow(file: FileHandle, buffer: Uint8Array): Promise<number> {
  try {
    return (await file.read(buffer, 0, buffer.length, null)).bytesRead;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EAGAIN") return 0;
    throw error;
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
  const failed = new Promise<never>((_, reject) => socket.on("error", reject));
  return { ended: Promise.race([closed(socket), failed]) };
}
