/** Downloads into the cache: nothing gets its final name that is not what was asked for. */
import { stat, unlink } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { ImageError } from "../error.ts";
import type { HttpResponse, Transport } from "./driver-http.ts";
import { type Digest, digestOfFile, openPart, type PartFile } from "./driver-part.ts";
import {
  errorOfFailure,
  errorOfStorage,
  failureOfError,
  failureOfStatus,
  type TryFailure,
} from "./failure.ts";
import { placeBody, resumeHeaders, type Validator, validatorOf } from "./resume.ts";
import { decideRetry, defaultRetryPolicy, firstState, type RetryPolicy } from "./retry.ts";

/** A file that is known by its digest before it is fetched. */
export interface VerifiedFile {
  /** For messages: `the package systemd 257.13-1`. */
  readonly what: string;
  /** Where it may be had, in order of preference; at least one. */
  readonly urls: readonly string[];
  /** Where it goes; the folder is made. */
  readonly path: string;
  readonly sizeBytes: number;
  readonly digest: Digest;
  /** The end of the message when no URL has it. */
  readonly adviceWhenGone: string;
}

/** How to fetch. */
export interface FetchOptions {
  readonly transport: Transport;
  readonly retry?: RetryPolicy;
  /**
   * Hash files that are found in the cache. Without it they are trusted by name and size, since
   * only verified files get such a name, and whoever unpacks them sees every byte anyway.
   */
  readonly verify?: boolean;
  /** Called with how many more bytes there are now; negative when bytes are thrown away. */
  readonly onBytes?: (deltaBytes: number) => void;
  readonly signal?: AbortSignal;
}

/**
 * Sees to it that a file is in the cache, and returns its path.
 *
 * A part that an earlier call left is continued; a cut, a stall or a server's trouble is tried
 * again; wrong bytes are thrown away and fetched once more from the start.
 * @throws ImageError `gone`, `network`, `hash`, `disk-full` or `io`; the signal's reason.
 */
export async function fetchVerified(file: VerifiedFile, options: FetchOptions): Promise<string> {
  const { signal, onBytes } = options;
  signal?.throwIfAborted();
  if (await isCached(file, options.verify === true)) {
    onBytes?.(file.sizeBytes);
    return file.path;
  }
  await using part = await openPart(file.path, file.sizeBytes, file.digest.algorithm);
  onBytes?.(part.haveBytes);
  const discard = async () => {
    onBytes?.(-part.haveBytes);
    await part.discard();
  };
  const policy = options.retry ?? defaultRetryPolicy;
  let state = firstState;
  let validator: Validator | undefined;
  for (;;) {
    const url = file.urls[state.urlIndex]!;
    const haveBytes = part.haveBytes;
    const result = await tryOnce(file, url, part, validator, discard, options);
    if (result.failure === undefined) {
      await part.commit();
      return file.path;
    }
    validator = result.validator;
    const gainedBytes = part.haveBytes - haveBytes;
    const decision = decideRetry(policy, state, result.failure, gainedBytes, file.urls.length);
    if (result.failure.kind === "wrong") {
      await discard();
    }
    state = decision.state;
    if (decision.kind === "give-up") {
      throw errorOfFailure(result.failure, { ...file, url }, state.totalTries);
    }
    if (decision.kind === "again" && decision.delayMs > 0) {
      await pause(decision.delayMs, signal);
    }
  }
}

/** What one try found out; without a failure the part is whole and verified. */
interface TryResult {
  readonly failure?: TryFailure;
  readonly validator?: Validator;
}

async function tryOnce(
  file: VerifiedFile,
  url: string,
  part: PartFile,
  known: Validator | undefined,
  discard: () => Promise<void>,
  options: FetchOptions,
): Promise<TryResult> {
  if (part.haveBytes < file.sizeBytes) {
    let response: HttpResponse;
    try {
      response = await options.transport.get(url, {
        headers: resumeHeaders(part.haveBytes, url, known),
        ...(options.signal === undefined ? {} : { signal: options.signal }),
      });
    } catch (error) {
      options.signal?.throwIfAborted();
      return { failure: failureOfError(error), ...(known && { validator: known }) };
    }
    const failure = await receive(file, response, part, discard, options);
    if (failure !== undefined) {
      const validator = validatorOf(url, response.headers);
      return { failure, ...(validator && { validator }) };
    }
  }
  const found = part.digestHex();
  const { algorithm, hex } = file.digest;
  return found === hex
    ? {}
    : { failure: { kind: "wrong", found: `${algorithm} ${found}`, wanted: `${algorithm} ${hex}` } };
}

async function receive(
  file: VerifiedFile,
  response: HttpResponse,
  part: PartFile,
  discard: () => Promise<void>,
  options: FetchOptions,
): Promise<TryFailure | undefined> {
  const { status, headers, body } = response;
  if (status !== 200 && status !== 206) {
    body.resume();
    if (status === 416) {
      await discard();
    }
    return failureOfStatus(status, String(headers["retry-after"] ?? ""));
  }
  const place = placeBody(status, headers, part.haveBytes, file.sizeBytes);
  if (place.kind === "mismatch") {
    body.destroy();
    return { kind: "wrong", found: place.found, wanted: place.wanted };
  }
  if (place.offsetBytes === 0) {
    await discard();
  }
  try {
    for await (const chunk of body) {
      if (part.haveBytes + chunk.length > file.sizeBytes) {
        const found = `more than ${file.sizeBytes} bytes`;
        return { kind: "wrong", found, wanted: `${file.sizeBytes} bytes` };
      }
      await part.append(chunk);
      options.onBytes?.(chunk.length);
    }
  } catch (error) {
    options.signal?.throwIfAborted();
    if (error instanceof ImageError) {
      throw error;
    }
    return failureOfError(error);
  } finally {
    body.destroy();
  }
  return part.haveBytes === file.sizeBytes
    ? undefined
    : failureOfError(new Error(`the file ended at byte ${part.haveBytes} of ${file.sizeBytes}`));
}

async function isCached(file: VerifiedFile, verify: boolean): Promise<boolean> {
  const { path, sizeBytes, digest } = file;
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) {
    return false;
  }
  try {
    const isWanted =
      found.size === sizeBytes &&
      (!verify || (await digestOfFile(path, digest.algorithm)) === digest.hex);
    if (!isWanted) {
      await unlink(path);
    }
    return isWanted;
  } catch (error) {
    throw errorOfStorage(error, path, 0);
  }
}

/** What to fetch when no digest is known beforehand: a signed file. */
export interface SmallFile {
  readonly what: string;
  readonly url: string;
  /** A longer answer is refused. */
  readonly sizeBytesMax: number;
  readonly adviceWhenGone: string;
}

/**
 * Fetches a small file into memory, past every cache on the way.
 * @throws ImageError `gone`, `network` or `hash` (too long); the signal's reason.
 */
export async function fetchSmall(file: SmallFile, options: FetchOptions): Promise<Uint8Array> {
  const policy = options.retry ?? defaultRetryPolicy;
  let state = firstState;
  for (;;) {
    const result = await trySmall(file, options);
    if (result instanceof Uint8Array) {
      return result;
    }
    const decision = decideRetry(policy, state, result, 0, 1);
    state = decision.state;
    if (decision.kind === "give-up") {
      throw errorOfFailure(result, { ...file, path: "", sizeBytes: 0 }, state.totalTries);
    }
    await pause(decision.kind === "again" ? decision.delayMs : 0, options.signal);
  }
}

async function trySmall(file: SmallFile, options: FetchOptions): Promise<Uint8Array | TryFailure> {
  const { transport, signal } = options;
  try {
    const { status, headers, body } = await transport.get(file.url, {
      headers: { "cache-control": "max-age=0" },
      ...(signal === undefined ? {} : { signal }),
    });
    if (status !== 200) {
      body.resume();
      return failureOfStatus(status, String(headers["retry-after"] ?? ""));
    }
    const chunks: Uint8Array[] = [];
    let sizeBytes = 0;
    for await (const chunk of body) {
      sizeBytes += chunk.length;
      if (sizeBytes > file.sizeBytesMax) {
        body.destroy();
        const found = `more than ${file.sizeBytesMax} bytes`;
        return { kind: "wrong", found, wanted: `at most ${file.sizeBytesMax} bytes` };
      }
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  } catch (error) {
    signal?.throwIfAborted();
    return failureOfError(error);
  }
}

async function pause(delayMs: number, signal: AbortSignal | undefined): Promise<void> {
  await sleep(delayMs, undefined, signal === undefined ? {} : { signal }).catch((error) => {
    signal?.throwIfAborted();
    throw error;
  });
}
