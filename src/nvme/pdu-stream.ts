/**
 * The incremental decoder of NVMe/TCP: bytes in, however they are cut, PDUs out.
 *
 *      ┌───────────── next PDU ──────────────────────────────────────┐
 *      ▼                                                             │
 *   header ──(has data)──► padding ──► data ──► digest ──► end ──────┤
 *      └────(no data)────────────────────────────────────────────────┘
 *   any ──(fault)──► failed
 *
 * Data is never collected: each slice is handed on as it comes, a view of the caller's chunk.
 * NVM Express TCP Transport 1.0 §3.3 (framing, digests) and §3.6 (PDUs).
 */

import { crc32c, viewOf } from "../bytes/index.ts";
import { decodeCompletion } from "./completion.ts";
import {
  commonHeader,
  digestBytes,
  headerBytes,
  icReq,
  icResp,
  type Pdu,
  type PduFault,
  type PduName,
  pduFault,
  pduType,
  termReq,
  termReqBytesMax,
} from "./pdu.ts";

/** Where a stream's PDUs go. A fault that is returned is fatal, like one of the decoder's own. */
export interface PduSink {
  /** A header is complete and valid, its digest checked. */
  header(pdu: Pdu): PduFault | undefined;
  /** The next part of that PDU's data; `offset` is within the data. Valid until it returns. */
  data(slice: Uint8Array, offset: number): void;
  /** The data is complete; false when its digest does not match. */
  end(digestMatches: boolean): PduFault | undefined;
}

/** What both sides agreed on, and what this side accepts. */
export interface Framing {
  readonly hdgst: boolean;
  readonly ddgst: boolean;
  /** Data of received PDUs begins at a multiple of this (HPDA of a host, CPDA of a controller). */
  readonly alignmentBytes: number;
  /** Longest in-capsule data; only a controller receives any. */
  readonly capsuleDataBytesMax: number;
  /** Longest data of one H2CData or C2HData; MAXH2CDATA at a controller. */
  readonly dataBytesMax: number;
}

/** Before the connection is initialised: no digests, nothing but ICReq and ICResp has a meaning. */
export const initialFraming: Framing = {
  hdgst: false,
  ddgst: false,
  alignmentBytes: 4,
  capsuleDataBytesMax: 0,
  dataBytesMax: 2 ** 32 - 1,
};

/** Which end of the connection decodes; each accepts what the other one sends. */
export type Role = "host" | "controller";

const accepted: Readonly<Record<Role, ReadonlyMap<number, PduName>>> = {
  host: namesByType("ICResp", "C2HTermReq", "CapsuleResp", "C2HData", "R2T"),
  controller: namesByType("ICReq", "H2CTermReq", "CapsuleCmd", "H2CData"),
};

type Phase = "header" | "padding" | "data" | "digest" | "failed";

const flagHdgst = 1;
const flagDdgst = 2;
const flagLast = 4;
const flagSuccess = 8;

/** One direction of one connection. */
export class PduStream {
  /** May be replaced by the sink while it handles a header; it counts from the next PDU on. */
  framing: Framing = initialFraming;
  readonly #role: Role;
  readonly #sink: PduSink;
  #phase: Phase = "header";
  /** Collects a header that is cut, and a data digest. */
  readonly #scratch = new Uint8Array(128 + digestBytes);
  #have = 0;
  /** Of the PDU at hand: its type, header with digest, data, and what is left of a phase. */
  #name: PduName = "ICReq";
  #headerLength = 0;
  #dataLength = 0;
  #left = 0;
  #hasDigest = false;
  #crc = 0;
  #fault: PduFault | undefined;
  /** The chunk that was read last as numbers, and its view: making one for each PDU costs more. */
  #viewed: Uint8Array = this.#scratch;
  #view = viewOf(this.#scratch);

  constructor(role: Role, sink: PduSink) {
    this.#role = role;
    this.#sink = sink;
  }

  /** Takes the next bytes; returns the fault that ended the stream, now or earlier. */
  push(chunk: Uint8Array): PduFault | undefined {
    let at = 0;
    while (at < chunk.length && this.#phase !== "failed") {
      if (this.#phase === "header") at = this.#takeHeader(chunk, at);
      else if (this.#phase === "data") at = this.#takeData(chunk, at);
      else if (this.#phase === "padding") at = this.#skip(chunk, at);
      else at = this.#takeDigest(chunk, at);
    }
    return this.#fault;
  }

  /** True between two PDUs: a connection that ends here was not cut within one. */
  get isBetweenPdus(): boolean {
    return this.#phase === "header" && this.#have === 0;
  }

  /** Bytes of the data at hand that are still to come; 0 outside of data. */
  get dataLeft(): number {
    return this.#phase === "data" ? this.#left : 0;
  }

  #viewOf(bytes: Uint8Array): DataView {
    if (bytes === this.#viewed) return this.#view;
    this.#viewed = bytes;
    this.#view = viewOf(bytes);
    return this.#view;
  }

  #takeHeader(chunk: Uint8Array, at: number): number {
    const available = chunk.length - at;
    if (this.#have === 0 && available >= commonHeader.size) {
      if (this.#checkCommonHeader(chunk, at)) return at;
      if (available >= this.#headerLength) {
        this.#open(chunk, at);
        return at + this.#headerLength;
      }
    }
    const wanted = this.#have < commonHeader.size ? commonHeader.size : this.#headerLength;
    const taken = Math.min(wanted - this.#have, available);
    this.#scratch.set(chunk.subarray(at, at + taken), this.#have);
    this.#have += taken;
    if (this.#have < wanted) return at + taken;
    if (wanted === commonHeader.size) this.#checkCommonHeader(this.#scratch, 0);
    else {
      this.#have = 0;
      this.#open(this.#scratch, 0);
    }
    return at + taken;
  }

  /** Looks at the 8 bytes that all PDUs begin with; true when they are refused. */
  #checkCommonHeader(bytes: Uint8Array, at: number): boolean {
    const name = accepted[this.#role].get(bytes[at]!);
    if (name === undefined) {
      const detail = `PDU type ${bytes[at]} is none that a ${this.#role} receives`;
      return this.#fail(pduFault("type", detail), bytes, at, commonHeader.size);
    }
    const hlen = headerBytes[name];
    if (bytes[at + 2] !== hlen) {
      const detail = `${name} of HLEN ${bytes[at + 2]}, wanted ${hlen}`;
      return this.#fail(pduFault("hlen", detail, 2), bytes, at, commonHeader.size);
    }
    this.#name = name;
    this.#headerLength = hlen + (this.#hasHeaderDigest(name) ? digestBytes : 0);
    const plen = this.#viewOf(bytes).getUint32(at + 4, true);
    const longest = name.endsWith("TermReq") ? termReqBytesMax : Number.POSITIVE_INFINITY;
    if (plen < this.#headerLength || plen > longest) {
      const detail = `${name} of PLEN ${plen}, wanted at least ${this.#headerLength}`;
      return this.#fail(pduFault("plen", detail, 4), bytes, at, commonHeader.size);
    }
    return false;
  }

  #hasHeaderDigest(name: PduName): boolean {
    return this.framing.hdgst && !name.startsWith("IC") && !name.endsWith("TermReq");
  }

  /** A whole header is there: checks its digest and fields, and hands it on. */
  #open(bytes: Uint8Array, at: number): void {
    const name = this.#name;
    const hlen = headerBytes[name];
    if (this.#headerLength > hlen) {
      const wanted = crc32c(bytes.subarray(at, at + hlen));
      const found = this.#viewOf(bytes).getUint32(at + hlen, true);
      if (found !== wanted) {
        const detail = `${name} with header digest ${found}, wanted ${wanted}`;
        this.#fail(pduFault("hdgst", detail, found), bytes, at, hlen);
        return;
      }
    }
    const pdu = this.#decode(bytes, at);
    const fault = "reason" in pdu ? pdu : this.#sink.header(pdu);
    if (fault) {
      this.#fail(fault, bytes, at, hlen);
      return;
    }
    if (this.#dataLength > 0) {
      this.#crc = 0;
      this.#phase = this.#left > 0 ? "padding" : "data";
      if (this.#phase === "data") this.#left = this.#dataLength;
    } else this.#phase = "header";
  }

  #decode(bytes: Uint8Array, at: number): Pdu | PduFault {
    const view = this.#viewOf(bytes);
    const flags = bytes[at + 1]!;
    const plen = view.getUint32(at + 4, true);
    const name = this.#name;
    this.#dataLength = 0;
    this.#hasDigest = false;
    if (this.#headerLength > headerBytes[name] && (flags & flagHdgst) === 0) {
      return pduFault("flags", `${name} without HDGSTF`, 1);
    }
    switch (name) {
      case "ICReq":
      case "ICResp":
        if (plen !== this.#headerLength) return this.#plenFault(plen, this.#headerLength);
        return decodeInitialize(name, bytes, at);
      case "H2CTermReq":
      case "C2HTermReq": {
        this.#dataLength = plen - this.#headerLength;
        this.#left = 0;
        const value = termReq.decode(bytes, at);
        return { type: name, fes: value.fes, fei: value.fei, dataLength: this.#dataLength };
      }
      case "CapsuleResp":
        if (plen !== this.#headerLength) return this.#plenFault(plen, this.#headerLength);
        return { type: name, cqe: decodeCompletion(bytes, at + 8) };
      case "R2T":
        if (plen !== this.#headerLength) return this.#plenFault(plen, this.#headerLength);
        return {
          type: name,
          cccid: view.getUint16(at + 8, true),
          ttag: view.getUint16(at + 10, true),
          r2to: view.getUint32(at + 12, true),
          r2tl: view.getUint32(at + 16, true),
        };
      case "CapsuleCmd":
        return this.#decodeCapsule(bytes, at, plen);
      case "H2CData":
      case "C2HData":
        return this.#decodeData(name, bytes, at, plen);
    }
  }

  #decodeCapsule(bytes: Uint8Array, at: number, plen: number): Pdu | PduFault {
    if (plen > this.#headerLength) {
      const digest = this.framing.ddgst ? digestBytes : 0;
      const length = plen - bytes[at + 3]! - digest;
      const { capsuleDataBytesMax: longest } = this.framing;
      if (length > longest) {
        return pduFault("limit", `${length} bytes of in-capsule data, at most ${longest}`);
      }
      if (length < 1) return this.#plenFault(plen, this.#headerLength);
      const fault = this.#locateData(bytes, at, plen, length);
      if (fault) return fault;
    }
    const sqe = bytes.subarray(at + 8, at + 72);
    return { type: "CapsuleCmd", sqe, dataLength: this.#dataLength };
  }

  #decodeData(
    type: "H2CData" | "C2HData",
    bytes: Uint8Array,
    at: number,
    plen: number,
  ): Pdu | PduFault {
    const view = this.#viewOf(bytes);
    const dataLength = view.getUint32(at + 16, true);
    if (dataLength === 0) return pduFault("datal", `${type} without data`, 16);
    if (dataLength > this.framing.dataBytesMax) {
      const detail = `${dataLength} bytes in one PDU, at most ${this.framing.dataBytesMax}`;
      return pduFault("limit", detail);
    }
    const fault = this.#locateData(bytes, at, plen, dataLength);
    if (fault) return fault;
    const flags = bytes[at + 1]!;
    return {
      type,
      cccid: view.getUint16(at + 8, true),
      ttag: view.getUint16(at + 10, true),
      datao: view.getUint32(at + 12, true),
      dataLength,
      last: (flags & flagLast) !== 0,
      success: (flags & flagSuccess) !== 0,
    };
  }

  /** Checks where the data begins and that the PDU ends with it; sets up its phases. */
  #locateData(bytes: Uint8Array, at: number, plen: number, length: number): PduFault | undefined {
    const pdo = bytes[at + 3]!;
    const hasDigest = this.framing.ddgst;
    if (pdo < this.#headerLength || pdo % this.framing.alignmentBytes !== 0) {
      const wanted = `${this.#headerLength} or more in steps of ${this.framing.alignmentBytes}`;
      return pduFault("pdo", `PDO ${pdo}, wanted ${wanted}`, 3);
    }
    const wantedPlen = pdo + length + (hasDigest ? digestBytes : 0);
    if (plen !== wantedPlen) return this.#plenFault(plen, wantedPlen);
    if (((bytes[at + 1]! & flagDdgst) !== 0) !== hasDigest) {
      return pduFault("flags", `DDGSTF differs from what was agreed (${hasDigest})`, 1);
    }
    this.#dataLength = length;
    this.#left = pdo - this.#headerLength;
    this.#hasDigest = hasDigest;
    return undefined;
  }

  #skip(chunk: Uint8Array, at: number): number {
    const taken = Math.min(this.#left, chunk.length - at);
    this.#left -= taken;
    if (this.#left === 0) {
      this.#phase = "data";
      this.#left = this.#dataLength;
    }
    return at + taken;
  }

  #takeData(chunk: Uint8Array, at: number): number {
    const taken = Math.min(this.#left, chunk.length - at);
    const slice = taken === chunk.length && at === 0 ? chunk : chunk.subarray(at, at + taken);
    if (this.#hasDigest) this.#crc = crc32c(slice, this.#crc);
    this.#sink.data(slice, this.#dataLength - this.#left);
    this.#left -= taken;
    if (this.#left === 0) {
      if (this.#hasDigest) this.#phase = "digest";
      else this.#end(true);
    }
    return at + taken;
  }

  #takeDigest(chunk: Uint8Array, at: number): number {
    const taken = Math.min(digestBytes - this.#have, chunk.length - at);
    this.#scratch.set(chunk.subarray(at, at + taken), this.#have);
    this.#have += taken;
    if (this.#have === digestBytes) {
      this.#have = 0;
      this.#end(this.#viewOf(this.#scratch).getUint32(0, true) === this.#crc);
    }
    return at + taken;
  }

  #end(digestMatches: boolean): void {
    this.#phase = "header";
    const fault = this.#sink.end(digestMatches);
    if (fault) this.#fail(fault, this.#scratch, 0, 0);
  }

  #plenFault(plen: number, wanted: number): PduFault {
    return pduFault("plen", `${this.#name} of PLEN ${plen}, wanted ${wanted}`, 4);
  }

  #fail(fault: PduFault, bytes: Uint8Array, at: number, length: number): true {
    this.#fault = { ...fault, header: Uint8Array.from(bytes.subarray(at, at + length)) };
    this.#phase = "failed";
    return true;
  }
}

function decodeInitialize(name: "ICReq" | "ICResp", bytes: Uint8Array, at: number): Pdu {
  if (name === "ICReq") {
    const { pfv, hpda, dgst, maxr2t } = icReq.decode(bytes, at);
    return { type: name, pfv, hpda, dgst, maxr2t };
  }
  const { pfv, cpda, dgst, maxh2cdata } = icResp.decode(bytes, at);
  return { type: name, pfv, cpda, dgst, maxh2cdata };
}

function namesByType(...names: PduName[]): ReadonlyMap<number, PduName> {
  return new Map(names.map((name) => [pduType[name], name]));
}
