/**
 * One controller: what an admin queue's Connect makes, and what ends with that queue.
 *
 *   disabled ──CC.EN, settings fit──► ready ──CC.SHN──► shutting down ──flushed──► shut down
 *      ▲  └──settings do not fit──► failed (CFS)           │                         │
 *      └──────────────────── CC.EN cleared: a reset ends the I/O queues ─────────────┘
 *
 * NVMe Base 2.0 §3.5 to §3.6 (life), §5.2 (events), §5.19 (keep alive).
 */

import {
  type AsyncEventName,
  asyncEventConfiguration,
  cc,
  csts,
  decodeProperty,
  dword,
  encodeAsyncEvent,
  encodeProperty,
  type StatusName,
  shst,
} from "../nvme/index.ts";
import { type Answer, failure, success } from "./answer.ts";
import { ErrorLog } from "./error-log.ts";
import { asyncEventsMax, keepAliveUnitMs } from "./limits.ts";
import type { ByteBudget } from "./pool.ts";
import type { ReservationNotice } from "./reservations.ts";
import type { ChannelSecurity } from "./secure-channel.ts";
import type { Statistics } from "./statistics.ts";
import type { HostAccess, Subsystem } from "./subsystem.ts";

/** A queue as its controller sees it. */
export interface QueueLink {
  readonly qid: number;
  answer(cid: number, answer: Answer): void;
  /** Aborts a command; false when there is none, or it is past aborting. */
  abort(cid: number): boolean;
  /** Aborts what can be of a namespace's commands, with a status. */
  abortNamespace(nsid: number, status: StatusName): void;
  end(reason: string): void;
  /** Resolves when no call on a device is under way for it. */
  settled(): Promise<void>;
}

/** Who made a controller. */
export interface ControllerHost {
  readonly hostnqn: string;
  /** 16 bytes in hex. */
  readonly hostid: string;
  readonly access: HostAccess;
}

/** How a controller begins. */
export interface ControllerOptions {
  readonly isDiscovery: boolean;
  readonly security: ChannelSecurity;
  /** It is there to make a key for TLS. */
  readonly isKeyOnly: boolean;
  /** 0 for none. */
  readonly katoMs: number;
  readonly nowMs: number;
  readonly statistics: Statistics;
  readonly budget: ByteBudget;
}

type Phase = "disabled" | "ready" | "failed";

/** Namespace ids that the changed list holds before it says "many". */
const changedMax = 1024;
/** Reservation notifications kept for a host that does not read them. */
const noticesMax = 64;

/** The state of one controller. */
export class Controller {
  readonly cntlid: number;
  readonly subsystem: Subsystem;
  readonly host: ControllerHost;
  readonly admin: QueueLink;
  readonly isDiscovery: boolean;
  /** How its admin queue is secured. */
  readonly security: ChannelSecurity;
  readonly isKeyOnly: boolean;
  readonly ioQueues = new Map<number, QueueLink>();
  readonly errors = new ErrorLog();
  /** Counts of the host, whatever its controllers. */
  readonly statistics: Statistics;
  /** Memory of the host, whatever its controllers. */
  readonly budget: ByteBudget;
  /** Feature values that do no more than be remembered, by identifier. */
  readonly remembered = new Map<number, number>();
  /** Namespaces whose reservation notifications are muted, and which (the bits of feature 82h). */
  readonly reservationMask = new Map<number, number>();
  readonly reservationNotices: { readonly type: ReservationNotice["type"]; nsid: number }[] = [];
  reservationNoticeCount = 0n;
  /** What the host says that it does, as it set it (feature 16h). */
  hostBehavior: Uint8Array = new Uint8Array(0);
  /** Writes go through to the medium: the host switched the volatile cache off. */
  isWriteThrough = false;
  /** Keep Alive Timeout; 0 for none. */
  katoMs: number;
  /** When a command came last. */
  lastActivityMs: number;
  /** Whether the host may use it: it has authenticated, or need not. */
  isAuthenticated = false;
  #phase: Phase = "disabled";
  #configuration = 0n;
  #shutdownStatus: number = shst.normal;
  #events = 0;
  readonly #requests: number[] = [];
  readonly #pending = new Set<AsyncEventName>();
  readonly #reported = new Set<AsyncEventName>();
  readonly #changed = new Set<number>();

  constructor(
    cntlid: number,
    subsystem: Subsystem,
    host: ControllerHost,
    admin: QueueLink,
    options: ControllerOptions,
  ) {
    this.cntlid = cntlid;
    this.subsystem = subsystem;
    this.host = host;
    this.admin = admin;
    this.statistics = options.statistics;
    this.budget = options.budget;
    this.isDiscovery = options.isDiscovery;
    this.security = options.security;
    this.isKeyOnly = options.isKeyOnly;
    this.katoMs = Math.ceil(options.katoMs / keepAliveUnitMs) * keepAliveUnitMs;
    this.lastActivityMs = options.nowMs;
  }

  /** CC.EN is set and CSTS.RDY with it. */
  get isReady(): boolean {
    return this.#phase === "ready" && this.#shutdownStatus === shst.normal;
  }

  /** CC as it was set last. */
  get configuration(): bigint {
    return this.#configuration;
  }

  /** CSTS. */
  get status(): bigint {
    const none = decodeProperty(csts, 0n);
    return encodeProperty(csts, {
      bits: {
        ...none.bits,
        rdy: this.#phase === "ready",
        cfs: this.#phase === "failed",
        shst: this.#shutdownStatus,
      },
    });
  }

  /** Events that the host wants, as the feature's 32 bits. */
  get eventConfiguration(): number {
    return this.#events;
  }
  set eventConfiguration(value: number) {
    this.#events = value;
    this.#deliver();
  }

  /** Sets CC: enables, resets or shuts down. */
  configure(value: bigint): void {
    const { en, css, mps, ams, shn } = decodeProperty(cc, value).bits;
    const wasEnabled = decodeProperty(cc, this.#configuration).bits.en;
    this.#configuration = value;
    if (en && !wasEnabled) {
      const fits = mps === 0 && ams === 0 && (css === 0 || css === allCommandSets);
      this.#phase = fits ? "ready" : "failed";
      this.#shutdownStatus = shst.normal;
    } else if (!en && wasEnabled) this.#reset();
    if (shn !== 0 && this.#shutdownStatus === shst.normal) void this.#shutDown();
  }

  /**
   * Whether the host has not been heard of for longer than it promised. With Traffic Based Keep
   * Alive (CTRATT.TBKAS) a controller looks back when KATO is over, and begins anew where a command
   * came meanwhile: a host that keeps to the rules may be silent for almost twice KATO. Linux's
   * target waits as long. Base 2.0 §3.9.
   */
  isExpired(nowMs: number): boolean {
    if (this.katoMs === 0 || this.#shutdownStatus !== shst.normal) return false;
    return nowMs - this.lastActivityMs > 2 * this.katoMs;
  }

  /** Whether CC has the sizes of entries that I/O queues have; a host may set them after CC.EN. */
  get hasEntrySizes(): boolean {
    const { iosqes, iocqes } = decodeProperty(cc, this.#configuration).bits;
    return iosqes === sqesWanted && iocqes === cqesWanted;
  }

  /** Holds an Asynchronous Event Request until there is an event. */
  requestEvent(cid: number): Answer | undefined {
    if (this.#requests.length >= asyncEventsMax) return failure("asyncEventLimit");
    this.#requests.push(cid);
    this.#deliver();
    return undefined;
  }

  /** Gives a held request up; false when `cid` is none. */
  abortEventRequest(cid: number): boolean {
    const index = this.#requests.indexOf(cid);
    if (index < 0) return false;
    this.#requests.splice(index, 1);
    this.admin.answer(cid, failure("abortRequested"));
    return true;
  }

  /** Something happened that the host may want to know. */
  post(event: AsyncEventName): void {
    const { namespaceAttribute, discoveryLog } = asyncEventConfiguration.decode(
      dword(this.#events),
    ).bits;
    if (event === "namespaceAttribute" && !namespaceAttribute) return;
    if (event === "discoveryLog" && !discoveryLog) return;
    this.#pending.add(event);
    this.#deliver();
  }

  /** The page was read that tells about an event: it may be told again. */
  rearm(event: AsyncEventName): void {
    this.#reported.delete(event);
    this.#deliver();
  }

  noteNamespaceChanged(nsid: number): void {
    if (this.isDiscovery) return;
    this.#changed.add(nsid);
    this.post("namespaceAttribute");
  }

  /** Namespaces that changed and were not read of; "many" when they are too many for the page. */
  get changedNamespaces(): readonly number[] | "many" {
    const changed = [...this.#changed].sort((a, b) => a - b);
    return changed.length > changedMax ? "many" : changed;
  }

  /** The host has read which namespaces changed. */
  clearChangedNamespaces(): void {
    this.#changed.clear();
  }

  /** Tells of a reservation's change unless the host muted that. */
  noteReservation(type: ReservationNotice["type"], nsid: number): void {
    const muted = this.reservationMask.get(nsid) ?? 0;
    if (Math.floor(muted / 2 ** noticeBit[type]) % 2 === 1) return;
    this.reservationNoticeCount++;
    if (this.reservationNotices.length < noticesMax) this.reservationNotices.push({ type, nsid });
    this.post("reservation");
  }

  abortNamespace(nsid: number, status: StatusName): void {
    for (const queue of this.ioQueues.values()) queue.abortNamespace(nsid, status);
  }

  /** Resolves when no call on a device is under way for any of its I/O queues. */
  async settled(): Promise<void> {
    await Promise.all([...this.ioQueues.values()].map((queue) => queue.settled()));
  }

  /** The admin queue is gone, or the host has been silent: everything ends. Idempotent. */
  end(reason: string): void {
    if (!this.subsystem.controllers.delete(this.cntlid)) return;
    this.#requests.length = 0;
    for (const queue of this.ioQueues.values()) queue.end(reason);
    this.ioQueues.clear();
    this.admin.end(reason);
  }

  #deliver(): void {
    for (const event of this.#pending) {
      if (this.#reported.has(event)) continue;
      const cid = this.#requests.shift();
      if (cid === undefined) return;
      this.#pending.delete(event);
      this.#reported.add(event);
      this.admin.answer(cid, success(encodeAsyncEvent(event)));
    }
  }

  #reset(): void {
    this.#phase = "disabled";
    this.#shutdownStatus = shst.normal;
    this.#requests.length = 0;
    this.#pending.clear();
    this.#reported.clear();
    this.#events = 0;
    this.isWriteThrough = false;
    this.hostBehavior = new Uint8Array(0);
    this.remembered.clear();
    for (const queue of this.ioQueues.values()) queue.end("the host reset the controller");
    this.ioQueues.clear();
  }

  /** What was written becomes durable before the host is told that it may go. */
  async #shutDown(): Promise<void> {
    this.#shutdownStatus = shst.occurring;
    const flushes = [...this.subsystem.namespaces.values()]
      .filter(({ isReadOnly }) => !isReadOnly)
      .map(({ device }) => device.flush());
    await Promise.allSettled(flushes);
    if (this.#shutdownStatus === shst.occurring) this.#shutdownStatus = shst.complete;
  }
}

/** CC.CSS: all I/O command sets that the controller supports. */
const allCommandSets = 6;
/** CC.IOSQES and CC.IOCQES: entries of 64 and 16 bytes, as powers of two. */
const sqesWanted = 6;
const cqesWanted = 4;
/** Bits of the Reservation Notification Mask. */
const noticeBit: Readonly<Record<ReservationNotice["type"], number>> = {
  registrationPreempted: 1,
  reservationReleased: 2,
  reservationPreempted: 3,
};
