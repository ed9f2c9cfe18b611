/**
 * A controller over all of its connections: its namespaces, its disks, its events, its end.
 *
 * What happens when a connection is lost is in `link.ts`.
 */

import type { CallOptions } from "../block/index.ts";
import {
  asyncEventType,
  type Command,
  type Completion,
  decodeNamespaceList,
  discoveryNqn,
  type IdentifyController,
  identifyBytes,
  logPage,
  notice,
} from "../nvme/index.ts";
import type { Admin } from "./admin.ts";
import { Association, type AssociationConfig, type AsyncEvent } from "./association.ts";
import { type ExecuteOptions, ioTimeoutMs } from "./channel.ts";
import type { ControllerEvent } from "./controller-event.ts";
import type { DiskLimits } from "./disk-commands.ts";
import { systemClock } from "./driver-clock.ts";
import type { Address } from "./driver-socket.ts";
import { dialsOf } from "./driver-tls.ts";
import { InitiatorError } from "./error.ts";
import { Features } from "./features.ts";
import { type HostOptions, hostConfig, peerName } from "./host.ts";
import { IoCall, interruptedError, interruptionsMax } from "./io-call.ts";
import { Link, type LinkConfig } from "./link.ts";
import { LogPages, readAnaLog } from "./logs.ts";
import { hasIdentity, type NamespaceIdentifier, type NamespaceInfo } from "./namespace.ts";
import { readNamespace, readNamespaces } from "./namespace-query.ts";
import { OpenDisks, type Sighting } from "./open-disks.ts";
import { type ReconnectOptions, reconnectPolicy } from "./reconnect.ts";
import { RemoteDisk } from "./remote-disk.ts";
import type { Dials } from "./security.ts";
import { settledOrAborted } from "./signal.ts";
import type { Clock, Dial, InitiatorLog } from "./transport.ts";

/** What to connect to, and how. */
export interface ControllerOptions extends HostOptions {
  readonly subsystemNqn: string;
  /** I/O queues, each a connection; 1 unless given. */
  readonly ioQueues?: number;
  /** Entries of an I/O queue, 2 or more; 128 unless given, less where the controller says so. */
  readonly queueDepth?: number;
  /** Keep Alive Timeout; 15 s unless given, 0 for none. */
  readonly katoMs?: number;
  /** Go on over a new connection when one is lost; without it, that is the controller's end. */
  readonly reconnect?: ReconnectOptions;
  /** What waiting between attempts goes by; that of this process unless given. */
  readonly clock?: Clock;
}

const queueDepthDefault = 128;
const katoDefaultMs = 15_000;
/** Longest command: the Linux target cuts the connection above 4 MiB whatever its MDTS says. */
const ioBytesLimit = 4 * 1024 * 1024;
/** What commands are split to: large enough for full speed, small enough to share a queue. */
const ioBytesPreferred = 1024 * 1024;
/** How long it takes until a namespace is looked at again that the controller said nothing of. */
const lookAgainMs = 5000;
/** Admin commands that are sent again after a reconnect: they only ask. */
const asking: ReadonlySet<string> = new Set(["identify", "getLogPage", "getFeatures"]);

/**
 * Connects to the controller of a subsystem at `host:port`.
 * @throws InitiatorError, or the signal's reason.
 */
export async function connectController(options: Address & ControllerOptions): Promise<Controller> {
  const { host, port } = options;
  const { connectTimeoutMs } = hostConfig(options, options.subsystemNqn);
  const dials = dialsOf({ host, port }, connectTimeoutMs);
  return Controller.open(dials, peerName({ host, port }), options);
}

/** The same over any transport, which has no TLS; `peer` names the controller in messages. */
export function connectControllerOver(
  dial: Dial,
  peer: string,
  options: ControllerOptions,
): Promise<Controller> {
  return Controller.open({ dial }, peer, options);
}

/** A controller; dispose of it, or `close` it. */
export class Controller implements AsyncDisposable {
  /** How messages name it. */
  readonly peer: string;
  readonly #listeners = new Set<(event: ControllerEvent) => void>();
  readonly #disks: OpenDisks;
  readonly #log: InitiatorLog;
  /** Its log pages. */
  readonly logs: LogPages;
  /** Its features, and those of its namespaces. */
  readonly features = new Features((admin, options) => this.executeAdmin(admin, options));
  #isLookingAgain = false;
  #linkOrNone: Link | undefined;
  /** What the controller said of itself last. */
  #identify: IdentifyController | undefined;
  #closing: Promise<void> | undefined;
  /** Aborted when one of those who close it does not want to wait. */
  readonly #hurry = new AbortController();

  private constructor(peer: string, log: InitiatorLog) {
    this.peer = peer;
    this.#log = log;
    this.logs = new LogPages(peer, (work, options) => this.#ask(work, options));
    this.#disks = new OpenDisks(peer, (event) => this.#emit(event));
  }

  /** Use `connectController`. */
  static async open(dials: Dials, peer: string, options: ControllerOptions): Promise<Controller> {
    const controller = new Controller(peer, options.log ?? (() => {}));
    const call: CallOptions = options.signal ? { signal: options.signal } : {};
    controller.#linkOrNone = await Link.open(controller.#linkConfig(dials, options), call);
    return controller;
  }

  /** Identify Controller: model, serial, firmware, limits; that of the last connection. */
  get identify(): IdentifyController {
    return this.#identify!;
  }

  /** Number of I/O queues that are connected. */
  get ioQueues(): number {
    return this.#link.current?.ioQueues ?? 0;
  }

  /**
   * All active namespaces that can be used, in the order of their ids. One whose blocks carry
   * metadata, or have a size that no disk has, is left out and logged; `namespace` says why.
   */
  namespaces(options: CallOptions = {}): Promise<NamespaceInfo[]> {
    return this.#ask((admin) => readNamespaces(admin, this.peer, this.#log, options), options);
  }

  /**
   * One namespace by its id.
   * @throws InitiatorError `no-namespace`, or `status` as the controller answers.
   */
  namespace(nsid: number, options: CallOptions = {}): Promise<NamespaceInfo> {
    return this.#ask((admin) => readNamespace(admin, nsid, this.peer, options), options);
  }

  /**
   * The one namespace that has all identities given.
   * @throws InitiatorError `no-namespace` if there is none or more than one.
   */
  async findNamespace(
    wanted: NamespaceIdentifier,
    options: CallOptions = {},
  ): Promise<NamespaceInfo> {
    const all = await this.namespaces(options);
    const [found, ...others] = all.filter((info) => hasIdentity(info, wanted));
    if (found && others.length === 0) return found;
    const { peer } = this;
    const asked = Object.entries(wanted).map(([kind, value]) => `${kind} ${value}`);
    const there = all.map(({ nsid, uuid, nguid, eui64 }) => `${nsid} (${uuid ?? nguid ?? eui64})`);
    const message =
      `${found ? others.length + 1 : "No"} namespaces of ${peer} have ${asked.join(" and ")}; ` +
      `there are: ${there.join(", ") || "none"}.`;
    throw new InitiatorError("no-namespace", message, { peer, wanted });
  }

  /** A namespace as a disk; disposing of it leaves the controller connected. */
  async openNamespace(nsid: number, options: CallOptions = {}): Promise<RemoteDisk> {
    const sighting = await this.#ask((admin) => this.#look(admin, nsid, options), options);
    const onDisposed = (disposed: RemoteDisk) => this.#disks.delete(disposed);
    const disk = new RemoteDisk(sighting.info, sighting.limits, this.#link, onDisposed);
    this.#disks.add(disk, sighting);
    return disk;
  }

  /**
   * Runs any admin command; for what this class has no method for. One that only asks (Identify,
   * Get Log Page, Get Features) is sent again after a reconnect.
   * @throws InitiatorError `interrupted` for another one that was cut off.
   */
  async executeAdmin(admin: Command, options: ExecuteOptions = {}): Promise<Completion> {
    if (asking.has(admin.name)) {
      return this.#ask(({ channel }) => channel.execute(admin, options), options);
    }
    const { channel } = (await this.#link.association(options)).admin;
    try {
      return await channel.execute(admin, options);
    } catch (error) {
      if (!isCut(error) || !this.#link.goesOn) throw error;
      throw interruptedError(admin, this.peer, error);
    }
  }

  /**
   * Runs any I/O command; for what `RemoteDisk` has no method for. It is never sent twice.
   * @throws InitiatorError `status`; `interrupted` for one that was cut off.
   */
  executeIo(io: Command, options: ExecuteOptions = {}): Promise<Completion> {
    const { signal, timeoutMs = ioTimeoutMs, transfer = { kind: "none" } } = options;
    const once = { timeoutMs, isIdempotent: false, ...(signal ? { signal } : {}) };
    return IoCall.run(this.#link, io, transfer, once);
  }

  /** Calls `listener`, which must not throw, for each event from now on; returns what ends that. */
  onEvent(listener: (event: ControllerEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Waits for the calls of open disks, shuts the controller down and disconnects. Idempotent.
   * Aborting, be it the signal of a later call, skips what is still to wait for; the connections
   * are closed in any case.
   */
  close({ signal }: CallOptions = {}): Promise<void> {
    const hurry = () => this.#hurry.abort(signal?.reason);
    if (signal?.aborted) hurry();
    this.#closing ??= this.#close(this.#hurry.signal);
    if (signal) {
      signal.addEventListener("abort", hurry, { once: true });
      void this.#closing.finally(() => signal.removeEventListener("abort", hurry));
    }
    return this.#closing;
  }

  /**
   * Waits no longer for a connection that is lost, or will be: calls fail with InitiatorError `lost`.
   * @param reason what is known from elsewhere: `The target has other keys now.`
   */
  giveUp(reason: string): void {
    const { peer } = this;
    const message = `The controller at ${peer} is lost: ${reason}`;
    this.#link.giveUp(new InitiatorError("lost", message, { peer }));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  get #link(): Link {
    if (!this.#linkOrNone) throw new TypeError("A Controller has been opened before it is used.");
    return this.#linkOrNone;
  }

  #linkConfig(dials: Dials, options: ControllerOptions): LinkConfig {
    const { peer } = this;
    const log = this.#log;
    const { reconnect, clock = systemClock } = options;
    const config: AssociationConfig = {
      host: hostConfig(options, options.subsystemNqn),
      isDiscovery: options.subsystemNqn === discoveryNqn,
      ioQueues: options.ioQueues ?? 1,
      queueDepth: options.queueDepth ?? queueDepthDefault,
      katoMs: options.katoMs ?? katoDefaultMs,
    };
    const security = { ...dials, authentication: options.authentication, tls: options.tls };
    return {
      peer,
      log,
      clock,
      policy: reconnect ? reconnectPolicy(reconnect) : undefined,
      open: async (link, call) => {
        const onEnded = (ended: Association, error: InitiatorError) => link.onEnded(ended, error);
        const context = { peer, log, onAsyncEvent: this.#onAsyncEvent, onEnded };
        const association = await Association.open(security, config, context, call);
        const { controller } = association.admin;
        const { mn, sn, fr, cntlid } = controller;
        this.#identify = controller;
        log("controller-ready", { peer, mn, sn, fr, cntlid, queues: association.ioQueues });
        return association;
      },
      lookOver: ({ admin }, call) => this.#follow(admin, undefined, call),
      onLinked: (epoch) => {
        for (const disk of this.#disks) disk.reconnected(epoch);
      },
      emit: (event) => this.#emit(event),
    };
  }

  /** Asks the controller, and asks it again where the connection was lost meanwhile. */
  async #ask<T>(work: (admin: Admin) => Promise<T>, options: CallOptions): Promise<T> {
    for (let interruptions = 1; ; interruptions++) {
      const { admin } = await this.#link.association(options);
      try {
        return await work(admin);
      } catch (error) {
        if (!isCut(error) || !this.#link.goesOn) throw error;
        if (interruptions > interruptionsMax) throw this.#interrupted(interruptions, error);
      }
    }
  }

  /** The error of a question that may itself be what breaks the connection. */
  #interrupted(times: number, cause: InitiatorError): InitiatorError {
    const { peer } = this;
    const what = `The connection to ${peer} was lost ${times} times while it was asked the same`;
    const message = `${what}: it seems to break at this question. Do without the answer.`;
    return new InitiatorError("interrupted", message, { peer }, { cause });
  }

  /** What a namespace is now, and how it can be worked with. */
  async #look(admin: Admin, nsid: number, options: CallOptions): Promise<Sighting> {
    const info = await readNamespace(admin, nsid, this.peer, options);
    const { oncs, vwc, sn } = admin.controller;
    const ranges = await admin.rangeLimits(options);
    const largest = Math.min(admin.transferBytesMax, ioBytesLimit, ioBytesPreferred);
    const limits: DiskLimits = {
      ioBytesMax: Math.max(largest - (largest % info.blockSizeBytes), info.blockSizeBytes),
      ranges,
      abilities: {
        writeZeroes: oncs.writeZeroes,
        deallocate: oncs.datasetManagement,
        compare: oncs.compare,
        verify: oncs.verify,
      },
      hasVolatileCache: vwc.present,
    };
    return { info, limits, serial: sn };
  }

  /** Looks at the namespaces of open disks, or of those with an id in `nsids`. */
  async #follow(
    admin: Admin,
    nsids: readonly number[] | undefined,
    options: CallOptions = {},
  ): Promise<void> {
    await this.#disks.follow((nsid) => this.#look(admin, nsid, options), nsids);
    void this.#lookAgain();
  }

  /** Looks again at namespaces that could not be looked at, until there are none. */
  async #lookAgain(): Promise<void> {
    if (this.#isLookingAgain) return;
    this.#isLookingAgain = true;
    while (this.#disks.unclear.length > 0) {
      await this.#link.pause(lookAgainMs);
      const { current, goesOn } = this.#link;
      if (!current && !goesOn) break;
      // What a lost connection keeps from being asked is asked on the next one.
      if (current) await this.#follow(current.admin, this.#disks.unclear).catch(() => {});
    }
    this.#isLookingAgain = false;
  }

  /** Follows an event; one that cannot be followed is told, and others come after it. */
  readonly #onAsyncEvent = async (
    association: Association,
    { aet, info, lid }: AsyncEvent,
  ): Promise<void> => {
    this.#log("async-event", { peer: this.peer, aet, info, lid });
    try {
      await this.#followEvent(association, { aet, info, lid });
    } catch (error) {
      if (isCut(error)) throw error;
      this.#log("async-event", { peer: this.peer, aet, info, lid, failure: String(error) });
      this.#emit({ type: "other", aet, info, lid });
    }
  };

  async #followEvent({ admin }: Association, { aet, info, lid }: AsyncEvent): Promise<void> {
    if (aet === asyncEventType.notice && info === notice.namespaceAttribute) {
      const nsids = await changedNamespaces(admin);
      await this.#follow(admin, nsids);
      this.#emit({ type: "namespaces-changed", nsids });
    } else if (aet === asyncEventType.notice && info === notice.discoveryLog) {
      this.#emit({ type: "discovery-changed" });
    } else if (aet === asyncEventType.notice && info === notice.ana) {
      const groups = await readAnaLog(admin, this.peer);
      await this.#follow(admin, this.#disks.unclear);
      this.#emit({ type: "ana-changed", groups });
    } else this.#emit({ type: "other", aet, info, lid });
  }

  #emit(event: ControllerEvent): void {
    for (const listener of this.#listeners) listener(event);
    if (event.type === "closed") this.#listeners.clear();
  }

  async #close(signal: AbortSignal): Promise<void> {
    const disposed = [...this.#disks].map((disk) => disk[Symbol.asyncDispose]());
    if (this.#link.current) await settledOrAborted(this.#untilCut(Promise.all(disposed)), signal);
    const association = await this.#link.close();
    await association?.shutDown({ signal });
    this.#log("controller-closed", { peer: this.peer, reason: "closed here" });
    this.#listeners.clear();
  }

  /** Waits for `work`, but not longer than the connection lasts. */
  async #untilCut(work: Promise<unknown>): Promise<void> {
    const cut = Promise.withResolvers<void>();
    const stop = this.onEvent(({ type }) => {
      if (type === "disconnected" || type === "closed") cut.resolve();
    });
    try {
      await Promise.race([work, cut.promise]);
    } finally {
      stop();
    }
  }
}

/** The ids that the controller says have changed; `undefined` where it does not say which. */
async function changedNamespaces(admin: Admin): Promise<readonly number[] | undefined> {
  try {
    const page = await admin.logPage(logPage.changedNamespaces, 0, identifyBytes);
    const nsids = decodeNamespaceList(page);
    return nsids[0] === 0xffffffff ? undefined : nsids;
  } catch (error) {
    if (isCut(error)) throw error;
    return undefined;
  }
}

/** True for the error of a command whose connection was lost. */
function isCut(error: unknown): error is InitiatorError {
  return error instanceof InitiatorError && error.code === "closed";
}
