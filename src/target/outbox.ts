/**
 * The sending half of a connection: PDUs are put together in one piece of memory, and what came
 * together in a turn leaves by one call. Reads put their data right behind its header.
 * NVM Express TCP Transport 1.0 §3.6; `pdu-encode.ts` of nvme is the oracle of what is by hand.
 */

import { crc32c, roundUp, viewOf } from "../bytes/index.ts";
import { digestBytes, headerBytes, pduType, type SendFraming } from "../nvme/index.ts";
import type { BufferPool } from "./pool.ts";

/** Longest data of one C2HData. */
export const dataPduBytesMax = 128 * 1024;
/**
 * One piece of memory for what is sent, with room for headers. Each piece costs a call, an odd
 * segment at its end, and waking the host, which is dear: of reads of 1 MiB, pieces for two PDUs
 * took 4 to 25 % more of the processor than pieces for eight, as fast as memory was just then. With
 * many connections the memory counts for more.
 */
const arenaBytesMax = 8 * dataPduBytesMax;
const arenaBytesMin = 2 * dataPduBytesMax;

const hdgstFlag = 1;
const ddgstFlag = 2;
const lastFlag = 4;
const successFlag = 8;

/** Sends a chunk; calls back once its bytes may change. */
export type SendChunk = (chunk: Uint8Array, sent: () => void) => void;

/** A piece of memory: bytes up to `sent` are with the transport, up to `used` are to be sent. */
class Arena {
  readonly bytes: Uint8Array;
  readonly view: DataView;
  sent = 0;
  used = 0;
  withTransport = 0;
  isCurrent = true;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.view = viewOf(bytes);
  }
}

/** Puts PDUs of a controller together. */
export class Outbox {
  readonly #pool: BufferPool;
  readonly #send: SendChunk;
  #arena: Arena | undefined;
  #framing: SendFraming = { hdgst: false, ddgst: false, alignmentBytes: 4 };
  #responseBytes = headerBytes.CapsuleResp;
  #dataOffset = headerBytes.C2HData;
  /** Where the PDU at hand begins, and how long its data is. */
  #openAt = 0;
  #openLength = 0;

  constructor(pool: BufferPool, send: SendChunk) {
    this.#pool = pool;
    this.#send = send;
  }

  /** What both sides agreed on; counts from the next PDU on. */
  set framing(framing: SendFraming) {
    this.#framing = framing;
    const digest = framing.hdgst ? digestBytes : 0;
    this.#responseBytes = headerBytes.CapsuleResp + digest;
    this.#dataOffset = roundUp(headerBytes.C2HData + digest, framing.alignmentBytes);
  }

  /** Appends a PDU that is encoded already. */
  append(raw: Uint8Array): void {
    const arena = this.#room(raw.length);
    arena.bytes.set(raw, arena.used);
    arena.used += raw.length;
  }

  /** Appends a CapsuleResp; the parameters are the completion's fields. */
  response(cid: number, status: number, sqhd: number, sqid: number, dw0 = 0, dw1 = 0): void {
    const { bytes, view, used } = this.#openHeader(pduType.CapsuleResp, 0, this.#responseBytes);
    view.setUint32(used + 8, dw0, true);
    view.setUint32(used + 12, dw1, true);
    view.setUint16(used + 16, sqhd, true);
    view.setUint16(used + 18, sqid, true);
    view.setUint16(used + 20, cid, true);
    view.setUint16(used + 22, status, true);
    this.#sealHeader(bytes, view, used, this.#responseBytes);
  }

  /** Appends an R2T for `r2tl` bytes from `r2to` on. */
  readyToTransfer(cccid: number, ttag: number, r2to: number, r2tl: number): void {
    const { bytes, view, used } = this.#openHeader(pduType.R2T, 0, this.#responseBytes);
    view.setUint16(used + 8, cccid, true);
    view.setUint16(used + 10, ttag, true);
    view.setUint32(used + 12, r2to, true);
    view.setUint32(used + 16, r2tl, true);
    view.setUint32(used + 20, 0, true);
    this.#sealHeader(bytes, view, used, this.#responseBytes);
  }

  /**
   * Opens a C2HData of `length` bytes, at most `dataPduBytesMax`: the caller puts them at the
   * returned place, and then calls `closeData`, or `dropData` when it has none after all.
   */
  openData(
    cccid: number,
    datao: number,
    length: number,
    isLast: boolean,
    isSuccess: boolean,
  ): { readonly bytes: Uint8Array; readonly at: number } {
    const { ddgst } = this.#framing;
    const total = this.#dataOffset + length + (ddgst ? digestBytes : 0);
    const flags = (ddgst ? ddgstFlag : 0) + (isLast ? lastFlag : 0) + (isSuccess ? successFlag : 0);
    const { bytes, view, used } = this.#openHeader(pduType.C2HData, flags, total);
    bytes[used + 3] = this.#dataOffset;
    view.setUint16(used + 8, cccid, true);
    view.setUint16(used + 10, 0, true);
    view.setUint32(used + 12, datao, true);
    view.setUint32(used + 16, length, true);
    view.setUint32(used + 20, 0, true);
    this.#openAt = used;
    this.#openLength = length;
    this.#place.bytes = bytes;
    this.#place.at = used + this.#dataOffset;
    return this.#place;
  }

  /** The data is in its place. */
  closeData(): void {
    const arena = this.#arena!;
    const { bytes, view } = arena;
    const at = this.#openAt;
    const start = at + this.#dataOffset;
    const end = start + this.#openLength;
    const { hdgst, ddgst } = this.#framing;
    if (hdgst) {
      const header = bytes.subarray(at, at + headerBytes.C2HData);
      view.setUint32(at + headerBytes.C2HData, crc32c(header), true);
      bytes.fill(0, at + headerBytes.C2HData + digestBytes, start);
    } else if (start > at + headerBytes.C2HData) bytes.fill(0, at + headerBytes.C2HData, start);
    if (ddgst) view.setUint32(end, crc32c(bytes.subarray(start, end)), true);
    arena.used = end + (ddgst ? digestBytes : 0);
  }

  /** Appends all data of a command that reads; its response has to follow. */
  data(cccid: number, data: Uint8Array): void {
    for (let datao = 0; datao < data.length; ) {
      const length = Math.min(dataPduBytesMax, data.length - datao);
      const place = this.openData(cccid, datao, length, datao + length === data.length, false);
      place.bytes.set(data.subarray(datao, datao + length), place.at);
      this.closeData();
      datao += length;
    }
  }

  /** Takes the PDU that was opened back. */
  dropData(): void {
    this.#openLength = 0;
  }

  /**
   * Sends what leaves no room for the next PDU of `length` bytes of data, so that the transport
   * can be asked whether it has enough to do before there is another piece of memory.
   */
  makeRoom(length: number): void {
    const arena = this.#arena;
    if (!arena) return;
    const total = this.#dataOffset + Math.min(length, dataPduBytesMax) + digestBytes;
    if (arena.used + total > arena.bytes.length) this.flush();
  }

  /** Hands what was put together to the transport. */
  flush(): void {
    const arena = this.#arena;
    if (!arena || arena.used === arena.sent) return;
    const chunk = arena.bytes.subarray(arena.sent, arena.used);
    arena.sent = arena.used;
    arena.withTransport++;
    this.#send(chunk, () => this.#onSent(arena));
  }

  /** Nothing will be sent any more: memory that the transport does not hold goes back. */
  close(): void {
    const arena = this.#arena;
    this.#arena = undefined;
    if (!arena) return;
    arena.isCurrent = false;
    if (arena.withTransport === 0) this.#pool.give(arena.bytes);
  }

  readonly #place: { bytes: Uint8Array; at: number } = { bytes: new Uint8Array(0), at: 0 };

  #onSent(arena: Arena): void {
    arena.withTransport--;
    if (arena.withTransport > 0) return;
    if (!arena.isCurrent) this.#pool.give(arena.bytes);
    else if (arena.sent === arena.used) {
      // Nothing of it is under way: an idle connection holds no memory.
      this.#arena = undefined;
      arena.isCurrent = false;
      this.#pool.give(arena.bytes);
    }
  }

  /** The piece with room for `bytes` more. */
  #room(bytes: number): Arena {
    const current = this.#arena;
    if (current && current.used + bytes <= current.bytes.length) return current;
    if (current) {
      this.flush();
      if (this.#arena === current) {
        current.isCurrent = false;
        this.#arena = undefined;
        if (current.withTransport === 0) this.#pool.give(current.bytes);
      }
    }
    this.#arena = new Arena(this.#pool.takeBetween(arenaBytesMin, arenaBytesMax));
    return this.#arena;
  }

  #openHeader(type: number, flags: number, plen: number): Arena {
    const arena = this.#room(plen);
    const { bytes, view, used } = arena;
    bytes[used] = type;
    bytes[used + 1] = flags + (this.#framing.hdgst ? hdgstFlag : 0);
    bytes[used + 2] = headerBytes.CapsuleResp;
    bytes[used + 3] = 0;
    view.setUint32(used + 4, plen, true);
    return arena;
  }

  #sealHeader(bytes: Uint8Array, view: DataView, at: number, plen: number): void {
    if (this.#framing.hdgst) {
      const hlen = headerBytes.CapsuleResp;
      view.setUint32(at + hlen, crc32c(bytes.subarray(at, at + hlen)), true);
    }
    this.#arena!.used = at + plen;
  }
}
