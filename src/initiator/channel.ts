/**
 * A live queue as calls and promises: couples the queue's state machine with a transport.
 *
 * Requests made in one turn of the event loop leave together, in one write of the socket.
 */

import type { CallOptions } from "../block/index.ts";
import type { Command, Completion } from "../nvme/index.ts";
import { coalesce } from "./coalesce.ts";
import { completionError, InitiatorError } from "./error.ts";
import type { Connected, Failure } from "./negotiation.ts";
import { Queue } from "./queue.ts";
import type { QueueConfig, QueueEvent } from "./queue-state.ts";
import type { QueueRequest, Transfer } from "./transfer.ts";
import type { Dial, InitiatorLog, Transport } from "./transport.ts";

/** Bytes handed to a socket at a time; more would only wait there. */
const sendBytesMax = 2 * 1024 * 1024;
/** How long an I/O command may take, as in Linux. */
export const ioTimeoutMs = 30_000;
/** How long an aborted call may wait for a socket that stalls to let go of its buffer. */
const landingTimeoutMs = 1000;
/** How long an admin command may take, as in Linux. */
const adminTimeoutMs = 60_000;

/** How long a command may take, and what ends the waiting for it. */
export interface TimedOptions extends CallOptions {
  readonly timeoutMs?: number;
}

/** How one command is run. */
export interface ExecuteOptions extends TimedOptions {
  readonly transfer?: Transfer;
}

/** Who is on the other side, and where to report. */
export interface ChannelContext {
  /** How messages name the controller. */
  readonly peer: string;
  readonly log: InitiatorLog;
  /** Called on each tick of a live channel. */
  readonly onTick?: (nowMs: number) => void;
  /** Called once when a channel that was live has ended, before its calls are told. */
  readonly onEnded?: (error: InitiatorError) => void;
  /** Authenticates a queue as its controller asks; none where the host has no key. */
  readonly authenticate?: (
    channel: Channel,
    asked: Connected["authentication"],
    options: TimedOptions,
  ) => Promise<void>;
}

/** One command, and who is told how it ended: exactly one of the two, once. */
export interface Call extends QueueRequest {
  /** There is an answer; its status may be an error. */
  completed(completion: Completion): void;
  /** There will be no answer: the queue ended, or never took it. Its buffer is free again. */
  failed(error: InitiatorError): void;
}

/** One connected queue. */
export class Channel {
  readonly #queue: Queue<Call>;
  readonly #config: QueueConfig;
  readonly #context: ChannelContext;
  readonly #connected = Promise.withResolvers<Connected>();
  readonly #tickWaiters = new Set<{ resolve(): void; reject(reason: unknown): void }>();
  /** Calls of a queue that ended, until what they sent has left. */
  readonly #untold = new Set<Call>();
  readonly #ended = Promise.withResolvers<void>();
  /** The call whose buffer the transport may write to now. */
  #landing: Call | undefined;
  /** Who waits for the transport to let go of the buffer of an aborted call, and since when. */
  #letGo: { readonly released: () => void; readonly sinceMs: number } | undefined;
  /** Aborted writes whose buffers are leaving, how much had left then, and when that last grew. */
  #leaving: { writes: number; leftBytes: number; sinceMs: number } | undefined;
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
    try {
      await channel.#authenticate(options);
      return channel;
    } catch (error) {
      await channel.close("authentication failed");
      throw error;
    }
  }

  get qid(): number {
    return this.#config.qid;
  }

  /** The controller that the queue belongs to. */
  get cntlid(): number {
    const { state } = this.#queue;
    return state.name === "live" ? state.connected.cntlid : this.#config.cntlid;
  }

  /** Commands under way or waiting. */
  get load(): number {
    return this.#queue.load;
  }

  /** The transport's clock, which ticks go by. */
  get nowMs(): number {
    return this.#transport!.nowMs();
  }

  /** Why the channel is not usable any more, or `undefined` while it is. */
  get error(): InitiatorError | undefined {
    return this.#error;
  }

  /** Takes a call; one that cannot be taken fails at once. */
  submit(call: Call): void {
    if (this.#error) call.failed(this.#error);
    else if (this.#queue.submit(call)) this.#scheduleDrain();
    else {
      const { peer } = this.#context;
      const what = `Cannot send ${call.command.name} to ${peer}`;
      const message = `${what}: too many commands wait already.`;
      call.failed(new InitiatorError("busy", message, { peer }));
    }
  }

  /**
   * Nobody waits for `call` any more; it is told nothing. `released` is called once its buffer is
   * free: what was handed to the socket must have left first, and what lands must not land there.
   * @returns The cid of one that the controller has, and may be asked to abort.
   */
  abandon(call: Call, released: () => void): number | undefined {
    const cid = this.#queue.abandon(call);
    const wasSent = cid !== undefined || this.#untold.delete(call);
    const mayBeLeaving = wasSent && call.transfer.kind === "out";
    if (this.#landing === call) this.#letGo = { released, sinceMs: this.#transport!.nowMs() };
    else if (mayBeLeaving && this.#transport) this.#releaseLeft(this.#transport, released);
    else released();
    return cid;
  }

  /**
   * Runs one command; a status other than success rejects.
   * @throws InitiatorError `status`, `closed` or `busy`, or the signal's reason.
   */
  execute(command: Command, options: ExecuteOptions = {}): Promise<Completion> {
    const { signal } = options;
    if (signal?.aborted) return Promise.reject(signal.reason);
    const { promise, resolve, reject } = Promise.withResolvers<Completion>();
    const call: Call = {
      command,
      transfer: options.transfer ?? { kind: "none" },
      timeoutMs: options.timeoutMs ?? (this.#config.qid === 0 ? adminTimeoutMs : ioTimeoutMs),
      completed: (completion) => {
        const error = completionError(command, completion, this.#context.peer);
        if (error) reject(error);
        else resolve(completion);
      },
      failed: reject,
    };
    this.submit(call);
    if (!signal) return promise;
    const onAbort = () => this.abandon(call, () => reject(signal.reason));
    signal.addEventListener("abort", onAbort, { once: true });
    return promise.finally(() => signal.removeEventListener("abort", onAbort));
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
        this.#landed();
        this.#queue.receive(chunk);
        this.#drain();
      },
      landing: () => {
        const landing = this.#queue.landing;
        this.#landing = landing?.request;
        return landing?.target;
      },
      writable: () => this.#drain(),
      tick: (nowMs: number) => {
        this.#queue.tick(nowMs);
        this.#checkLetGo(nowMs);
        this.#checkLeaving(nowMs);
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

  /** The transport writes to nobody's buffer now. */
  #landed(): void {
    this.#landing = undefined;
    const { released } = this.#letGo ?? {};
    this.#letGo = undefined;
    released?.();
  }

  /** Ends a connection that stalls within the data of an aborted read. */
  #checkLetGo(nowMs: number): void {
    if (!this.#letGo || nowMs - this.#letGo.sinceMs < landingTimeoutMs) return;
    const detail = `the data of an aborted read stalled for ${landingTimeoutMs} ms`;
    this.#queue.end({ code: "timeout", detail, facts: {} });
  }

  /** Calls `released` once all that was sent so far has left. */
  #releaseLeft(transport: Transport, released: () => void): void {
    const { leftBytes } = transport;
    this.#leaving ??= { writes: 0, leftBytes, sinceMs: transport.nowMs() };
    const leaving = this.#leaving;
    leaving.writes += 1;
    transport.whenLeft(() => {
      leaving.writes -= 1;
      if (leaving.writes === 0 && this.#leaving === leaving) this.#leaving = undefined;
      released();
    });
  }

  /** Ends a connection that stalls while the buffer of an aborted write is leaving. */
  #checkLeaving(nowMs: number): void {
    const leaving = this.#leaving;
    if (!leaving || !this.#transport) return;
    const { leftBytes } = this.#transport;
    if (leftBytes > leaving.leftBytes) Object.assign(leaving, { leftBytes, sinceMs: nowMs });
    if (nowMs - leaving.sinceMs < landingTimeoutMs) return;
    const detail = `an aborted write could not leave: sending stalled for ${landingTimeoutMs} ms`;
    this.#queue.end({ code: "timeout", detail, facts: {} });
  }

  async #authenticate(options: CallOptions): Promise<void> {
    const { authentication } = await this.#connected.promise;
    const { authenticate, peer } = this.#context;
    const timed = { ...options, timeoutMs: this.#config.connectTimeoutMs };
    if (authenticate) await authenticate(this, authentication, timed);
    else if (authentication !== "none") {
      const detail = "it requires authentication, which this host was given no key for";
      const message = `Cannot connect to ${peer}: ${detail}.`;
      throw new InitiatorError("unsupported", message, { peer, authentication: true });
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
    if (send.length > 0 && !this.#isTransportEnded) this.#transport?.send(coalesce(send));
    for (const event of events) this.#handle(event);
  }

  #handle(event: QueueEvent<Call>): void {
    if (event.kind === "completed") event.request.completed(event.completion);
    else if (event.kind === "ended") this.#fail(event.failure, event.requests);
    else {
      const { connected } = event;
      this.#wasLive = true;
      this.#context.log("queue-connected", { qid: this.qid, cntlid: connected.cntlid });
      this.#connected.resolve(connected);
    }
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
    for (const waiter of this.#tickWaiters) waiter.reject(this.#error);
    const error = this.#error;
    if (this.#wasLive) this.#context.onEnded?.(error);
    // Buffers of calls may still be leaving; they are their owners' again once they are told.
    for (const call of calls) this.#untold.add(call);
    const tell = () => {
      for (const call of this.#untold) call.failed(error);
      this.#untold.clear();
    };
    if (this.#transport && !this.#isTransportEnded) this.#transport.whenLeft(tell);
    else tell();
    this.#transport?.end();
    this.#landed();
  }

  #onTransportEnded(cause: Error | undefined): void {
    this.#isTransportEnded = true;
    const detail = cause ? `the connection broke (${cause.message})` : "it closed the connection";
    const facts = { endedBy: "controller" } as const;
    this.#queue.end({ code: "closed", detail, facts, ...(cause ? { cause } : {}) });
    this.#drain();
    this.#ended.resolve();
  }
}
