/**
 * One connection of a host, which over TCP is one queue: the engine without I/O.
 *
 *   new ──ICReq──► initialized ──Connect──► live ──(reset, Disconnect, host gone, fault)──► ended
 *    └──────────── too late, anything else first: TermReq or a refusal ─────────────────────┘
 *
 * Bytes and ticks go in; what is to be sent goes to the transport. A fault of the peer ends the
 * connection with a C2HTermReq; a refusal of a command never does.
 * NVM Express TCP Transport 1.0 §3.2 to §3.5; NVMe Base 2.0 §3.3.2 and §6.
 */

import {
  adminCapsuleBytesMax,
  encodeIcResp,
  encodeTermReq,
  type Framing,
  fes,
  initialFraming,
  type Pdu,
  type PduFault,
  pduFault,
  pduType,
  type StatusName,
} from "../nvme/index.ts";
import { type Answer, failure, statusBits } from "./answer.ts";
import type { Authentication } from "./authentication.ts";
import { CommandIntake } from "./command-intake.ts";
import type { Controller, QueueLink } from "./controller.ts";
import { DataPath, type DataPathHost, type Pending } from "./data-path.ts";
import { Outbox } from "./outbox.ts";
import type { ByteBudget } from "./pool.ts";
import { Receiver } from "./receiver.ts";
import type { Services } from "./services.ts";
import { Statistics } from "./statistics.ts";
import type { Transport } from "./transport.ts";

/** MAXH2CDATA: one H2CData may carry what one R2T asks for. */
const h2cDataBytesMax = 4 * 1024 * 1024;
/**
 * Bytes with the socket from which on nothing is added: a connection whose host is slower than the
 * target holds one piece of memory for what is sent. What the system holds for it is more.
 */
const congestedBytes = 128 * 1024;
/** Bit 14 of a status field: the Error Information log has more on it. */
const moreBit = 0x4000;
/** SQHD of a queue without flow control. */
const noHead = 0xffff;

/** What a finished Connect makes of a connection. */
export interface Attachment {
  readonly controller: Controller;
  readonly qid: number;
  /** Entries of the submission queue. */
  readonly entries: number;
  readonly isFlowControlled: boolean;
  readonly authentication: Authentication | undefined;
}

type Phase = "new" | "initialized" | "live" | "ended";

/** The engine of one connection. */
export class TargetConnection implements QueueLink, DataPathHost {
  readonly transport: Transport;
  readonly services: Services;
  readonly outbox: Outbox;
  readonly pool;
  budget: ByteBudget;
  readonly bytesMax: number;
  readonly data: DataPath;
  usesSuccess = false;
  statistics = new Statistics();
  readonly #receiver: Receiver;
  readonly #intake: CommandIntake;
  readonly #pending = new Map<number, Pending>();
  readonly #watched = new Set<Promise<unknown>>();
  #attachment: Attachment | undefined;
  #phase: Phase = "new";
  #deadlineMs: number;
  #head = 0;
  #entries = 0;
  #endReason: string | undefined;
  #isReceiving = true;
  /** Commands that the bytes at hand brought. */
  #commandsTaken = 0;
  /** When the socket was seen to take what it is given. */
  #movedMs: number;
  #sendMarkBefore = 0;
  /** When data of the host that memory is held for was seen to come. */
  #fedMs: number;
  #feedBefore = 0;

  constructor(services: Services, transport: Transport) {
    this.services = services;
    this.transport = transport;
    this.pool = services.pool;
    this.budget = services.budget;
    this.bytesMax = services.limits.connectionBytesInFlightMax;
    this.outbox = new Outbox(services.pool, (chunk, sent) => transport.send(chunk, sent));
    this.data = new DataPath(this);
    this.#intake = new CommandIntake(this);
    this.#receiver = new Receiver({
      icReq: (pdu) => this.#initialize(pdu),
      termReq: ({ fes: reason, fei }) => {
        services.log("peer-fault", { ...this.facts, fes: reason, fei, by: "host" });
        this.end("the host ended the connection");
      },
      capsule: (bytes, at, dataLength) => this.#capsule(bytes, at, dataLength),
      hostData: (pdu) => (this.#phase === "new" ? tooEarly("H2CData") : this.#intake.hostData(pdu)),
      data: (bytes, from, to, offset) => this.#intake.data(bytes, from, to, offset),
      place: (offset) => this.#intake.place(offset),
      end: (digestMatches) => this.#intake.end(digestMatches),
    });
    this.#movedMs = transport.nowMs();
    this.#fedMs = this.#movedMs;
    this.#deadlineMs = this.#movedMs + services.limits.halfOpenMs;
  }

  /** What events say of a connection. */
  get facts(): Readonly<Record<string, unknown>> {
    const { address, port } = this.transport.remote;
    return { peer: `${address}:${port}`, qid: this.#attachment?.qid };
  }

  get attachment(): Attachment | undefined {
    return this.#attachment;
  }

  get qid(): number {
    return this.#attachment?.qid ?? 0;
  }

  get isEnded(): boolean {
    return this.#phase === "ended";
  }

  nowMs(): number {
    return this.transport.nowMs();
  }

  /** Takes bytes of the connection, cut in any way. */
  receive(chunk: Uint8Array): void {
    if (this.#phase === "ended") return;
    const controller = this.#attachment?.controller;
    if (controller) controller.lastActivityMs = this.transport.nowMs();
    this.#commandsTaken = 0;
    this.#settle(this.#receiver.push(chunk));
  }

  /** Where the next bytes may be put, when they are data with a place of its own. */
  landing(): Uint8Array | undefined {
    return this.#phase === "ended" ? undefined : this.#receiver.landing();
  }

  /** Data that was asked for is to come: what follows its header had better land in its place. */
  get isExpectingData(): boolean {
    return this.#receiver.canLand && this.#intake.isExpectingData;
  }

  /** Data ends its PDU. With digests more follows, maybe by a read that takes the data's place. */
  get endsWithData(): boolean {
    return this.#receiver.canLand;
  }

  /** `count` bytes were put where `landing` said. */
  landed(count: number): void {
    this.#commandsTaken = 0;
    if (this.#phase !== "ended") this.#settle(this.#receiver.landed(count));
  }

  /** A lone command just came and is answered: the host is likely to send its next one at once. */
  get hasAnsweredOne(): boolean {
    const isIo = this.qid > 0 && this.#phase === "live";
    return isIo && this.#commandsTaken === 1 && this.#pending.size === 0;
  }

  /** The socket has taken what it was given. */
  writable(): void {
    this.flush();
  }

  /** Time passes: what is late ends. */
  tick(nowMs: number): void {
    if (this.#phase === "ended") return;
    if (nowMs >= this.#deadlineMs) {
      this.end("no finished Connect in time");
      return;
    }
    const idle = this.#idleness(nowMs);
    if (idle) {
      // Its other queues would take the memory in its place.
      this.#attachment?.controller.end(idle);
      this.end(idle);
      return;
    }
    const { controller, qid } = this.#attachment ?? {};
    if (qid === 0 && controller?.isExpired(nowMs)) controller.end("the keep alive timer expired");
  }

  /** Why a host that does not go on is not waited for any longer. */
  #idleness(nowMs: number): string | undefined {
    const { holdMs, stallMs } = this.services.limits;
    const { bufferedBytes, sendMark } = this.transport;
    if (bufferedBytes === 0 || sendMark !== this.#sendMarkBefore) this.#movedMs = nowMs;
    this.#sendMarkBefore = sendMark;
    const patienceMs = this.data.heldBytes > 0 ? Math.min(holdMs, stallMs) : stallMs;
    if (nowMs - this.#movedMs > patienceMs) return "the host does not take what it asked for";
    const feed = this.#intake.fedBytes - (this.#intake.isBeingFed ? this.#receiver.bytesLeft : 0);
    const mustWait = this.#intake.incomingBytes > 0 && this.#isReceiving;
    if (!mustWait || feed !== this.#feedBefore) this.#fedMs = nowMs;
    this.#feedBefore = feed;
    return nowMs - this.#fedMs > holdMs
      ? "the host does not send the data of its writes"
      : undefined;
  }

  /** A finished Connect: the connection is a queue from now on. */
  attach(attachment: Attachment): void {
    const { controller, entries, isFlowControlled, authentication } = attachment;
    this.#attachment = attachment;
    controller.lastActivityMs = this.nowMs();
    this.budget = controller.budget;
    this.budget.adopt(this.data.heldBytes);
    this.#phase = "live";
    this.#entries = entries;
    this.#head = isFlowControlled ? 1 % entries : noHead;
    this.usesSuccess = !isFlowControlled || this.services.successPolicy === "always";
    this.statistics = controller.statistics;
    this.#intake.attach(attachment);
    this.#receiver.framing = this.#framing(attachment);
    if (authentication?.isDone ?? true) this.complete();
  }

  /** Connect and authentication are through: the connection is not half open any more. */
  complete(): void {
    this.#deadlineMs = Number.POSITIVE_INFINITY;
    if (this.#attachment?.qid === 0) this.#attachment.controller.isAuthenticated = true;
    this.services.completed(this);
  }

  isCongested(): boolean {
    return this.transport.bufferedBytes > congestedBytes;
  }

  track(pending: Pending): void {
    this.#pending.set(pending.cid, pending);
  }

  /** Commands that are under way. */
  get pendingCount(): number {
    return this.#pending.size;
  }

  isPending(cid: number): boolean {
    return this.#pending.size > 0 && this.#pending.has(cid);
  }

  finish(cid: number, status: number, nsid: number, opc: number, isSaid: boolean): void {
    if (this.#pending.size > 0) this.#pending.delete(cid);
    if (isSaid || this.#phase === "ended") return;
    const full = status === 0 ? 0 : this.#logError(cid, status, nsid, opc);
    this.outbox.response(cid, full, this.#head, this.qid);
  }

  /** Answers a command, with its data before its completion. */
  respond(cid: number, answer: Answer, nsid: number, opc: number): void {
    if (this.#pending.size > 0) this.#pending.delete(cid);
    if (this.#phase === "ended") return;
    const { status, dw0, dw1, data } = answer;
    if (status === 0 && data && data.length > 0) this.outbox.data(cid, data);
    const full = status === 0 ? 0 : this.#logError(cid, status, nsid, opc, answer);
    this.outbox.response(cid, full, this.#head, this.qid, dw0, dw1);
  }

  answer(cid: number, answer: Answer): void {
    this.respond(cid, answer, 0, 0);
    this.flush();
  }

  /** Goes on with what waited for the socket or for memory; sends what was put together. */
  flush(): void {
    if (this.#phase === "ended") return;
    this.data.pump();
    this.#intake.startWaiting();
    this.#intake.answerWaiting();
    this.outbox.flush();
    const settledBytes = this.data.heldBytes - this.#intake.incomingBytes;
    const mayReceive = !this.isCongested() && settledBytes <= this.bytesMax;
    if (mayReceive !== this.#isReceiving) {
      this.#isReceiving = mayReceive;
      this.transport.setReceiving(mayReceive);
    }
    if (this.#endReason !== undefined) this.end(this.#endReason);
  }

  watch(work: Promise<unknown>): void {
    const watched = work.finally(() => this.#watched.delete(watched));
    this.#watched.add(watched);
  }

  abort(cid: number, status: StatusName = "abortRequested"): boolean {
    const pending = this.#pending.get(cid);
    if (!pending?.abort()) return false;
    this.respond(cid, failure(status), pending.nsid, 0);
    this.flush();
    return true;
  }

  abortNamespace(nsid: number, status: StatusName): void {
    for (const pending of [...this.#pending.values()]) {
      if (pending.nsid === nsid) this.abort(pending.cid, status);
    }
  }

  async settled(): Promise<void> {
    await Promise.allSettled(this.#watched);
  }

  /** Ends once what is put together has left. */
  endAfterSending(reason: string): void {
    this.#endReason = reason;
  }

  /** Ends the connection. Idempotent. */
  end(reason: string): void {
    if (this.#phase === "ended") return;
    this.outbox.flush();
    this.#phase = "ended";
    for (const pending of this.#pending.values()) pending.abort();
    this.#pending.clear();
    this.#intake.close();
    this.outbox.close();
    this.transport.end(this.#attachment !== undefined);
    this.services.log("connection-ended", { ...this.facts, reason });
    this.services.ended(this);
    const { controller, qid } = this.#attachment ?? {};
    if (!controller) return;
    this.#leave(controller);
    if (qid === 0) controller.end(reason);
    else if (controller.ioQueues.get(this.qid) === this) controller.ioQueues.delete(this.qid);
  }

  /** Calls on devices that are under way may still write: a host that returns waits for them. */
  #leave(controller: Controller): void {
    if (this.#watched.size === 0) return;
    const { leftovers } = controller.subsystem;
    const { hostid } = controller.host;
    const mine = leftovers.get(hostid) ?? new Set();
    leftovers.set(hostid, mine);
    const rest = this.settled().then(() => {
      mine.delete(rest);
      if (mine.size === 0) leftovers.delete(hostid);
    });
    mine.add(rest);
  }

  #settle(fault: PduFault | undefined): void {
    if (fault) this.#refuse(fault);
    else this.flush();
  }

  /** The host broke the protocol: tells it so, and ends. */
  #refuse(fault: PduFault): void {
    if (this.#phase === "ended") return;
    const { reason, detail } = fault;
    this.services.log("peer-fault", { ...this.facts, reason, detail, by: "target" });
    // A termination request is not answered by another one (TCP Transport 1.0 §3.5.2).
    const isOfTermReq = fault.header[0] === pduType.H2CTermReq;
    if (!isOfTermReq) this.outbox.append(encodeTermReq("C2HTermReq", fault));
    this.end(`the host broke the protocol: ${detail}`);
  }

  #initialize(pdu: Pdu & { readonly type: "ICReq" }): PduFault | undefined {
    if (this.#phase !== "new") return pduFault("sequence", "a second ICReq");
    if (pdu.pfv !== 0) return pduFault("parameter", `PFV ${pdu.pfv}, wanted 0`, 8);
    if (pdu.hpda > alignmentBytesMax) {
      return pduFault("parameter", `HPDA of ${pdu.hpda} bytes, at most ${alignmentBytesMax}`, 10);
    }
    const { dgst } = pdu;
    this.outbox.append(encodeIcResp({ pfv: 0, cpda: 4, dgst, maxh2cdata: h2cDataBytesMax }));
    this.outbox.framing = { ...dgst, alignmentBytes: pdu.hpda };
    this.#digests = dgst;
    this.#receiver.framing = this.#framing(undefined);
    this.#phase = "initialized";
    return undefined;
  }

  #digests = { hdgst: false, ddgst: false };

  #framing(attachment: Attachment | undefined): Framing {
    const isIo = attachment !== undefined && attachment.qid > 0;
    const { capsuleDataBytesMax } = this.services.limits;
    return {
      ...initialFraming,
      ...this.#digests,
      alignmentBytes: 4,
      capsuleDataBytesMax: isIo
        ? Math.max(capsuleDataBytesMax, adminCapsuleBytesMax)
        : adminCapsuleBytesMax,
      dataBytesMax: h2cDataBytesMax,
    };
  }

  #capsule(bytes: Uint8Array, at: number, dataLength: number): PduFault | undefined {
    if (this.#phase === "new") return tooEarly("CapsuleCmd");
    this.#commandsTaken++;
    if (this.#head !== noHead && this.#entries > 0) this.#head = (this.#head + 1) % this.#entries;
    const cid = bytes[at + 2]! + bytes[at + 3]! * 256;
    if (this.isPending(cid)) {
      // The command that has the identifier goes on.
      const status = this.#logError(cid, statusBits("commandIdConflict"), 0, bytes[at]!);
      this.outbox.response(cid, status, this.#head, this.qid);
      this.#intake.discard(dataLength);
      return undefined;
    }
    if (this.#pending.size >= this.#commandsMax) {
      const detail = `more commands at a time than ${this.#commandsMax}`;
      return { ...pduFault("limit", detail), fes: fes.limitExceeded };
    }
    return this.#intake.command(cid, bytes, at, dataLength);
  }

  /**
   * Connect alone until it is through. Linux has event requests beside a full admin queue, so twice
   * the entries are taken.
   */
  get #commandsMax(): number {
    if (!this.#attachment) return 1;
    return Math.max(this.#entries, 16) * 2;
  }

  #logError(cid: number, status: number, nsid: number, opc: number, answer?: Answer): number {
    const controller = this.#attachment?.controller;
    if (!controller) return status;
    const { location, lba } = answer ?? {};
    controller.errors.add({ sqid: this.qid, cid, status, opc, nsid, lba, location });
    return status + moreBit;
  }
}

/** HPDA is 0's based dwords in 5 bits. */
const alignmentBytesMax = 128;

function tooEarly(what: string): PduFault {
  return pduFault("sequence", `${what} before ICReq`);
}
