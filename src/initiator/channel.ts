/**
 * A live queue as promises: couples the queue's state machine with a transport.
 *
 * Requests made in one turn of the event loop leave together, in one write of the socket.
 */

import type { CallOptions } from "../block/index.ts";
import { type Command, type Completion, commands, decodeStatus } from "../nvme/index.ts";
import { InitiatorError, statusError } from "./error.ts";
import type { Failure } from "./negotiation.ts";
import { Queue, type QueueConfig, type QueueEvent } from "./queue.ts";
import type { QueueRequest, Transfer } from "./transfer.ts";
import type { Dial, InitiatorLog, Transport } from "./transport.ts";

/** Bytes handed to a socket at a time; more would only wait there. */
const sendBytesMax = 2 * 1024 * 1024;
/** How long an I/O command may take, as in Linux. */
const ioTimeoutMs = 30_000;
/** How long an admin command may take, as in Linux. */
const adminTimeoutMs = 60_000;

/** How one command is run. */
export interface ExecuteOptions extends CallOptions {
  readonly transfer?: Transfer;
  readonly timeoutMs?: number;
}

/** Who is on the other side, and where to report. */
export interface ChannelContext {
  /** How messages name the controller. */
  readonly peer: string;
  readonly log: InitiatorLog;
  /** Called on each tick of a live channel. */
  readonly onTick?: (nowMs: number) => void;
  /** Called once when a channel that was live has ended. */
  readonly onEnded?: (error: InitiatorError) => void;
}

interface Call extends QueueRequest {
  readonly resolve: (completion: Completion) => void;
  readonly reject: (reason: unknown) => void;
}

/** One connected queue. */
export class Channel {
  readonly #queue: Queue<Call>;
  readonly #config: QueueConfig;
  readonly #context: ChannelContext;
  readonly #connected = Promise.withResolvers<void>();
  readonly #tickWaiters = new Set<{ resolve(): void; reject(reason: unknown): void }>();
  readonly #ended = Promise.withResolvers<void>();
  #transport: Transport | undefined;
  #isTransportEnded = false;
  #isDrainScheduled = false;
  #wasLive = false;
  #error: InitiatorError | undefined;

  private constructor(config: QueueConfig, context: ChannelContext) {
    this.#config = config;
    this.#context = context;
    this.#queue = new Queue(config);
  }

  /**
   * Connects one queue.
   * @throws InitiatorError, or the signal's reason.
   */
  static async open(
    dial: Dial,
    config: QueueConfig,
    context: ChannelContext,
    options: CallOptions = {},
  ): Promise<Channel> {
    const channel = new Channel(config, context);
    await channel.#open(dial, options.signal);
    return channel;
  }

  /** The controller that the queue belongs to. */
  get cntlid(): number {
    const { state } = this.#queue;
    return state.name === "live" ? state.cntlid : this.#config.cntlid;
  }

  /** Commands under way or waiting. */
  get load(): number {
    return this.#queue.load;
  }

  /** Why the channel is not usable any more, or `undefined` while it is. */
  get error(): InitiatorError | undefined {
    return this.#error;
  }

  /**
   * Runs one command; a status other than success rejects.
   * @throws InitiatorError `status`, `closed` or `busy`, or the signal's reason.
   */
  execute(command: Command, options: ExecuteOptions = {}): Promise<Completion> {
    const { signal } = options;
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (this.#error) return Promise.reject(this.#error);
    const { promise, resolve, reject } = Promise.withResolvers<Completion>();
    const timeoutMs = options.timeoutMs ?? (this.#config.qid === 0 ? adminTimeoutMs : ioTimeoutMs);
    const transfer = options.transfer ?? { kind: "none" };
    const call: Call = { command, transfer, timeoutMs, resolve, reject };
    if (!this.#queue.submit(call)) {
      const { peer } = this.#context;
      const message = `Cannot send ${command.name} to ${peer}: too many commands wait already.`;
      return Promise.reject(new InitiatorError("busy", message, { peer }));
    }
    this.#scheduleDrain();
    return signal ? this.#withSignal(call, promise, signal) : promise;
  }

  /** Resolves at the next tick of the transport's clock, a fraction of a second away. */
  async ticked(options: CallOptions = {}): Promise<void> {
    if (this.#error) throw this.#error;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const { signal } = options;
    signal?.throwIfAborted();
    const onAbort = () => reject(signal?.reason);
    signal?.addEventListener("abort", onAbort, { once: true });
    const waiter = { resolve, reject };
    this.#tickWaiters.add(waiter);
    try {
      await promise;
    } finally {
      this.#tickWaiters.delete(waiter);
      signal?.removeEventListener("abort", onAbort);
    }
  }

  /** Closes the connection; what is under way rejects with `closed`. Idempotent. */
  async close(reason = "it was closed here"): Promise<void> {
    this.#queue.end({ code: "closed", detail: reason, facts: {} });
    this.#drain();
    if (this.#transport) await this.#ended.promise;
  }

  async #open(dial: Dial, signal: AbortSignal | undefined): Promise<void> {
    const handlers = {
      bytes: (chunk: Uint8Array) => {
        this.#queue.receive(chunk);
        this.#drain();
      },
      writable: () => this.#drain(),
      tick: (nowMs: number) => {
        this.#queue.tick(nowMs);
        if (this.#queue.state.name === "live") this.#context.onTick?.(nowMs);
        for (const waiter of this.#tickWaiters) waiter.resolve();
        this.#drain();
      },
      ended: (cause?: Error) => this.#onTransportEnded(cause),
    };
    this.#connected.promise.catch(() => {});
    const transport = await dial(handlers, signal ? { signal } : {});
    const onAbort = () => {
      this.#connected.reject(signal?.reason);
      this.#queue.end({ code: "closed", detail: "connecting was aborted", facts: {} });
      this.#drain();
    };
    this.#transport = transport;
    signal?.addEventListener("abort", onAbort, { once: true });
    try {
      if (!this.#isTransportEnded) this.#queue.start(transport.nowMs());
      if (signal?.aborted) onAbort();
      this.#drain();
      await this.#connected.promise;
    } finally {
      signal?.removeEventListener("abort", onAbort);
    }
  }

  async #withSignal(
    call: Call,
    promise: Promise<Completion>,
    signal: AbortSignal,
  ): Promise<Completion> {
    const onAbort = () => {
      this.#queue.abandon(call);
      call.reject(signal.reason);
    };
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      return await promise;
    } finally {
      signal.removeEventListener("abort", onAbort);
    }
  }

  #scheduleDrain(): void {
    if (this.#isDrainScheduled) return;
    this.#isDrainScheduled = true;
    queueMicrotask(() => {
      this.#isDrainScheduled = false;
      this.#drain();
    });
  }

  #drain(): void {
    const budget = sendBytesMax - (this.#transport?.bufferedBytes ?? 0);
    const { send, events } = this.#queue.drain(budget);
    if (send.length > 0 && !this.#isTransportEnded) this.#transport?.send(send);
    for (const event of events) this.#handle(event);
  }

  #handle(event: QueueEvent<Call>): void {
    if (event.kind === "completed") this.#complete(event.request, event.completion);
    else if (event.kind === "ended") this.#fail(event.failure, event.requests);
    else {
      const { cntlid } = event;
      this.#wasLive = true;
      this.#context.log("queue-connected", { qid: this.#config.qid, cntlid });
      this.#connected.resolve();
    }
  }

  #complete(call: Call, completion: Completion): void {
    if (completion.status === 0) {
      call.resolve(completion);
      return;
    }
    const { name } = call.command;
    const isFabrics = commands[name].set === "fabrics";
    const status = decodeStatus(completion.status);
    call.reject(statusError(`Command ${name}`, this.#context.peer, status, isFabrics));
  }

  #fail(failure: Failure, calls: readonly Call[]): void {
    const { peer, log } = this.#context;
    const facts = { ...failure.facts, peer };
    const message = `Queue ${this.#config.qid} of ${peer} ended: ${failure.detail}.`;
    const cause = failure.cause === undefined ? {} : { cause: failure.cause };
    const reason = new InitiatorError(failure.code, message, facts, cause);
    this.#error =
      failure.code === "closed"
        ? reason
        : new InitiatorError("closed", message, facts, { cause: reason });
    log("queue-ended", { qid: this.#config.qid, code: failure.code, detail: failure.detail });
    this.#connected.reject(reason);
    for (const call of calls) call.reject(this.#error);
    for (const waiter of this.#tickWaiters) waiter.reject(this.#error);
    this.#transport?.end();
    if (this.#wasLive) this.#context.onEnded?.(this.#error);
  }

  #onTransportEnded(cause: Error | undefined): void {
    this.#isTransportEnded = true;
    const detail = cause ? `the connection broke (${cause.message})` : "it closed the connection";
    this.#queue.end({ code: "closed", detail, facts: {}, ...(cause ? { cause } : {}) });
    this.#drain();
    this.#ended.resolve();
  }
}
