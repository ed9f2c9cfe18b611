/**
 * Images on web servers: read as they come, and continued with Range where a connection was cut,
 * provided that the server says it is still the same file (RFC 9110 sections 13 and 14).
 */

import { Agent as HttpAgent, get as httpGet, type IncomingMessage } from "node:http";
import { Agent as HttpsAgent, get as httpsGet } from "node:https";
import { setTimeout as sleep } from "node:timers/promises";
import type { CallOptions } from "../../block/index.ts";
import { FlashError, reasonOf } from "../error.ts";
import type { ByteSource, RandomSource } from "./byte-source.ts";

/** How patient a download is. */
export interface HttpOptions extends CallOptions {
  /** Pauses before each new try; bytes that come start the count anew. */
  readonly retryDelaysMs?: readonly number[];
  /** A connection that brings nothing for this long is given up. */
  readonly stallTimeoutMs?: number;
}

const retryDelaysDefaultMs = [500, 1000, 2000, 5000, 10_000];
const stallTimeoutDefaultMs = 30_000;
const redirectsMax = 5;

/** What the server says of the file's state. */
interface RemoteFile {
  readonly url: URL;
  readonly sizeBytes: number | undefined;
  /** A strong ETag, or a date. */
  readonly validator: string | undefined;
  readonly hasRanges: boolean;
}

/**
 * Opens the file at `url`.
 * @throws FlashError `source-missing` when the server does not have it, `network`.
 */
export async function openHttpSource(url: string, options: HttpOptions = {}): Promise<ByteSource> {
  const client = new Client(options);
  const first = await client.persist(url, () => client.get(new URL(url), {}, options.signal));
  const file = describe(first);
  const source = new HttpSource(url, file, client, first.message);
  return file.hasRanges && file.sizeBytes !== undefined
    ? new RandomHttpSource(url, file, client, first.message)
    : source;
}

/**
 * A small file beside another, whole; undefined when the server does not have it.
 * @throws FlashError `network`, or `sidecar` when it is longer than `bytesMax`.
 */
export async function fetchSmallFile(
  url: string,
  bytesMax: number,
  options: HttpOptions = {},
): Promise<Uint8Array | undefined> {
  const client = new Client(options);
  return await client.persist(url, async () => {
    const response = await client.get(new URL(url), {}, options.signal).catch((error: unknown) => {
      if (error instanceof FlashError && error.code === "source-missing") return undefined;
      throw error;
    });
    return response && (await readWhole(response.message, url, bytesMax));
  });
}

async function readWhole(
  message: IncomingMessage,
  url: string,
  bytesMax: number,
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of message as AsyncIterable<Uint8Array>) {
    length += chunk.byteLength;
    if (length > bytesMax) {
      throw new FlashError(
        "sidecar",
        `Cannot use ${shown(url)}: it is longer than ${bytesMax} bytes.`,
      );
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

interface Response {
  readonly url: URL;
  readonly message: IncomingMessage;
}

/** One GET after the other, with what they share. */
class Client {
  readonly retryDelaysMs: readonly number[];
  readonly #stallTimeoutMs: number;
  readonly #signal: AbortSignal | undefined;
  readonly #agents = { proxyEnv: process.env, keepAlive: false };

  constructor({ retryDelaysMs, stallTimeoutMs, signal }: HttpOptions) {
    this.retryDelaysMs = retryDelaysMs ?? retryDelaysDefaultMs;
    this.#stallTimeoutMs = stallTimeoutMs ?? stallTimeoutDefaultMs;
    this.#signal = signal;
  }

  /** Tries again what failed on the way. */
  async persist<T>(url: string, step: () => Promise<T>): Promise<T> {
    for (let tries = 0; ; tries++) {
      try {
        return await step();
      } catch (error) {
        if (error instanceof FlashError || this.#signal?.aborted) throw error;
        await this.pause(url, tries, error);
      }
    }
  }

  /** Waits before another try; throws when there were enough. */
  async pause(url: string, tries: number, error: unknown): Promise<void> {
    const delay = this.retryDelaysMs[tries];
    if (delay === undefined) {
      throw new FlashError(
        "network",
        `Cannot read ${shown(url)}: ${reasonOf(error)} (tried ${tries + 1} times). ` +
          "Check the connection and start again.",
        { url: shown(url), tries: tries + 1 },
        { cause: error },
      );
    }
    await sleep(delay, undefined, this.#signal ? { signal: this.#signal } : {});
  }

  async get(from: URL, headers: Record<string, string>, signal?: AbortSignal): Promise<Response> {
    let url = from;
    for (let redirects = 0; ; redirects++) {
      const message = await this.#request(url, headers, signal ?? this.#signal);
      const { location } = message.headers;
      const status = message.statusCode ?? 0;
      if (![301, 302, 303, 307, 308].includes(status) || location === undefined) {
        refuseStatus(message, url);
        return { url, message };
      }
      message.destroy();
      const next = new URL(location, url);
      if (redirects === redirectsMax || (url.protocol === "https:" && next.protocol !== "https:")) {
        throw new FlashError(
          "source-missing",
          `Cannot read ${shown(from.href)}: it leads to ${shown(next.href)}, ` +
            "after too many turns or out of a secure connection. Give the last address itself.",
        );
      }
      url = next;
    }
  }

  #request(
    url: URL,
    headers: Record<string, string>,
    signal: AbortSignal | undefined,
  ): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const isSecure = url.protocol === "https:";
      const agent = isSecure ? new HttpsAgent(this.#agents) : new HttpAgent(this.#agents);
      const pending = (isSecure ? httpsGet : httpGet)(url, {
        agent,
        headers: { "user-agent": "diskomator", "accept-encoding": "identity", ...headers },
        timeout: this.#stallTimeoutMs,
        ...(signal ? { signal } : {}),
      });
      let message: IncomingMessage | undefined;
      const onTimeout = () => {
        if (message && message.readableLength > 0) {
          // It came, and nobody has fetched it: a disk is slow, or a person thinks about an answer.
          message.socket.once("timeout", onTimeout).setTimeout(this.#stallTimeoutMs);
          return;
        }
        const error = new Error(`nothing came for ${this.#stallTimeoutMs / 1000} s`);
        (message ?? pending).destroy(error);
      };
      pending.on("timeout", onTimeout);
      pending.on("error", (error) => reject(signal?.aborted ? signal.reason : error));
      pending.on("response", (response) => {
        message = response;
        resolve(response);
      });
    });
  }
}

/** Throws for answers that are not the file: a FlashError where another try is of no use. */
function refuseStatus(message: IncomingMessage, url: URL): void {
  const status = message.statusCode ?? 0;
  if (status === 200 || status === 206) return;
  message.destroy();
  if (status >= 500 || status === 408 || status === 429) {
    throw new Error(`the server answers with status ${status}`);
  }
  throw new FlashError(
    "source-missing",
    `Cannot read ${shown(url.href)}: the server answers with status ${status}. Check the address.`,
    { url: shown(url.href), status },
  );
}

function describe({ url, message }: Response): RemoteFile {
  const { etag, "last-modified": date, "content-length": length } = message.headers;
  const encoding = message.headers["content-encoding"] ?? "identity";
  if (encoding !== "identity") {
    message.destroy();
    throw new FlashError(
      "format",
      `Cannot use ${shown(url.href)}: the server packs it as ${encoding} on the way. ` +
        "Download it by other means first.",
    );
  }
  const validator = etag?.startsWith('"') ? etag : date;
  return {
    url,
    sizeBytes: length === undefined ? undefined : Number(length),
    validator,
    hasRanges: message.headers["accept-ranges"] === "bytes" && validator !== undefined,
  };
}

class HttpSource implements ByteSource {
  readonly sizeBytes: number | undefined;
  protected readonly name: string;
  protected readonly file: RemoteFile;
  protected readonly client: Client;
  #message: IncomingMessage;
  #chunks: AsyncIterator<Uint8Array>;
  #chunk: Uint8Array = new Uint8Array();
  #at = 0;
  #tries = 0;
  #isClosed = false;

  constructor(name: string, file: RemoteFile, client: Client, message: IncomingMessage) {
    this.name = name;
    this.file = file;
    this.client = client;
    this.sizeBytes = file.sizeBytes;
    this.#message = message;
    this.#chunks = message[Symbol.asyncIterator]();
  }

  get state(): string | undefined {
    const { validator, sizeBytes } = this.file;
    return validator === undefined ? undefined : `${validator} ${sizeBytes}`;
  }

  async read(target: Uint8Array, options?: CallOptions): Promise<number> {
    while (this.#chunk.byteLength === 0) {
      options?.signal?.throwIfAborted();
      try {
        const next = await this.#chunks.next();
        if (next.done) return this.#end();
        this.#chunk = next.value;
        this.#tries = 0;
      } catch (error) {
        options?.signal?.throwIfAborted();
        if (this.#isClosed) throw error;
        await this.#continue(error);
      }
    }
    const length = Math.min(target.byteLength, this.#chunk.byteLength);
    target.set(this.#chunk.subarray(0, length));
    this.#chunk = this.#chunk.subarray(length);
    this.#at += length;
    return length;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    this.#message.destroy();
  }

  #end(): number {
    if (this.sizeBytes === undefined || this.#at === this.sizeBytes) return 0;
    throw new FlashError(
      "truncated",
      `Cannot use ${shown(this.name)}: the server announced ${this.sizeBytes} bytes and sent ` +
        `${this.#at}. Start again.`,
      { url: shown(this.name), wantedBytes: this.sizeBytes, foundBytes: this.#at },
    );
  }

  /** After a cut: asks for the rest, until it comes or there were enough tries. */
  async #continue(cause: unknown): Promise<void> {
    for (let error = cause; ; ) {
      await this.client.pause(this.name, this.#tries++, error);
      try {
        const message = await getRange(this.file, this.client, this.name, this.#at);
        this.#message = message;
        this.#chunks = message[Symbol.asyncIterator]();
        return;
      } catch (again) {
        if (again instanceof FlashError) throw again;
        error = again;
      }
    }
  }
}

/** A file of a server that takes ranges. */
class RandomHttpSource extends HttpSource implements RandomSource {
  override readonly sizeBytes: number;

  constructor(name: string, file: RemoteFile, client: Client, message: IncomingMessage) {
    super(name, file, client, message);
    this.sizeBytes = file.sizeBytes ?? 0;
  }

  async readAt(offsetBytes: number, target: Uint8Array, options?: CallOptions): Promise<number> {
    const endBytes = Math.min(this.sizeBytes, offsetBytes + target.byteLength);
    if (endBytes <= offsetBytes) return 0;
    return await this.client.persist(this.name, async () => {
      options?.signal?.throwIfAborted();
      const message = await getRange(this.file, this.client, this.name, offsetBytes, endBytes);
      let done = 0;
      for await (const chunk of message as AsyncIterable<Uint8Array>) {
        const part = chunk.subarray(0, target.byteLength - done);
        target.set(part, done);
        done += part.byteLength;
      }
      if (done !== endBytes - offsetBytes) throw new Error(`${done} bytes came of a range`);
      return done;
    });
  }
}

/** Opens a range of the file as it was when it was opened. */
async function getRange(
  file: RemoteFile,
  client: Client,
  name: string,
  fromBytes: number,
  endBytes?: number,
): Promise<IncomingMessage> {
  const changed = (found: string) =>
    new FlashError(
      "source-changed",
      `Cannot go on with ${shown(name)} at byte ${fromBytes}: ${found}. Start again.`,
      { url: shown(name), offsetBytes: fromBytes },
    );
  if (file.validator === undefined) {
    throw changed("the connection was cut, and the server does not say whether the file changed");
  }
  const range = `bytes=${fromBytes}-${endBytes === undefined ? "" : endBytes - 1}`;
  const { message } = await client.get(file.url, { range, "if-range": file.validator });
  const placed = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(message.headers["content-range"] ?? "");
  const total = placed?.[2];
  const isSame = total === "*" || file.sizeBytes === undefined || Number(total) === file.sizeBytes;
  if (message.statusCode === 206 && placed && Number(placed[1]) === fromBytes && isSame) {
    return message;
  }
  message.destroy();
  throw changed("the connection was cut, and the server has another file now, or no ranges");
}

/** A URL without the password in it. */
function shown(url: string): string {
  const parsed = new URL(url);
  parsed.username = "";
  parsed.password = "";
  return parsed.href;
}
