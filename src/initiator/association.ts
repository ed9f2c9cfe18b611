/**
 * One association with a controller: its admin queue, its I/O queues, the keep alive and the
 * asynchronous events, from Connect until the first of its queues ends; then all of them do.
 * NVMe Base 2.0 §3.5 (initialisation), §3.6 (shutdown), §3.9 (keep alive), §5.2 (events).
 */

import type { CallOptions } from "../block/index.ts";
import { asyncEvent, command, controllerType, dword } from "../nvme/index.ts";
import { Admin, type HostConfig } from "./admin.ts";
import { type Call, Channel, type ChannelContext } from "./channel.ts";
import { connectFailure, InitiatorError } from "./error.ts";
import { type SecuredDial, type Security, secure } from "./security.ts";
import type { Dial, InitiatorLog } from "./transport.ts";

/** What an association is made with. */
export interface AssociationConfig {
  readonly host: HostConfig;
  /** A discovery controller has no I/O queues. */
  readonly isDiscovery: boolean;
  readonly ioQueues: number;
  /** Entries of an I/O queue. */
  readonly queueDepth: number;
  /** 0 for none. */
  readonly katoMs: number;
}

/** One asynchronous event: type, information, log page. */
export interface AsyncEvent {
  readonly aet: number;
  readonly info: number;
  readonly lid: number;
}

/** Who hears of an association. */
export interface AssociationContext {
  readonly peer: string;
  readonly log: InitiatorLog;
  /** The next event is not asked for before this settles; a rejection ends the asking. */
  readonly onAsyncEvent: (association: Association, event: AsyncEvent) => Promise<void>;
  /** It ended by itself; called once, and not when it was closed here. */
  readonly onEnded: (association: Association, error: InitiatorError) => void;
}

/** A controller as long as it is connected. */
export class Association {
  readonly #config: AssociationConfig;
  readonly #context: AssociationContext;
  readonly #channels: Channel[] = [];
  #adminOrNone: Admin | undefined;
  /** Its queues are being closed on purpose, or since one of them ended. */
  #isEnding = false;
  #endedBy: InitiatorError | undefined;
  #lastKeepAliveMs = 0;
  #abortsUnderWay = 0;

  private constructor(config: AssociationConfig, context: AssociationContext) {
    this.#config = config;
    this.#context = context;
  }

  /**
   * Connects all queues and asks for events.
   * @throws InitiatorError, or the signal's reason; nothing is left open then.
   */
  static async open(
    security: Security,
    config: AssociationConfig,
    context: AssociationContext,
    call: CallOptions,
  ): Promise<Association> {
    const association = new Association(config, context);
    try {
      await association.#open(security, call);
      return association;
    } catch (error) {
      await association.close("connecting failed");
      throw connectFailure(error);
    }
  }

  get admin(): Admin {
    if (!this.#adminOrNone) throw new TypeError("An Association is opened before it is used.");
    return this.#adminOrNone;
  }

  /** Number of I/O queues. */
  get ioQueues(): number {
    return this.#channels.length;
  }

  /** The I/O queue with the least to do; none at a discovery controller. */
  get leastLoaded(): Channel | undefined {
    const channels = this.#channels;
    let best = channels[0];
    for (let n = 1; n < channels.length; n++) {
      if (channels[n]!.load < best!.load) best = channels[n];
    }
    return best;
  }

  /** Nobody waits for `call` of `channel` any more: asks the controller to abort it too. */
  abandon(channel: Channel, call: Call, released: () => void): void {
    const cid = channel.abandon(call, released);
    const { acl } = this.admin.controller;
    if (cid === undefined || this.#isEnding || this.#abortsUnderWay >= acl) return;
    this.#abortsUnderWay += 1;
    const abort = command("abort", { sqid: channel.qid, abortCid: cid });
    // Best effort: the command's own answer comes in any case, and frees its slot.
    this.admin.channel
      .execute(abort)
      .catch(() => {})
      .finally(() => {
        this.#abortsUnderWay -= 1;
      });
  }

  /** Tells the controller that the host leaves, and closes the queues. */
  async shutDown(options: CallOptions): Promise<void> {
    this.#isEnding = true;
    const sinceMs = this.admin.channel.nowMs;
    await Promise.all(this.#channels.map((channel) => channel.close()));
    // A controller that does not shut down in order is left all the same.
    await this.admin.shutDown(options, sinceMs).catch(() => {});
    await this.close("it was closed here");
  }

  /** Closes the queues at once. Idempotent. */
  async close(reason: string): Promise<void> {
    this.#isEnding = true;
    const channels = this.#channels.map((channel) => channel.close(reason));
    await Promise.all([...channels, this.#adminOrNone?.channel.close(reason)]);
  }

  async #open(security: Security, call: CallOptions): Promise<void> {
    const { host, katoMs, isDiscovery } = this.#config;
    const secured = await secure(security, host, this.#channelContext(), call);
    const context = this.#channelContext(secured);
    const onTick = (nowMs: number) => this.#keepAlive(nowMs);
    this.#adminOrNone = await Admin.open(secured.dial, host, katoMs, { ...context, onTick }, call);
    // A discovery service may have a name of its own.
    const { cntrltype } = this.admin.controller;
    const hasIo = cntrltype === controllerType.notReported || cntrltype === controllerType.io;
    if (!isDiscovery && hasIo) {
      this.#checkForIo();
      await this.#openIoQueues(secured.dial, context, call);
    }
    await this.admin.enableEvents({ ...call, timeoutMs: host.connectTimeoutMs });
    if (this.#endedBy) throw this.#endedBy;
    this.#listen();
  }

  #channelContext({ authenticate }: Partial<SecuredDial> = {}): ChannelContext {
    const { peer, log } = this.#context;
    const onEnded = (error: InitiatorError) => this.#onChannelEnded(error);
    return { peer, log, onEnded, ...(authenticate ? { authenticate } : {}) };
  }

  /** What an I/O controller must report; the same checks as the Linux host's. */
  #checkForIo(): void {
    const { ioccsz, iorcsz, icdoff, kas } = this.admin.controller;
    const wrong =
      (ioccsz < 4 && `IOCCSZ ${ioccsz}, wanted at least 4`) ||
      (iorcsz < 1 && `IORCSZ ${iorcsz}, wanted at least 1`) ||
      (icdoff !== 0 && `ICDOFF ${icdoff}, wanted 0`) ||
      (kas === 0 && this.#config.katoMs > 0 && "no support for keep alive (KAS 0)");
    if (!wrong) return;
    const { peer } = this.#context;
    const message = `Cannot use the controller at ${peer}: it reports ${wrong}.`;
    throw new InitiatorError("protocol", message, { peer });
  }

  async #openIoQueues(dial: Dial, context: ChannelContext, call: CallOptions): Promise<void> {
    const { maxcmd, ioccsz } = this.admin.controller;
    const { mqes } = this.admin.cap;
    const { queueDepth, ioQueues, host } = this.#config;
    const entries = Math.max(2, Math.min(queueDepth, mqes, maxcmd === 0 ? mqes : maxcmd));
    const timed = { ...call, timeoutMs: host.connectTimeoutMs };
    const queues = await this.admin.grantQueues(ioQueues, timed);
    for (let qid = 1; qid <= queues; qid++) {
      const io = {
        ...host,
        qid,
        entries,
        cntlid: this.admin.channel.cntlid,
        katoMs: 0,
        capsuleDataBytesMax: ioccsz * 16 - 64,
      };
      this.#channels.push(await Channel.open(dial, io, context, call));
    }
  }

  #keepAlive(nowMs: number): void {
    const { katoMs } = this.#config;
    if (katoMs === 0 || !this.#adminOrNone || this.#isEnding) return;
    if (nowMs - this.#lastKeepAliveMs < katoMs / 2) return;
    this.#lastKeepAliveMs = nowMs;
    const { channel } = this.#adminOrNone;
    // One that is not answered in time ends the queue, which tells everybody.
    channel.execute(command("keepAlive"), { timeoutMs: katoMs }).catch(() => {});
  }

  /** Keeps one Asynchronous Event Request with the controller until the channel ends. */
  #listen(): void {
    const { channel } = this.admin;
    const next = async (): Promise<void> => {
      for (;;) {
        const wait = { timeoutMs: Number.POSITIVE_INFINITY };
        const { dw0 } = await channel.execute(command("asyncEventRequest"), wait);
        const { type, info, lid } = asyncEvent.decode(dword(dw0));
        await this.#context.onAsyncEvent(this, { aet: type.aet, info, lid });
      }
    };
    // Ends with the channel, or with a controller that has no events; both are told elsewhere.
    next().catch(() => {});
  }

  /** One queue ended by itself: the others go with it, since the controller is to be reset. */
  #onChannelEnded(error: InitiatorError): void {
    if (this.#isEnding) return;
    this.#endedBy = error;
    // First whoever owns this hears that it ended, then the calls that end with the other queues.
    this.#context.onEnded(this, error);
    this.close("another queue of the controller ended").catch(() => {});
  }
}
