/**
 * A connected controller: its queues, its namespaces, its events, and its orderly end.
 * NVMe Base 2.0 §3.5 (initialisation), §3.6 (shutdown), §3.9 (keep alive), §5.2 (events).
 */

import type { CallOptions } from "../block/index.ts";
import {
  asyncEvent,
  asyncEventType,
  type Command,
  type Completion,
  cns,
  command,
  decodeNamespaceDescriptors,
  decodeNamespaceList,
  discoveryNqn,
  dword,
  type IdentifyController,
  identifyBytes,
  identifyNamespace,
  logPage,
  namespaceListMax,
  notice,
} from "../nvme/index.ts";
import { Admin, type HostConfig } from "./admin.ts";
import { Channel, type ChannelContext, type ExecuteOptions } from "./channel.ts";
import { type Address, dialTcp } from "./driver-socket.ts";
import { InitiatorError } from "./error.ts";
import { type HostOptions, hostConfig, peerName } from "./host.ts";
import { isUnknownToController, type NamespaceInfo, namespaceInfo } from "./namespace.ts";
import { RemoteDisk } from "./remote-disk.ts";
import type { Dial, InitiatorLog } from "./transport.ts";

/** What to connect to, and how. */
export interface ControllerOptions extends HostOptions {
  readonly subsystemNqn: string;
  /** I/O queues, each a connection; 1 unless given. */
  readonly ioQueues?: number;
  /** Entries of an I/O queue, 2 or more; 128 unless given, less where the controller says so. */
  readonly queueDepth?: number;
  /** Keep Alive Timeout; 15 s unless given, 0 for none. */
  readonly katoMs?: number;
}

/** What a controller reports by itself. */
export type ControllerEvent =
  /** Namespaces came, went or changed; `undefined` where there are too many to name. */
  | { readonly type: "namespaces-changed"; readonly nsids: readonly number[] | undefined }
  | { readonly type: "discovery-changed" }
  /** Any other asynchronous event: type, information, log page. */
  | { readonly type: "other"; readonly aet: number; readonly info: number; readonly lid: number }
  /** The controller is gone; nothing follows. */
  | { readonly type: "closed"; readonly error: InitiatorError };

const queueDepthDefault = 128;
const katoDefaultMs = 15_000;
/** Longest command: the Linux target cuts the connection above 4 MiB whatever its MDTS says. */
const ioBytesLimit = 4 * 1024 * 1024;
/** What commands are split to: large enough for full speed, small enough to share a queue. */
const ioBytesPreferred = 1024 * 1024;

/**
 * Connects to the controller of a subsystem at `host:port`.
 * @throws InitiatorError, or the signal's reason.
 */
export async function connectController(options: Address & ControllerOptions): Promise<Controller> {
  const { host, port } = options;
  const { connectTimeoutMs } = hostConfig(options, options.subsystemNqn);
  const dial = dialTcp({ host, port }, connectTimeoutMs);
  return connectControllerOver(dial, peerName({ host, port }), options);
}

/** The same over any transport; `peer` names the controller in messages. */
export function connectControllerOver(
  dial: Dial,
  peer: string,
  options: ControllerOptions,
): Promise<Controller> {
  return Controller.open(dial, peer, options);
}

/** A live controller; dispose of it, or `close` it. */
export class Controller implements AsyncDisposable {
  /** How messages name it. */
  readonly peer: string;
  readonly #options: ControllerOptions;
  readonly #log: InitiatorLog;
  readonly #listeners = new Set<(event: ControllerEvent) => void>();
  readonly #disks = new Set<RemoteDisk>();
  readonly #ioChannels: Channel[] = [];
  #adminOrNone: Admin | undefined;
  #closing: Promise<void> | undefined;
  /** Its queues are being closed on purpose, or since one of them ended. */
  #isEnding = false;
  #lastKeepAliveMs = 0;

  private constructor(peer: string, options: ControllerOptions) {
    this.peer = peer;
    this.#options = options;
    this.#log = options.log ?? (() => {});
  }

  /** Use `connectController`. */
  static async open(dial: Dial, peer: string, options: ControllerOptions): Promise<Controller> {
    const controller = new Controller(peer, options);
    const call: CallOptions = options.signal ? { signal: options.signal } : {};
    try {
      await controller.#open(dial, call);
      return controller;
    } catch (error) {
      await controller.#closeChannels("connecting failed");
      throw error;
    }
  }

  /** Identify Controller: model, serial, firmware, limits. */
  get identify(): IdentifyController {
    return this.#admin.controller;
  }

  /** Number of I/O queues that are connected. */
  get ioQueues(): number {
    return this.#ioChannels.length;
  }

  /** All active namespaces, in the order of their ids. */
  async namespaces(options: CallOptions = {}): Promise<NamespaceInfo[]> {
    const found: NamespaceInfo[] = [];
    for (let after = 0; ; ) {
      const list = await this.#admin.identify(cns.activeNamespaces, after, options);
      const nsids = decodeNamespaceList(list);
      for (const nsid of nsids) {
        // One that went away since the list was made is left out.
        const info = await this.namespace(nsid, options).catch(unlessGone);
        if (info) found.push(info);
      }
      const last = nsids.at(-1) ?? 0;
      if (nsids.length < namespaceListMax || last <= after) return found;
      after = last;
    }
  }

  /**
   * One namespace by its id.
   * @throws InitiatorError `no-namespace`, or `status` as the controller answers.
   */
  async namespace(nsid: number, options: CallOptions = {}): Promise<NamespaceInfo> {
    const raw = await this.#admin.identify(cns.namespace, nsid, options);
    const descriptors = await this.#descriptors(nsid, options);
    const identity = decodeNamespaceDescriptors(descriptors) ?? {};
    return namespaceInfo(nsid, identifyNamespace.decode(raw), identity, this.peer);
  }

  /** A namespace as a disk; disposing of it leaves the controller connected. */
  async openNamespace(nsid: number, options: CallOptions = {}): Promise<RemoteDisk> {
    const info = await this.namespace(nsid, options);
    const { oncs, vwc } = this.identify;
    const largest = Math.min(this.#admin.transferBytesMax, ioBytesLimit, ioBytesPreferred);
    const limits = {
      ioBytesMax: Math.max(largest - (largest % info.blockSizeBytes), info.blockSizeBytes),
      hasWriteZeroes: oncs.writeZeroes,
      hasVolatileCache: vwc.present,
    };
    const disk = new RemoteDisk(
      info,
      limits,
      (io, callOptions) => this.#executeIo(io, callOptions),
      this.#log,
      (disposed) => this.#disks.delete(disposed),
    );
    this.#disks.add(disk);
    return disk;
  }

  /** Runs any admin command; for what this class has no method for. */
  executeAdmin(admin: Command, options: ExecuteOptions = {}): Promise<Completion> {
    return this.#admin.channel.execute(admin, options);
  }

  /** Calls `listener` for each event from now on; returns what ends that. */
  onEvent(listener: (event: ControllerEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Waits for the calls of open disks, shuts the controller down and disconnects. Idempotent.
   * Aborting skips what is still to wait for; the connections are closed in any case.
   */
  close(options: CallOptions = {}): Promise<void> {
    this.#closing ??= this.#close(options);
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  get #admin(): Admin {
    if (!this.#adminOrNone) throw new TypeError("A Controller has been opened before it is used.");
    return this.#adminOrNone;
  }

  async #open(dial: Dial, call: CallOptions): Promise<void> {
    const config = hostConfig(this.#options, this.#options.subsystemNqn);
    const isDiscovery = this.#options.subsystemNqn === discoveryNqn;
    const katoMs = this.#options.katoMs ?? katoDefaultMs;
    this.#adminOrNone = await Admin.open(dial, config, katoMs, this.#context(katoMs), call);
    if (!isDiscovery) {
      this.#checkForIo(katoMs);
      await this.#openIoQueues(dial, config, call);
    }
    await this.#admin.enableEvents(call);
    this.#listen();
    const { mn, sn, fr, cntlid } = this.identify;
    this.#log("controller-ready", { peer: this.peer, mn, sn, fr, cntlid, queues: this.ioQueues });
  }

  #context(katoMs: number): ChannelContext {
    return {
      peer: this.peer,
      log: this.#log,
      onTick: (nowMs) => this.#keepAlive(nowMs, katoMs),
      onEnded: (error) => this.#onChannelEnded(error),
    };
  }

  /** What an I/O controller must report; the same checks as the Linux host's. */
  #checkForIo(katoMs: number): void {
    const { ioccsz, iorcsz, icdoff, kas } = this.identify;
    const wrong =
      (ioccsz < 4 && `IOCCSZ ${ioccsz}, wanted at least 4`) ||
      (iorcsz < 1 && `IORCSZ ${iorcsz}, wanted at least 1`) ||
      (icdoff !== 0 && `ICDOFF ${icdoff}, wanted 0`) ||
      (kas === 0 && katoMs > 0 && "no support for keep alive (KAS 0)");
    if (!wrong) return;
    const message = `Cannot use the controller at ${this.peer}: it reports ${wrong}.`;
    throw new InitiatorError("protocol", message, { peer: this.peer });
  }

  async #openIoQueues(dial: Dial, config: HostConfig, call: CallOptions): Promise<void> {
    const { maxcmd, ioccsz } = this.identify;
    const { mqes } = this.#admin.cap;
    const wanted = this.#options.queueDepth ?? queueDepthDefault;
    const entries = Math.max(2, Math.min(wanted, mqes, maxcmd === 0 ? mqes : maxcmd));
    const queues = await this.#admin.grantQueues(this.#options.ioQueues ?? 1, call);
    for (let qid = 1; qid <= queues; qid++) {
      const io = {
        ...config,
        qid,
        entries,
        cntlid: this.#admin.channel.cntlid,
        katoMs: 0,
        capsuleDataBytesMax: ioccsz * 16 - 64,
      };
      const context: ChannelContext = {
        peer: this.peer,
        log: this.#log,
        onEnded: (error) => this.#onChannelEnded(error),
      };
      this.#ioChannels.push(await Channel.open(dial, io, context, call));
    }
  }

  #executeIo(io: Command, options: ExecuteOptions): Promise<Completion> {
    let best = this.#ioChannels[0];
    for (const channel of this.#ioChannels) if (channel.load < best!.load) best = channel;
    if (best) return best.execute(io, options);
    const message = `${this.peer} has no I/O queues: it is a discovery controller.`;
    return Promise.reject(new InitiatorError("unsupported", message, { peer: this.peer }));
  }

  async #descriptors(nsid: number, options: CallOptions): Promise<Uint8Array> {
    try {
      return await this.#admin.identify(cns.namespaceDescriptors, nsid, options);
    } catch (error) {
      const status = error instanceof InitiatorError ? error.facts.status : undefined;
      if (isUnknownToController(status)) return new Uint8Array(identifyBytes);
      throw error;
    }
  }

  #keepAlive(nowMs: number, katoMs: number): void {
    if (katoMs === 0 || !this.#adminOrNone || this.#isEnding) return;
    if (nowMs - this.#lastKeepAliveMs < katoMs / 2) return;
    this.#lastKeepAliveMs = nowMs;
    const { channel } = this.#adminOrNone;
    // One that is not answered in time ends the queue, which tells everybody.
    channel.execute(command("keepAlive"), { timeoutMs: katoMs }).catch(() => {});
  }

  /** Keeps one Asynchronous Event Request with the controller until the channel ends. */
  #listen(): void {
    const { channel } = this.#admin;
    const next = async (): Promise<void> => {
      for (;;) {
        const wait = { timeoutMs: Number.POSITIVE_INFINITY };
        const { dw0 } = await channel.execute(command("asyncEventRequest"), wait);
        await this.#onAsyncEvent(dw0);
      }
    };
    // Ends with the channel, or with a controller that has no events; both are told elsewhere.
    next().catch(() => {});
  }

  async #onAsyncEvent(dw0: number): Promise<void> {
    const { type, info, lid } = asyncEvent.decode(dword(dw0));
    this.#log("async-event", { peer: this.peer, aet: type.aet, info, lid });
    if (type.aet === asyncEventType.notice && info === notice.namespaceAttribute) {
      const page = await this.#admin.logPage(logPage.changedNamespaces, 0, identifyBytes);
      const listed = decodeNamespaceList(page);
      const nsids = listed[0] === 0xffffffff ? undefined : listed;
      for (const disk of this.#disks) {
        if (!nsids || nsids.includes(disk.info.nsid)) await this.#refresh(disk);
      }
      this.#emit({ type: "namespaces-changed", nsids });
    } else if (type.aet === asyncEventType.notice && info === notice.discoveryLog) {
      this.#emit({ type: "discovery-changed" });
    } else this.#emit({ type: "other", aet: type.aet, info, lid });
  }

  async #refresh(disk: RemoteDisk): Promise<void> {
    try {
      disk.update(await this.namespace(disk.info.nsid));
    } catch (error) {
      // A namespace that is gone shows in the calls of its disk; a lost controller ends the loop.
      if (!(error instanceof InitiatorError) || error.code === "closed") throw error;
    }
  }

  #emit(event: ControllerEvent): void {
    for (const listener of this.#listeners) listener(event);
  }

  /** One queue ended by itself: the others go with it, since the controller is to be reset. */
  #onChannelEnded(error: InitiatorError): void {
    if (this.#isEnding) return;
    this.#closing = this.#closeChannels("another queue of the controller ended");
    this.#log("controller-closed", { peer: this.peer, reason: error.message });
    this.#emit({ type: "closed", error });
    this.#listeners.clear();
  }

  async #close(options: CallOptions): Promise<void> {
    this.#isEnding = true;
    const disposed = [...this.#disks].map((disk) => disk[Symbol.asyncDispose]());
    await settledOrAborted(Promise.all(disposed), options.signal);
    for (const channel of this.#ioChannels) await channel.close();
    // A controller that does not shut down in order is left all the same.
    await this.#admin.shutDown(options).catch(() => {});
    await this.#closeChannels("it was closed here");
    this.#log("controller-closed", { peer: this.peer, reason: "closed here" });
    this.#listeners.clear();
  }

  async #closeChannels(reason: string): Promise<void> {
    this.#isEnding = true;
    const channels = this.#ioChannels.map((channel) => channel.close(reason));
    await Promise.all([...channels, this.#adminOrNone?.channel.close(reason)]);
  }
}

/** Passes an error on, unless it says that a namespace does not exist. */
function unlessGone(error: unknown): undefined {
  const isKnown = error instanceof InitiatorError;
  if (isKnown && error.code === "no-namespace") return undefined;
  if (isKnown && error.facts.statusName === "invalidNamespace") return undefined;
  throw error;
}

/** Waits for `work`, but not longer than until `signal` is aborted; never rejects. */
async function settledOrAborted(work: Promise<unknown>, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted) return;
  const aborted = Promise.withResolvers<void>();
  const onAbort = () => aborted.resolve();
  signal?.addEventListener("abort", onAbort, { once: true });
  try {
    await Promise.race([work.catch(() => {}), aborted.promise]);
  } finally {
    signal?.removeEventListener("abort", onAbort);
  }
}
