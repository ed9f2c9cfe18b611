/** A session with a box: the system's ssh as a child process, `rpc` over its pipes. */

import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { connect } from "node:net";
import {
  type BoxDescription,
  type CallParams,
  describeVersionGap,
  type Item,
  type MethodName,
  type Result,
  RpcClient,
  RpcError,
  rpcVersion,
  type StreamingMethod,
  sshSubsystem,
} from "../rpc/index.ts";
import type { Home } from "./driver-home.ts";
import { BoxError } from "./error.ts";
import type { Place } from "./place.ts";
import { type SshTarget, sshArguments, sshError } from "./ssh.ts";

/** How to reach a box. */
export interface ReachOptions {
  readonly home: Pick<Home, "identities" | "knownHosts" | "imageKeys">;
  readonly signal?: AbortSignal;
  /** How long connecting, logging in and the first answer may take; 30 s unless given. */
  readonly timeoutMs?: number;
  /** Program and first arguments in place of `ssh`. */
  readonly program?: readonly [string, ...string[]];
}

/** How long an address may take to accept a connection, while there are others to try. */
const probeMs = 1500;
const timeoutDefaultMs = 30_000;
/** Of what ssh says the last bytes are kept. */
const complaintBytesMax = 8192;
/** What ssh has left to end by itself after its input has ended. */
const endMs = 2000;

/** An open control channel; disposal ends it. */
export class BoxSession implements AsyncDisposable {
  readonly place: Place;
  /** The address that answered. */
  readonly address: string;
  /** What the box said of itself at the beginning. */
  readonly description: BoxDescription;
  readonly #channel: Channel;

  constructor(place: Place, channel: Channel, description: BoxDescription) {
    this.place = place;
    this.address = channel.target.address;
    this.description = description;
    this.#channel = channel;
  }

  /** Rejects when the channel has ended, never resolves. */
  get ended(): Promise<never> {
    return this.#channel.ended;
  }

  /**
   * Calls a method of the box.
   * @throws RpcError, the signal's reason, BoxError when the channel has ended.
   */
  call<M extends Exclude<MethodName, StreamingMethod>>(
    method: M,
    params: CallParams<M>,
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<Result<M>> {
    return this.#channel.whileOpen(this.#channel.client.call(method, params, options));
  }

  /** Calls a method that streams; as `call`. */
  stream<M extends StreamingMethod>(
    method: M,
    params: Omit<CallParams<M>, "stream">,
    onItem: (item: Item<M>) => void,
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<Result<M>> {
    return this.#channel.whileOpen(this.#channel.client.stream(method, params, onItem, options));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#channel.close();
  }
}

/**
 * Opens a session: finds the address that answers, logs in, asks who it is.
 * @throws BoxError, or the signal's reason.
 */
export async function openSession(place: Place, options: ReachOptions): Promise<BoxSession> {
  const { signal, timeoutMs = timeoutDefaultMs } = options;
  signal?.throwIfAborted();
  const address = await findAddress(place, signal);
  const target = sshTargetOf(place, address, options.home, timeoutMs);
  const channel = new Channel(target, options.program ?? ["ssh"]);
  try {
    const late = AbortSignal.timeout(timeoutMs);
    const ends = signal ? AbortSignal.any([signal, late]) : late;
    const description = await describe(channel, ends, signal, timeoutMs);
    const gap = describeVersionGap(description.rpc, description.name);
    if (gap !== null) {
      const facts = { box: description.name, found: description.rpc, wanted: rpcVersion };
      throw new BoxError("version", gap, facts);
    }
    return new BoxSession(place, channel, description);
  } catch (error) {
    await channel.close();
    throw error;
  }
}

/** What ssh is told about a box. */
export function sshTargetOf(
  place: Place,
  address: string,
  home: ReachOptions["home"],
  timeoutMs: number = timeoutDefaultMs,
): SshTarget {
  return {
    name: place.name,
    address,
    port: place.sshPort,
    // What is in a name could mean something in the file of host keys.
    hostKeyAlias: place.name.replace(/[^\w.:%-]/g, "_"),
    identities: home.identities,
    knownHosts: home.knownHosts,
    isNewKeyAccepted: home.imageKeys.length === 0,
    connectTimeoutSeconds: Math.ceil(timeoutMs / 1000),
  };
}

/**
 * The address that accepts a connection first; all are tried at once.
 * @throws BoxError `unreachable`, or the signal's reason.
 */
export async function findAddress(place: Place, signal?: AbortSignal): Promise<string> {
  const { name, addresses, sshPort } = place;
  const found = new AbortController();
  const signals = [found.signal, AbortSignal.timeout(probeMs), ...(signal ? [signal] : [])];
  const ends = AbortSignal.any(signals);
  const faults = new Map<string, string>();
  const tries = addresses.map(async (address) => {
    const fault = await accepts(address, sshPort, ends);
    if (fault === null) return address;
    faults.set(address, `${address} port ${sshPort}: ${fault}`);
    throw new Error(fault);
  });
  try {
    return await Promise.any(tries);
  } catch {
    signal?.throwIfAborted();
    const words = addresses.map((address) => faults.get(address)).join("; ");
    throw new BoxError(
      "unreachable",
      `Cannot reach ${name}: ${words || "no address of it is known"}. ` +
        "Check that it is on and booted from an image with SSH, and its address.",
      { box: name, addresses, port: sshPort },
    );
  } finally {
    found.abort();
  }
}

/** Why an address does not accept a connection; null when it does. */
async function accepts(host: string, port: number, signal: AbortSignal): Promise<string | null> {
  const socket = connect({ host, port });
  try {
    return await new Promise<string | null>((resolve) => {
      socket.once("connect", () => resolve(null));
      socket.once("error", (error: NodeJS.ErrnoException) => resolve(faultOf(error)));
      const giveUp = (): void => resolve(`no answer within ${probeMs} ms`);
      if (signal.aborted) giveUp();
      signal.addEventListener("abort", giveUp, { once: true });
    });
  } finally {
    socket.on("error", () => {});
    socket.destroy();
  }
}

function faultOf({ code, message }: NodeJS.ErrnoException): string {
  const words: Readonly<Record<string, string>> = {
    ECONNREFUSED: "refused",
    EHOSTUNREACH: "no route",
    ENETUNREACH: "no route",
    ENOTFOUND: "no such host",
    EAI_AGAIN: "no such host",
  };
  return words[code ?? ""] ?? (message || "failed");
}

async function describe(
  channel: Channel,
  ends: AbortSignal,
  signal: AbortSignal | undefined,
  timeoutMs: number,
): Promise<BoxDescription> {
  try {
    const asked = channel.client.call("describe", {}, { signal: ends });
    return await channel.whileOpen(asked);
  } catch (error) {
    signal?.throwIfAborted();
    if (!ends.aborted) throw error;
    const { name, address } = channel.target;
    throw new BoxError(
      "timeout",
      `${name} at ${address} accepts connections but did not answer within ` +
        `${Math.ceil(timeoutMs / 1000)} s. It may still be booting: try again.`,
      { box: name, address, timeoutMs },
      { cause: error },
    );
  }
}

/** ssh's process, with an RpcClient at its pipes. */
class Channel {
  readonly target: SshTarget;
  readonly client: RpcClient;
  /** Rejects with what it means that ssh has ended. */
  readonly ended: Promise<never>;
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #closed: Promise<void>;
  #isClosing = false;

  constructor(target: SshTarget, [program, ...first]: readonly [string, ...string[]]) {
    this.target = target;
    const args = [...first, ...sshArguments(target, { subsystem: sshSubsystem })];
    const child = spawn(program, args, { stdio: "pipe" });
    this.#child = child;
    this.client = new RpcClient((line) => void child.stdin.write(line));
    // What cannot be written any more is told by the process's end.
    child.stdin.on("error", () => {});
    child.stdout.on("data", (chunk: Uint8Array) => this.client.receive(chunk));
    let stderr = "";
    child.stderr.setEncoding("utf8");
    child.stderr.on("data", (text: string) => {
      stderr = (stderr + text).slice(-complaintBytesMax);
    });
    const closed = Promise.withResolvers<void>();
    this.#closed = closed.promise;
    const ended = Promise.withResolvers<never>();
    this.ended = ended.promise;
    this.ended.catch(() => {});
    const end = (error: BoxError): void => {
      ended.reject(error);
      this.client.close();
      closed.resolve();
    };
    child.once("error", (cause) => end(startError(program, cause)));
    child.once("close", (code) => end(sshError(target, stderr, code)));
  }

  /** What a call gives; that the channel has ended says more than the call does then. */
  async whileOpen<T>(call: Promise<T>): Promise<T> {
    try {
      return await call;
    } catch (error) {
      if (this.#isClosing || !(error instanceof RpcError) || error.code !== "closed") throw error;
      return await this.ended;
    }
  }

  async close(): Promise<void> {
    this.#isClosing = true;
    this.client.close();
    this.#child.stdin.end();
    const kill = setTimeout(() => this.#child.kill("SIGKILL"), endMs);
    await this.#closed;
    clearTimeout(kill);
  }
}

function startError(program: string, cause: NodeJS.ErrnoException): BoxError {
  const what = cause.code === "ENOENT" ? "it is not installed" : cause.message;
  return new BoxError(
    "no-ssh",
    `Cannot run ${program}: ${what}. Install the OpenSSH client; "diskomator doctor" says how.`,
    { program },
    { cause },
  );
}
