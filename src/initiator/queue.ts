/**
 * One queue of a controller, which over TCP is one connection: a state machine without I/O.
 *
 *   new ──start──► initializing ──ICResp──► connecting ──Connect's response──► live
 *                        └──────────────────────┴──────── any failure ──────────┴──► ended
 *
 * Bytes, requests and ticks go in; `drain` gives back what to send and what happened. Requests
 * wait in order while all slots are taken or the socket has enough to do.
 * NVM Express TCP Transport 1.0 §3.2 to §3.5, NVMe Base 2.0 §3.3.
 */

import {
  appendCapsuleCmd,
  appendData,
  type Completion,
  command,
  connectData,
  type DataPointer,
  type Digests,
  describeFes,
  encodeCommand,
  encodeIcReq,
  encodeTermReq,
  noData,
  type Pdu,
  type PduFault,
  PduStream,
  pduFault,
} from "../nvme/index.ts";
import { checkConnect, checkIcResp, type Failure, type Negotiated } from "./negotiation.ts";
import {
  abandonTransfer,
  acceptC2hData,
  acceptCompletion,
  acceptR2t,
  finalStatus,
  type InFlight,
  type QueueRequest,
  startTransfer,
} from "./transfer.ts";

/** What a queue is connected with. */
export interface QueueConfig {
  /** 0 is the admin queue. */
  readonly qid: number;
  /** Entries of the submission queue (SQSIZE as a count); one less can be under way. */
  readonly entries: number;
  readonly subnqn: string;
  readonly hostnqn: string;
  /** 16 bytes. */
  readonly hostid: Uint8Array;
  /** FFFFh for an admin queue, else the controller that the admin queue got. */
  readonly cntlid: number;
  /** Keep Alive Timeout in milliseconds; 0 for none, and for I/O queues. */
  readonly katoMs: number;
  readonly digests: Digests;
  /** Data up to this length goes with its command. */
  readonly capsuleDataBytesMax: number;
  /** How long ICResp, and then the response to Connect, may take. */
  readonly connectTimeoutMs: number;
}

/** Where a queue stands; each state has what is valid in it. */
export type QueueState =
  | { readonly name: "new" }
  | { readonly name: "initializing"; readonly deadlineMs: number }
  | {
      readonly name: "connecting";
      readonly deadlineMs: number;
      readonly negotiated: Negotiated;
    }
  | { readonly name: "live"; readonly negotiated: Negotiated; readonly cntlid: number }
  | { readonly name: "ended"; readonly failure: Failure };

/** What happened, in the order in which it did. */
export type QueueEvent<R> =
  | { readonly kind: "live"; readonly cntlid: number }
  | { readonly kind: "completed"; readonly request: R; readonly completion: Completion }
  /** The connection is to be closed after what is still to be sent; these requests failed. */
  | { readonly kind: "ended"; readonly failure: Failure; readonly requests: readonly R[] };

/** What the driver has to do. */
export interface QueueEffects<R> {
  readonly send: Uint8Array[];
  readonly events: QueueEvent<R>[];
}

/** Requests that may wait for a slot; beyond, `submit` refuses. */
export const waitingMax = 65536;

/** Slots are numbered below this; a cid is a slot and a generation, so that a late or doubled
 * response is not taken for that of the slot's next command. */
const slotsMax = 4096;
const generations = 16;
/** CID of the Connect command, outside of the generations that requests count through. */
const connectCid = 0;

/** The state machine of one queue. */
export class Queue<R extends QueueRequest> {
  readonly #config: QueueConfig;
  readonly #stream = new PduStream("host", {
    header: (pdu) => this.#header(pdu),
    data: (slice, offset) => this.#data(slice, offset),
    end: (digestMatches) => this.#dataEnd(digestMatches),
  });
  #state: QueueState = { name: "new" };
  #nowMs = 0;
  readonly #waiting = new Set<R>();
  readonly #slots: (InFlight<R> | undefined)[];
  readonly #freeSlots: number[];
  readonly #generation: Uint8Array;
  /** Commands that owe data, first asked first served. */
  readonly #owing = new Set<InFlight<R>>();
  /** The command whose C2HData is being received. */
  #receiving: { entry: InFlight<R>; datao: number; isSuccess: boolean } | undefined;
  #send: Uint8Array[] = [];
  #events: QueueEvent<R>[] = [];

  constructor(config: QueueConfig) {
    this.#config = config;
    const slots = Math.min(config.entries - 1, slotsMax);
    this.#slots = new Array<InFlight<R> | undefined>(slots).fill(undefined);
    this.#freeSlots = Array.from({ length: slots }, (_, index) => slots - 1 - index);
    this.#generation = new Uint8Array(slots);
  }

  get state(): QueueState {
    return this.#state;
  }

  /** Requests under way or waiting, those that nobody waits for included. */
  get load(): number {
    return this.#slots.length - this.#freeSlots.length + this.#waiting.size;
  }

  /** The transport is there: sends ICReq. */
  start(nowMs: number): void {
    this.#nowMs = nowMs;
    this.#state = { name: "initializing", deadlineMs: nowMs + this.#config.connectTimeoutMs };
    this.#send.push(encodeIcReq({ pfv: 0, hpda: 4, dgst: this.#config.digests, maxr2t: 1 }));
  }

  /** Takes bytes of the connection, cut in any way. */
  receive(chunk: Uint8Array): void {
    if (this.#state.name === "ended") return;
    const fault = this.#stream.push(chunk);
    if (fault) this.#refuse(fault);
  }

  /** Takes a request; false when too many wait or the queue has ended. */
  submit(request: R): boolean {
    if (this.#state.name === "ended" || this.#waiting.size >= waitingMax) return false;
    this.#waiting.add(request);
    return true;
  }

  /** Nobody waits for `request` any more: it is not sent, or its result is dropped. */
  abandon(request: R): void {
    if (this.#waiting.delete(request)) return;
    const entry = this.#slots.find((slot) => slot?.request === request);
    if (entry) abandonTransfer(entry);
  }

  /** Time passes; `nowMs` never goes back. A command that is late ends the queue. */
  tick(nowMs: number): void {
    this.#nowMs = nowMs;
    const state = this.#state;
    if (state.name === "initializing" || state.name === "connecting") {
      if (nowMs >= state.deadlineMs) {
        const what = state.name === "initializing" ? "ICReq" : "Connect";
        const after = `${this.#config.connectTimeoutMs} ms`;
        this.end({ code: "timeout", detail: `no answer to ${what} within ${after}`, facts: {} });
      }
      return;
    }
    for (const entry of this.#slots) {
      if (entry && nowMs >= entry.deadlineMs) {
        const { command: late, timeoutMs } = entry.request;
        const detail = `no answer to ${late.name} within ${timeoutMs} ms`;
        this.end({ code: "timeout", detail, facts: { command: late.name } });
        return;
      }
    }
  }

  /** The connection ended, or is to end, for `failure`; every request fails. Idempotent. */
  end(failure: Failure): void {
    if (this.#state.name === "ended") return;
    this.#state = { name: "ended", failure };
    const requests: R[] = [];
    for (const entry of this.#slots) if (entry && !entry.isAbandoned) requests.push(entry.request);
    requests.push(...this.#waiting);
    this.#waiting.clear();
    this.#owing.clear();
    this.#slots.fill(undefined);
    this.#receiving = undefined;
    this.#events.push({ kind: "ended", failure, requests });
  }

  /** Puts up to about `budgetBytes` together for the socket, and hands over what happened. */
  drain(budgetBytes: number): QueueEffects<R> {
    if (this.#state.name === "live") this.#pump(this.#state.negotiated, budgetBytes);
    const effects = { send: this.#send, events: this.#events };
    if (effects.send.length > 0) this.#send = [];
    if (effects.events.length > 0) this.#events = [];
    return effects;
  }

  #header(pdu: Pdu): PduFault | undefined {
    const state = this.#state;
    if (state.name === "ended") return undefined;
    if (pdu.type === "C2HTermReq") {
      const { fes, fei } = pdu;
      const detail = `it ended the connection with ${describeFes(fes)}, information ${fei}`;
      this.end({ code: "protocol", detail, facts: { fes, fei } });
      return undefined;
    }
    if (state.name === "initializing" && pdu.type === "ICResp") return this.#connect(pdu);
    if (state.name === "connecting" && pdu.type === "CapsuleResp") {
      return this.#finishConnect(pdu.cqe, state.negotiated);
    }
    if (state.name !== "live") return pduFault("sequence", `${pdu.type} while ${state.name}`);
    if (pdu.type === "CapsuleResp") return this.#complete(pdu.cqe);
    if (pdu.type === "C2HData") return this.#receive(pdu);
    if (pdu.type === "R2T") return this.#owe(pdu);
    return pduFault("sequence", `${pdu.type} on a live queue`);
  }

  /** ICResp came: sends Connect, whose data goes with it. */
  #connect(pdu: Pdu & { type: "ICResp" }): PduFault | undefined {
    const negotiated = checkIcResp(pdu, this.#config.digests);
    if ("reason" in negotiated) return negotiated;
    this.#stream.framing = negotiated.receive;
    const { qid, entries, subnqn, hostnqn, hostid, cntlid, katoMs } = this.#config;
    const data = connectData.encode({ hostid, cntlid, subnqn, hostnqn });
    const connect = command("connect", { qid, sqsize: entries, kato: katoMs });
    const pointer: DataPointer = { placement: "capsule", lengthBytes: data.length };
    appendCapsuleCmd(
      this.#send,
      negotiated.send,
      encodeCommand(connect, connectCid, pointer),
      data,
    );
    const deadlineMs = this.#nowMs + this.#config.connectTimeoutMs;
    this.#state = { name: "connecting", deadlineMs, negotiated };
    return undefined;
  }

  #finishConnect(completion: Completion, negotiated: Negotiated): PduFault | undefined {
    if (completion.cid !== connectCid) return unknownCid("CapsuleResp", completion.cid, 20);
    const result = checkConnect(completion);
    if ("code" in result) this.end(result);
    else {
      this.#state = { name: "live", negotiated, cntlid: result.cntlid };
      this.#events.push({ kind: "live", cntlid: result.cntlid });
    }
    return undefined;
  }

  #entryOf(cid: number): InFlight<R> | undefined {
    const entry = this.#slots[cid % slotsMax];
    return entry?.cid === cid ? entry : undefined;
  }

  #complete(completion: Completion): PduFault | undefined {
    const entry = this.#entryOf(completion.cid);
    if (!entry) return unknownCid("CapsuleResp", completion.cid, 20);
    const fault = acceptCompletion(entry, completion.status);
    if (fault) return fault;
    this.#finish(entry, completion);
    return undefined;
  }

  /** Frees a slot and reports how its command ended. */
  #finish(entry: InFlight<R>, completion: Completion): void {
    const slot = entry.cid % slotsMax;
    this.#slots[slot] = undefined;
    this.#freeSlots.push(slot);
    this.#owing.delete(entry);
    if (entry.isAbandoned) return;
    const status = finalStatus(entry, completion.status);
    const final = status === completion.status ? completion : { ...completion, status };
    this.#events.push({ kind: "completed", request: entry.request, completion: final });
  }

  #receive(pdu: Pdu & { type: "C2HData" | "H2CData" }): PduFault | undefined {
    const entry = this.#entryOf(pdu.cccid);
    if (!entry) return unknownCid("C2HData", pdu.cccid, 8);
    const fault = acceptC2hData(entry, pdu);
    if (fault) return fault;
    this.#receiving = { entry, datao: pdu.datao, isSuccess: pdu.success };
    return undefined;
  }

  #data(slice: Uint8Array, offset: number): void {
    if (!this.#receiving) return;
    const { entry, datao } = this.#receiving;
    const { transfer } = entry.request;
    if (transfer.kind === "in" && !entry.isAbandoned) transfer.target.set(slice, datao + offset);
    entry.movedBytes += slice.length;
  }

  #dataEnd(digestMatches: boolean): PduFault | undefined {
    if (!this.#receiving) return undefined;
    const { entry, isSuccess } = this.#receiving;
    this.#receiving = undefined;
    if (!digestMatches) entry.isDamaged = true;
    if (isSuccess) {
      const { cid } = entry;
      this.#finish(entry, { dw0: 0, dw1: 0, sqhd: 0xffff, sqid: this.#config.qid, cid, status: 0 });
    }
    return undefined;
  }

  #owe(pdu: Pdu & { type: "R2T" }): PduFault | undefined {
    const entry = this.#entryOf(pdu.cccid);
    if (!entry) return unknownCid("R2T", pdu.cccid, 8);
    const fault = acceptR2t(entry, pdu);
    if (fault) return fault;
    this.#owing.add(entry);
    return undefined;
  }

  /** Sends what is owed first, since the controller waits for it, and then new commands. */
  #pump(negotiated: Negotiated, budgetBytes: number): void {
    let left = budgetBytes;
    for (const entry of this.#owing) {
      while (left > 0 && entry.owed) left -= this.#sendData(entry, entry.owed, negotiated);
      if (left <= 0) return;
    }
    for (const request of this.#waiting) {
      if (left <= 0 || this.#freeSlots.length === 0) return;
      this.#waiting.delete(request);
      left -= this.#sendCommand(request, negotiated);
    }
  }

  /** One H2CData of what is owed; returns its length. */
  #sendData(
    entry: InFlight<R>,
    owed: { readonly ttag: number; readonly endBytes: number },
    negotiated: Negotiated,
  ): number {
    const datao = entry.movedBytes;
    const end = Math.min(owed.endBytes, datao + negotiated.h2cDataBytesMax);
    const last = end === owed.endBytes;
    const header = { cccid: entry.cid, ttag: owed.ttag, datao, last };
    const data = entry.data.subarray(datao, end);
    appendData(this.#send, negotiated.send, "H2CData", header, data);
    entry.movedBytes = end;
    if (last) {
      entry.owed = undefined;
      this.#owing.delete(entry);
    }
    return data.length;
  }

  /** Sends a command in a free slot, with its data where that fits; returns about its length. */
  #sendCommand(request: R, negotiated: Negotiated): number {
    const slot = this.#freeSlots.pop()!;
    const generation = (this.#generation[slot]! + 1) % generations;
    this.#generation[slot] = generation;
    const cid = generation * slotsMax + slot;
    const entry = startTransfer(cid, request, this.#nowMs);
    this.#slots[slot] = entry;
    const { data } = entry;
    if (data.length > 0 && data.length <= this.#config.capsuleDataBytesMax) {
      const pointer: DataPointer = { placement: "capsule", lengthBytes: data.length };
      const sqe = encodeCommand(request.command, cid, pointer);
      appendCapsuleCmd(this.#send, negotiated.send, sqe, data);
      entry.movedBytes = data.length;
      return sqe.length + data.length;
    }
    const { transfer } = request;
    const lengthBytes = transfer.kind === "in" ? transfer.target.length : data.length;
    const pointer: DataPointer =
      lengthBytes === 0 ? noData : { placement: "transport", lengthBytes };
    const sqe = encodeCommand(request.command, cid, pointer);
    appendCapsuleCmd(this.#send, negotiated.send, sqe);
    return sqe.length;
  }

  /** The controller broke the protocol: tells it so, and ends. */
  #refuse(fault: PduFault): void {
    if (this.#state.name === "ended") return;
    this.#send.push(encodeTermReq("H2CTermReq", fault));
    const { fes, fei, reason, detail } = fault;
    this.end({
      code: "protocol",
      detail: `it broke the protocol: ${detail}`,
      facts: { fes, fei, reason },
    });
  }
}

function unknownCid(type: string, cid: number, offset: number): PduFault {
  return pduFault("cccid", `${type} for command ${cid}, which is not under way`, offset);
}
