/**
 * Bytes of a host in, commands and data out.
 *
 *   between PDUs ──regular header, no digests──► read by hand ──(data)──► taken or landed ──┐
 *        ▲     └───────── anything else ───────► PduStream ─────────────────────────────────┤
 *        └──────────────────────────────────────────────────────────────────────────────────┘
 *
 * The hand-written lane takes only what is whole and well-formed; all else goes to `PduStream`,
 * which finds the fault, and is the oracle of the lane. Data can land in its place: `landing` says
 * where the next bytes of the connection belong, so that a driver reads them there.
 * NVM Express TCP Transport 1.0 §3.6.
 */

import { viewOf } from "../bytes/index.ts";
import {
  type Framing,
  headerBytes,
  initialFraming,
  type Pdu,
  type PduFault,
  PduStream,
  pduType,
} from "../nvme/index.ts";
import { slackBytes } from "./pool.ts";

/** Where the PDUs of a host go. A fault that is returned ends the connection. */
export interface ReceiverSink {
  icReq(pdu: Pdu & { readonly type: "ICReq" }): PduFault | undefined;
  termReq(pdu: Pdu & { readonly type: "H2CTermReq" | "C2HTermReq" }): void;
  /** A command of 64 bytes at `at` of `bytes`, with so much in-capsule data to follow. */
  capsule(bytes: Uint8Array, at: number, dataLength: number): PduFault | undefined;
  /** The header of an H2CData. */
  hostData(value: HostData): PduFault | undefined;
  /** Bytes `from` to `to` of `bytes` are the data at `offset`; valid until it returns. */
  data(bytes: Uint8Array, from: number, to: number, offset: number): void;
  /**
   * Where data from `offset` on may be put by somebody else, up to the end of the memory that it
   * belongs to; undefined when it may not.
   */
  place(offset: number): Uint8Array | undefined;
  /** The data is complete; false when its digest does not match. */
  end(digestMatches: boolean): PduFault | undefined;
}

/** An H2CData without its data; offsets and lengths in bytes. */
export interface HostData {
  readonly cccid: number;
  readonly ttag: number;
  readonly datao: number;
  readonly dataLength: number;
  readonly last: boolean;
}

/** Data shorter than this is copied rather than landed: a read of its own costs more. */
const landingBytesMin = 32 * 1024;
const commonHeaderBytes = 8;
const lastFlag = 4;
/** What was read beyond data that landed, until it is dealt with. */
const beyond = new Uint8Array(slackBytes);

/** The receiving half of one connection. */
export class Receiver {
  readonly #sink: ReceiverSink;
  readonly #stream: PduStream;
  #isPlain = false;
  #framing: Framing = initialFraming;
  /** Data of the lane's PDU that has not come. */
  #dataLeft = 0;
  #dataLength = 0;
  /** Bytes of the stream's PDU that have not come. */
  #streamLeft = 0;
  /** A common header that is cut. */
  readonly #head = new Uint8Array(commonHeaderBytes);
  #headHave = 0;
  #fault: PduFault | undefined;
  #place: Uint8Array | undefined;

  constructor(sink: ReceiverSink) {
    this.#sink = sink;
    this.#stream = new PduStream("controller", {
      header: (pdu) => this.#header(pdu),
      data: (slice, offset) => this.#sink.data(slice, 0, slice.length, offset),
      end: (digestMatches) => this.#sink.end(digestMatches),
    });
  }

  /** What both sides agreed on; counts from the next PDU on. */
  set framing(framing: Framing) {
    this.#framing = framing;
    this.#stream.framing = framing;
    this.#isPlain = !framing.hdgst && !framing.ddgst;
  }

  /** Takes the next bytes, cut anywhere; returns the fault that ended the stream. */
  push(chunk: Uint8Array): PduFault | undefined {
    const view = viewOf(chunk);
    let at = 0;
    while (at < chunk.length && !this.#fault) {
      if (this.#dataLeft > 0) at = this.#takeData(chunk, at);
      else if (this.#streamLeft > 0) at = this.#takeStream(chunk, at);
      else if (this.#headHave > 0 || chunk.length - at < commonHeaderBytes) {
        at = this.#takeHead(chunk, at);
      } else {
        const next = this.#isPlain ? this.#takePlain(chunk, view, at) : at;
        if (next === at) {
          this.#streamLeft = Math.max(view.getUint32(at + 4, true), commonHeaderBytes);
        }
        at = next;
      }
    }
    return this.#fault;
  }

  /**
   * Where the next bytes of the connection belong, when that is worth a read of their own. It has
   * room for the header that follows: one read does for each of several long PDUs.
   */
  landing(): Uint8Array | undefined {
    if (this.#dataLeft < landingBytesMin) return undefined;
    const memory = this.#sink.place(this.#dataLength - this.#dataLeft);
    this.#place = memory?.subarray(0, this.#dataLeft + slackBytes);
    return this.#place;
  }

  /** Bytes of the PDU at hand that have not come. */
  get bytesLeft(): number {
    return this.#dataLeft + this.#streamLeft;
  }

  /** Whether data can land at all: what has a digest goes through `PduStream`. */
  get canLand(): boolean {
    return this.#isPlain;
  }

  /** `count` bytes were put where `landing` said. */
  landed(count: number): PduFault | undefined {
    const more = count - this.#dataLeft;
    // The end of the data gives its memory away.
    if (more > 0) beyond.set(this.#place!.subarray(this.#dataLeft, count));
    this.#dataLeft = Math.max(0, -more);
    if (this.#dataLeft > 0) return undefined;
    this.#fault = this.#sink.end(true);
    return more > 0 ? this.push(beyond.subarray(0, more)) : this.#fault;
  }

  #takeData(chunk: Uint8Array, at: number): number {
    const end = Math.min(chunk.length, at + this.#dataLeft);
    this.#sink.data(chunk, at, end, this.#dataLength - this.#dataLeft);
    this.#dataLeft -= end - at;
    if (this.#dataLeft === 0) this.#fault = this.#sink.end(true);
    return end;
  }

  #takeStream(chunk: Uint8Array, at: number): number {
    const end = Math.min(chunk.length, at + this.#streamLeft);
    this.#streamLeft -= end - at;
    this.#fault = this.#stream.push(chunk.subarray(at, end));
    return end;
  }

  #takeHead(chunk: Uint8Array, at: number): number {
    const end = Math.min(chunk.length, at + commonHeaderBytes - this.#headHave);
    this.#head.set(chunk.subarray(at, end), this.#headHave);
    this.#headHave += end - at;
    if (this.#headHave === commonHeaderBytes) {
      this.#headHave = 0;
      const plen = viewOf(this.#head).getUint32(4, true);
      // No PDU is as short as its common header: the stream says so by itself.
      this.#streamLeft = Math.max(plen - commonHeaderBytes, 0);
      this.#fault = this.#stream.push(this.#head);
    }
    return end;
  }

  /** A PDU whose header is whole and as it should be; returns `at` for any other. */
  #takePlain(chunk: Uint8Array, view: DataView, at: number): number {
    const type = chunk[at];
    const isCapsule = type === pduType.CapsuleCmd;
    if (!isCapsule && type !== pduType.H2CData) return at;
    const hlen = isCapsule ? headerBytes.CapsuleCmd : headerBytes.H2CData;
    const flags = chunk[at + 1]!;
    if (chunk[at + 2] !== hlen || flags !== 0) {
      if (chunk[at + 2] !== hlen || isCapsule || flags !== lastFlag) return at;
    }
    const plen = view.getUint32(at + 4, true);
    if (isCapsule && plen === hlen && at + hlen <= chunk.length) {
      this.#fault = this.#sink.capsule(chunk, at + commonHeaderBytes, 0);
      return this.#fault ? this.#failed(chunk, at, hlen) : at + hlen;
    }
    const pdo = chunk[at + 3]!;
    const length = plen - pdo;
    if (pdo < hlen || pdo % this.#framing.alignmentBytes !== 0) return at;
    if (at + pdo > chunk.length || length < 1) return at;
    return isCapsule
      ? this.#plainCapsule(chunk, at, pdo, length)
      : this.#plainHostData(chunk, view, at, pdo, length);
  }

  #plainCapsule(chunk: Uint8Array, at: number, pdo: number, length: number): number {
    if (length > this.#framing.capsuleDataBytesMax) return at;
    this.#fault = this.#sink.capsule(chunk, at + commonHeaderBytes, length);
    if (this.#fault) return this.#failed(chunk, at, headerBytes.CapsuleCmd);
    this.#dataLeft = this.#dataLength = length;
    return at + pdo;
  }

  #plainHostData(
    chunk: Uint8Array,
    view: DataView,
    at: number,
    pdo: number,
    length: number,
  ): number {
    if (view.getUint32(at + 16, true) !== length || length > this.#framing.dataBytesMax) return at;
    this.#fault = this.#sink.hostData({
      cccid: view.getUint16(at + 8, true),
      ttag: view.getUint16(at + 10, true),
      datao: view.getUint32(at + 12, true),
      dataLength: length,
      last: chunk[at + 1] === lastFlag,
    });
    if (this.#fault) return this.#failed(chunk, at, headerBytes.H2CData);
    this.#dataLeft = this.#dataLength = length;
    return at + pdo;
  }

  /** Quotes the header in error. */
  #failed(chunk: Uint8Array, at: number, hlen: number): number {
    this.#fault = { ...this.#fault!, header: chunk.slice(at, at + hlen) };
    return chunk.length;
  }

  #header(pdu: Pdu): PduFault | undefined {
    switch (pdu.type) {
      case "ICReq":
        return this.#sink.icReq(pdu);
      case "H2CTermReq":
      case "C2HTermReq":
        this.#sink.termReq(pdu);
        return undefined;
      case "CapsuleCmd":
        return this.#sink.capsule(pdu.sqe, 0, pdu.dataLength);
      case "H2CData":
        return this.#sink.hostData(pdu);
      default:
        throw new TypeError(`A controller's stream decodes no ${pdu.type}.`);
    }
  }
}
