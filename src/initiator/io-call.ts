/**
 * One I/O command until it is done: it outlives the queue that it was sent on, is repeated when its
 * failure passes, and is sent again after a reconnect where that does no harm.
 */

import type { CallOptions } from "../block/index.ts";
import {
  type Command,
  type Completion,
  isTransient,
  type Status,
  type StatusName,
} from "../nvme/index.ts";
import type { Call, Channel } from "./channel.ts";
import { completionError, InitiatorError } from "./error.ts";
import type { Transfer } from "./transfer.ts";
import type { InitiatorLog } from "./transport.ts";

/** How often a command is repeated that failed for a reason that passes. */
const retriesMax = 3;
/** Between looks at whether paths to a namespace have changed over. */
const transitionPauseMs = 500;
/** How often a command is sent again that was under way when a connection was lost: one that is
 * itself the reason must not go on for ever. */
export const interruptionsMax = 8;

/** Where I/O calls go: a controller, over all of its associations. */
export interface IoPath {
  readonly peer: string;
  readonly log: InitiatorLog;
  /** Counts the associations; a call bears the number of the one that it was sent on last. */
  readonly epoch: number;
  /** Sends a call now, or once there is a connection again, or fails it. */
  submit(call: IoCall): void;
  /** Nobody waits for `call`; `released` is called once its buffer is free. */
  abandon(call: IoCall, released: () => void): void;
  /** True while a call that lost its connection may go on over another one. */
  readonly goesOn: boolean;
  /** How long paths may take to change over, in milliseconds (ANATT). */
  readonly transitionMs: number;
  /** The delay in milliseconds that the controller means by CRD, 0 to 3. */
  retryDelayMs(crd: number): number;
  /** Resolves after `durationMs`, or sooner where no call goes anywhere any more. */
  pause(durationMs: number): Promise<void>;
}

/** How one I/O call behaves. */
export interface IoCallOptions extends CallOptions {
  readonly timeoutMs: number;
  /** Doing it twice is as good as once; it is sent again after a reconnect. */
  readonly isIdempotent: boolean;
  /** Why it must not be sent again, where there is a reason by then. */
  readonly refusal?: (transfer: Transfer) => InitiatorError | undefined;
}

/** One I/O command, and the promise of its completion. */
export class IoCall implements Call {
  readonly command: Command;
  readonly transfer: Transfer;
  readonly timeoutMs: number;
  /** Where it was sent last. */
  channel: Channel | undefined;
  /** The association that it was sent on last. */
  epoch = 0;
  readonly #path: IoPath;
  readonly #options: IoCallOptions;
  readonly #done: (completion: Completion, epoch: number) => void;
  readonly #fail: (reason: unknown) => void;
  #interruptions = 0;
  #retries = 0;
  #pausedMs = 0;
  #isAbandoned = false;

  constructor(
    path: IoPath,
    command: Command,
    transfer: Transfer,
    options: IoCallOptions,
    done: (completion: Completion, epoch: number) => void,
    fail: (reason: unknown) => void,
  ) {
    this.#path = path;
    this.command = command;
    this.transfer = transfer;
    this.timeoutMs = options.timeoutMs;
    this.#options = options;
    this.#done = done;
    this.#fail = fail;
  }

  /** Runs a command on `path`. */
  static run(
    path: IoPath,
    command: Command,
    transfer: Transfer,
    options: IoCallOptions,
  ): Promise<Completion> {
    const { signal } = options;
    if (signal?.aborted) return Promise.reject(signal.reason);
    const { promise, resolve, reject } = Promise.withResolvers<Completion>();
    const call = new IoCall(path, command, transfer, options, resolve, reject);
    path.submit(call);
    return signal ? call.abortable(promise, signal) : promise;
  }

  /** `promise`, which this call settles, until `signal` is aborted. */
  abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
    const onAbort = () => {
      this.#isAbandoned = true;
      this.#path.abandon(this, () => this.#fail(signal.reason));
    };
    signal.addEventListener("abort", onAbort, { once: true });
    return promise.finally(() => signal.removeEventListener("abort", onAbort));
  }

  completed(completion: Completion): void {
    if (completion.status === 0) {
      this.#done(completion, this.epoch);
      return;
    }
    const error = completionError(this.command, completion, this.#path.peer)!;
    const pauseMs = this.#pauseBefore(error);
    if (pauseMs === undefined) {
      this.#fail(error);
      return;
    }
    this.#retries += 1;
    const { name, nsid } = this.command;
    this.#path.log("command-retried", { command: name, nsid, retry: this.#retries });
    if (pauseMs === 0) this.resubmit();
    else void this.#path.pause(pauseMs).then(() => this.resubmit());
  }

  /** How long to wait before it is repeated; `undefined` where that is of no use, or does harm. */
  #pauseBefore({ facts: { status, statusName } }: InitiatorError): number | undefined {
    if (!status || status.dnr || !this.#options.isIdempotent) return undefined;
    const passing = passingOf(status, statusName as StatusName | "unknown");
    if (passing === "path") {
      if (this.#pausedMs >= this.#path.transitionMs) return undefined;
      this.#pausedMs += transitionPauseMs;
      return transitionPauseMs;
    }
    const isUseful = passing === "cause" && this.#retries < retriesMax;
    return isUseful ? this.#path.retryDelayMs(status.crd) : undefined;
  }

  failed(error: InitiatorError): void {
    if (error.code === "busy" || !this.#path.goesOn) {
      this.#fail(error);
      return;
    }
    this.#interruptions += 1;
    if (this.#options.isIdempotent && this.#interruptions <= interruptionsMax) this.resubmit();
    else this.#fail(interruptedError(this.command, this.#path.peer, error));
  }

  /** Sends it again, unless there is a reason by now not to. */
  resubmit(): void {
    if (this.#isAbandoned) return;
    const refusal = this.#options.refusal?.(this.transfer);
    if (refusal) this.#fail(refusal);
    else this.#path.submit(this);
  }

  /** Fails it: there will be no connection to send it on. */
  reject(error: InitiatorError): void {
    this.#fail(error);
  }
}

/** The error of a command that was under way when the connection was lost, and not sent again. */
export function interruptedError(
  { name, nsid }: Command,
  peer: string,
  cause: InitiatorError,
): InitiatorError {
  const what = `The connection to ${peer} was lost while ${name} was under way`;
  const message = `${what}: whether it was done is not known. Look before doing it again.`;
  return new InitiatorError("interrupted", message, { peer, command: name, nsid }, { cause });
}

/**
 * What passes, so that a command whose status lets it be repeated may succeed then: that the path
 * does not lead to the namespace, or another cause. `undefined` where the same command fails again
 * although DNR is clear, as many targets have it: a medium has tried by itself (SCT 2), and neither
 * a command nor what it is sent to changes (SCT 1, and most of SCT 0).
 */
function passingOf({ sct }: Status, name: StatusName | "unknown"): "path" | "cause" | undefined {
  if (name === "unknown") return sct === 3 ? "path" : "cause";
  if (name === "anaPersistentLoss" || sct === 1 || sct === 2) return undefined;
  // What the Linux target says of a namespace that is disabled, which may be for good.
  if (name === "internalPathError") return "cause";
  if (sct === 3) return "path";
  return name === "dataTransferError" || isTransient(name) ? "cause" : undefined;
}
