/**
 * ssh as a child process, with an RpcClient at its pipes. A connection to a box starts a process
 * there and does the first half of a login's work, so none is made only to see who answers: ssh
 * itself says when it is connected.
 */

import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";
import { RpcClient, RpcError, sshSubsystem } from "../rpc/index.ts";
import { BoxError } from "./error.ts";
import { type SshTarget, SshWords, sshArguments, sshError } from "./ssh.ts";
import { unreachableError } from "./unreachable.ts";

/** Program and first arguments. */
export type SshProgram = readonly [string, ...string[]];

/** How long an address may take to accept a connection, once ssh has started. */
const connectMs = 1500;
/** The next address is tried when the one before has not accepted by then. */
const staggerMs = 250;
/** What ssh has left to end by itself after its input has ended. */
const endMs = 2000;

/** ssh's process, joined to a box's control channel. */
export class SshChannel {
  readonly target: SshTarget;
  readonly client: RpcClient;
  /** Resolves once the box accepts the connection; rejects as `ended` does, or when it does not. */
  readonly connected: Promise<void>;
  /** Rejects with what it means that ssh has ended. */
  readonly ended: Promise<never>;
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #closed: Promise<void>;
  #isClosing = false;

  constructor(target: SshTarget, [program, ...first]: SshProgram) {
    this.target = target;
    const args = [...first, ...sshArguments(target, { subsystem: sshSubsystem })];
    const child = spawn(program, args, { stdio: "pipe" });
    this.#child = child;
    this.client = new RpcClient((line) => void child.stdin.write(line));
    // What cannot be written any more is told by the process's end.
    child.stdin.on("error", () => {});
    const connected = Promise.withResolvers<void>();
    this.connected = connected.promise;
    this.connected.catch(() => {});
    child.stdout.on("data", (chunk: Uint8Array) => {
      connected.resolve();
      this.client.receive(chunk);
    });
    const words = new SshWords();
    const tooLate = (): void => connected.reject(silence(target));
    let late = setTimeout(tooLate, target.connectTimeoutSeconds * 1000);
    child.stderr.setEncoding("utf8");
    child.stderr.once("data", () => {
      clearTimeout(late);
      late = setTimeout(tooLate, connectMs);
    });
    child.stderr.on("data", (text: string) => {
      words.add(text);
      if (words.isConnected) connected.resolve();
    });
    void this.connected.then(
      () => clearTimeout(late),
      () => clearTimeout(late),
    );
    const closed = Promise.withResolvers<void>();
    this.#closed = closed.promise;
    const ended = Promise.withResolvers<never>();
    this.ended = ended.promise;
    this.ended.catch(() => {});
    const end = (error: BoxError): void => {
      connected.reject(error);
      ended.reject(error);
      this.client.close();
      closed.resolve();
    };
    child.once("error", (cause) => end(startError(program, cause)));
    child.once("close", (code) => end(sshError(target, words.complaints, code)));
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

  /** Ends it at once: nothing was said yet. */
  async drop(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.close();
  }
}

/**
 * Connects to the first of several addresses that accepts; each is tried a moment after the one
 * before. The others are dropped.
 * @throws BoxError: what is wrong other than that nobody accepts, or `unreachable`; the signal's reason.
 */
export async function connectFirst(
  name: string,
  targets: readonly SshTarget[],
  program: SshProgram,
  signal: AbortSignal = new AbortController().signal,
): Promise<SshChannel> {
  const isFound = new AbortController();
  const stop = AbortSignal.any([signal, isFound.signal]);
  const tried: SshChannel[] = [];
  let winner: SshChannel | null = null;
  const tries = targets.map(async (target, index) => {
    if (index > 0) await sleep(index * staggerMs, undefined, { signal: stop });
    stop.throwIfAborted();
    const channel = new SshChannel(target, program);
    tried.push(channel);
    await orAborted(channel.connected, signal);
    return channel;
  });
  try {
    winner = await Promise.any(tries);
    return winner;
  } catch (error) {
    signal.throwIfAborted();
    throw whyNobody(name, targets, error instanceof AggregateError ? error.errors : []);
  } finally {
    isFound.abort();
    await Promise.all(tried.filter((one) => one !== winner).map((one) => one.drop()));
  }
}

async function orAborted(promise: Promise<void>, signal: AbortSignal): Promise<void> {
  const aborted = Promise.withResolvers<never>();
  const abort = (): void => aborted.reject(signal.reason);
  if (signal.aborted) abort();
  signal.addEventListener("abort", abort, { once: true });
  try {
    await Promise.race([promise, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}

/** What goes wrong with ssh itself, or with who answers, counts more than who does not answer. */
function whyNobody(
  name: string,
  targets: readonly SshTarget[],
  errors: readonly unknown[],
): unknown {
  const isAbsence = (error: unknown): boolean =>
    error instanceof BoxError && (error.code === "unreachable" || error.code === "timeout");
  const other = errors.find((error) => !isAbsence(error));
  if (other !== undefined) return other;
  const vain = targets.map(({ address, port }, index) => {
    const error = errors[index];
    return { address, port, fault: error instanceof BoxError ? faultOf(error) : "failed", error };
  });
  return unreachableError(name, vain);
}

const faults: readonly [pattern: RegExp, words: string][] = [
  [/refused/i, "refused"],
  [/no route|unreachable/i, "no route"],
  [/could not resolve|not known/i, "no such host"],
];

function faultOf({ message, facts }: BoxError): string {
  const said = typeof facts.ssh === "string" ? facts.ssh.trim() : "";
  return faults.find(([pattern]) => pattern.test(said))?.[1] ?? (said || message);
}

function silence({ name, address, port }: SshTarget): BoxError {
  const message = `no answer within ${connectMs} ms`;
  return new BoxError("unreachable", message, { box: name, address, port });
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
