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
  adminCapsuleBytesMax,
  appendCapsuleCmd,
  appendData,
  type Completion,
  command,
  commands,
  connectData,
  type DataPointer,
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
import type { QueueConfig, QueueEffects, QueueEvent, QueueState } from "./queue-state.ts";
import { cidSlotsMax, Slots } from "./slots.ts";
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

/** Requests that may wait for a slot; beyond, `submit` refuses. */
export const waitingMax = 65536;

/** Data that lands in a buffer of its own is at least this; for less, another read costs more. */
const landingBytesMin = 32 * 1024;

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
  readonly #slots: Slots<InFlight<R>>;
  /** Commands that owe data, first asked first served. */
  readonly #owing = new Set<InFlight<R>>();
  /** The command whose C2HData is being received. */
  #receiving: { entry: InFlight<R>; datao: number; isSuccess: boolean } | undefined;
  #send: Uint8Array[] = [];
  #events: QueueEvent<R>[] = [];

  constructor(config: QueueConfig) {
    this.#config = config;
    this.#slots = new Slots(Math.min(config.entries - 1, cidSlotsMax));
  }

  get state(): QueueState {
    return this.#state;
  }

  /** Requests under way or waiting, those that nobody waits for included. */
  get load(): number {
    return this.#slots.taken + this.#waiting.size;
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

  /**
   * Where the bytes that come next belong: in the buffer of a read whose data is on its way, if that
   * is enough data to be worth it. Valid until bytes come, or nobody waits for the read any more.
   */
  get landing(): { readonly request: R; readonly target: Uint8Array } | undefined {
    const left = this.#stream.dataLeft;
    if (left < landingBytesMin || !this.#receiving) return undefined;
    const { request, isAbandoned, movedBytes } = this.#receiving.entry;
    if (request.transfer.kind !== "in" || isAbandoned) return undefined;
    const target = request.transfer.target.subarray(movedBytes, movedBytes + left);
    return { request, target };
  }

  /** Takes a request; false when too many wait or the queue has ended. */
  submit(request: R): boolean {
    if (this.#state.name === "ended" || this.#waiting.size >= waitingMax) return false;
    this.#waiting.add(request);
    return true;
  }

  /**
   * Nobody waits for `request` any more: it is not sent, or its result is dropped.
   * @returns The cid of one that the controller has, and may be asked to abort.
   */
  abandon(request: R): number | undefined {
    if (this.#waiting.delete(request)) return undefined;
    for (const entry of this.#slots.entries()) {
      if (entry.request !== request || entry.isAbandoned) continue;
      abandonTransfer(entry);
      return entry.cid;
    }
    return undefined;
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
    for (const entry of this.#slots.entries()) {
      if (nowMs < entry.deadlineMs) continue;
      const { command: late, timeoutMs } = entry.request;
      const detail = `no answer to ${late.name} within ${timeoutMs} ms`;
      this.end({ code: "timeout", detail, facts: { command: late.name } });
      return;
    }
  }

  /** The connection ended, or is to end, for `failure`; every request fails. Idempotent. */
  end(failure: Failure): void {
    if (this.#state.name === "ended") return;
    this.#state = { name: "ended", failure };
    const requests: R[] = [];
    for (const entry of this.#slots.entries()) {
      if (!entry.isAbandoned) requests.push(entry.request);
    }
    requests.push(...this.#waiting);
    this.#waiting.clear();
    this.#owing.clear();
    this.#slots.clear();
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
      this.#state = { name: "live", negotiated, connected: result };
      this.#events.push({ kind: "live", connected: result });
    }
    return undefined;
  }

  #complete(completion: Completion): PduFault | undefined {
    const entry = this.#slots.of(completion.cid);
    if (!entry) return unknownCid("CapsuleResp", completion.cid, 20);
    const fault = acceptCompletion(entry, completion.status);
    if (fault) return fault;
    this.#finish(entry, completion);
    return undefined;
  }

  /** Frees a slot and reports how its command ended. */
  #finish(entry: InFlight<R>, completion: Completion): void {
    this.#slots.free(entry.cid);
    this.#owing.delete(entry);
    if (entry.isAbandoned) return;
    const status = finalStatus(entry, completion.status);
    const final = status === completion.status ? completion : { ...completion, status };
    this.#events.push({ kind: "completed", request: entry.request, completion: final });
  }

  #receive(pdu: Pdu & { type: "C2HData" | "H2CData" }): PduFault | undefined {
    const entry = this.#slots.of(pdu.cccid);
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
    if (transfer.kind === "in" && !entry.isAbandoned) place(slice, transfer.target, datao + offset);
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
    const entry = this.#slots.of(pdu.cccid);
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
      if (left <= 0 || this.#slots.isFull) return;
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
    const cid = this.#slots.nextCid();
    const entry = startTransfer(cid, request, this.#nowMs);
    this.#slots.take(entry);
    const { data } = entry;
    if (data.length > 0 && data.length <= this.#capsuleBytesMax(request)) {
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

  /** Data up to this goes with its command: more than the controller says for those of fabrics. */
  #capsuleBytesMax({ command: { name } }: R): number {
    return commands[name].set === "fabrics"
      ? adminCapsuleBytesMax
      : this.#config.capsuleDataBytesMax;
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

/** Copies data to its place, unless it has landed there. */
function place(slice: Uint8Array, target: Uint8Array, at: number): void {
  const isThere = slice.buffer === target.buffer && slice.byteOffset === target.byteOffset + at;
  if (!isThere) target.set(slice, at);
}

function unknownCid(type: string, cid: number, offset: number): PduFault {
  return pduFault("cccid", `${type} for command ${cid}, which is not under way`, offset);
}
