/**
 * Writers of PDUs: each appends buffers to a list, the data of the caller among them as it is, so
 * that nothing is copied on the way to the socket. NVM Express TCP Transport 1.0 §3.6.
 */

import { crc32c, roundUp, viewOf } from "../bytes/index.ts";
import { type Completion, encodeCompletion } from "./completion.ts";
import {
  type Digests,
  digestBytes,
  headerBytes,
  icReq,
  icResp,
  type Pdu,
  type PduFault,
  type PduName,
  pduType,
  termReq,
} from "./pdu.ts";

/** How PDUs of this direction are framed. */
export interface SendFraming extends Digests {
  /** Data begins at a multiple of this: CPDA for a host, HPDA for a controller. */
  readonly alignmentBytes: number;
}

const noFlags = { hdgstf: false, ddgstf: false, last: false, success: false };

/** Writes an ICReq. */
export function encodeIcReq(value: Omit<Pdu & { type: "ICReq" }, "type">): Uint8Array {
  return icReq.encode({ ch: plainHeader("ICReq", headerBytes.ICReq), ...value });
}

/** Writes an ICResp. */
export function encodeIcResp(value: Omit<Pdu & { type: "ICResp" }, "type">): Uint8Array {
  return icResp.encode({ ch: plainHeader("ICResp", headerBytes.ICResp), ...value });
}

/** Writes the request that ends a connection for a peer's fault; it quotes the header in error. */
export function encodeTermReq(
  type: "H2CTermReq" | "C2HTermReq",
  fault: Pick<PduFault, "fes" | "fei" | "header">,
): Uint8Array {
  const { fes, fei, header } = fault;
  const raw = new Uint8Array(termReq.size + header.length);
  termReq.encodeInto({ ch: plainHeader(type, raw.length), fes, fei }, raw);
  raw.set(header, termReq.size);
  return raw;
}

/** Appends a command capsule with the data that it carries, if any. */
export function appendCapsuleCmd(
  out: Uint8Array[],
  framing: SendFraming,
  sqe: Uint8Array,
  data?: Uint8Array,
): void {
  const header = openHeader("CapsuleCmd", framing, data?.length ?? 0);
  header.set(sqe, 8);
  append(out, framing, header, headerBytes.CapsuleCmd, data);
}

/** Appends a response capsule. */
export function appendCapsuleResp(
  out: Uint8Array[],
  framing: SendFraming,
  completion: Completion,
): void {
  const header = openHeader("CapsuleResp", framing, 0);
  encodeCompletion(completion, header, 8);
  append(out, framing, header, headerBytes.CapsuleResp);
}

/** What a data PDU says beside its data; `success` is for C2HData only. */
export interface DataHeader {
  readonly cccid: number;
  readonly ttag: number;
  readonly datao: number;
  readonly last: boolean;
  readonly success?: boolean;
}

/** Appends an H2CData or C2HData with `data`, one byte or more. */
export function appendData(
  out: Uint8Array[],
  framing: SendFraming,
  type: "H2CData" | "C2HData",
  value: DataHeader,
  data: Uint8Array,
): void {
  const header = openHeader(type, framing, data.length);
  header[1]! += (value.last ? 4 : 0) + (value.success ? 8 : 0);
  const view = viewOf(header);
  view.setUint16(8, value.cccid, true);
  view.setUint16(10, value.ttag, true);
  view.setUint32(12, value.datao, true);
  view.setUint32(16, data.length, true);
  append(out, framing, header, headerBytes[type], data);
}

/** Appends an R2T for `r2tl` bytes from `r2to` on. */
export function appendR2t(
  out: Uint8Array[],
  framing: SendFraming,
  value: Omit<Pdu & { type: "R2T" }, "type">,
): void {
  const header = openHeader("R2T", framing, 0);
  const view = viewOf(header);
  view.setUint16(8, value.cccid, true);
  view.setUint16(10, value.ttag, true);
  view.setUint32(12, value.r2to, true);
  view.setUint32(16, value.r2tl, true);
  append(out, framing, header, headerBytes.R2T);
}

function plainHeader(type: PduName, plen: number) {
  return { type: pduType[type], flags: noFlags, hlen: headerBytes[type], pdo: 0, plen };
}

/** A zeroed header with room for its digest and padding, its first 8 bytes written. */
function openHeader(type: PduName, framing: SendFraming, dataLength: number): Uint8Array {
  const hlen = headerBytes[type];
  const withDigest = hlen + (framing.hdgst ? digestBytes : 0);
  const hasData = dataLength > 0;
  const pdo = hasData ? roundUp(withDigest, framing.alignmentBytes) : 0;
  const hasDataDigest = hasData && framing.ddgst;
  // Pooled: a fresh Uint8Array of this size costs several times as much.
  const header = Buffer.allocUnsafe(hasData ? pdo : withDigest).fill(0);
  header[0] = pduType[type];
  header[1] = (framing.hdgst ? 1 : 0) + (hasDataDigest ? 2 : 0);
  header[2] = hlen;
  header[3] = pdo;
  header.writeUInt32LE(header.length + dataLength + (hasDataDigest ? digestBytes : 0), 4);
  return header;
}

function append(
  out: Uint8Array[],
  framing: SendFraming,
  header: Uint8Array,
  hlen: number,
  data?: Uint8Array,
): void {
  if (framing.hdgst) viewOf(header).setUint32(hlen, crc32c(header.subarray(0, hlen)), true);
  out.push(header);
  if (!data || data.length === 0) return;
  out.push(data);
  if (framing.ddgst) {
    const digest = Buffer.allocUnsafe(digestBytes);
    digest.writeUInt32LE(crc32c(data));
    out.push(digest);
  }
}
