/**
 * How a queue begins: what ICResp and the response to Connect must say.
 * NVM Express TCP Transport 1.0 §3.6.2.3, NVMe Base 2.0 §6.3.
 */

import {
  type Completion,
  connectResult,
  type Digests,
  decodeStatus,
  describeStatus,
  dword,
  type Framing,
  initialFraming,
  maxH2cDataBytesMin,
  type Pdu,
  type PduFault,
  pduFault,
  refusedParameter,
  type SendFraming,
} from "../nvme/index.ts";
import type { InitiatorErrorCode, InitiatorFacts } from "./error.ts";

/** Why a queue ended: an error's parts, without the peer's name. */
export interface Failure {
  readonly code: InitiatorErrorCode;
  /** What happened, as the end of a sentence. */
  readonly detail: string;
  readonly facts: InitiatorFacts;
  readonly cause?: unknown;
}

/** What both sides agreed on. */
export interface Negotiated {
  readonly send: SendFraming;
  readonly receive: Framing;
  /** MAXH2CDATA: longest data of one H2CData. */
  readonly h2cDataBytesMax: number;
}

/** Checks an ICResp against what was asked for; a fault where the connection cannot go on. */
export function checkIcResp(pdu: Pdu & { type: "ICResp" }, asked: Digests): Negotiated | PduFault {
  if (pdu.pfv !== 0) return pduFault("parameter", `ICResp of PDU format ${pdu.pfv}, wanted 0`, 8);
  if (pdu.cpda > 128) return pduFault("parameter", `CPDA of ${pdu.cpda} bytes, at most 128`, 10);
  const { hdgst, ddgst } = pdu.dgst;
  if (hdgst !== asked.hdgst || ddgst !== asked.ddgst) {
    const text = (value: Digests) => `header ${value.hdgst}, data ${value.ddgst}`;
    return pduFault("parameter", `digests: ${text(pdu.dgst)}; asked for ${text(asked)}`, 11);
  }
  const { maxh2cdata } = pdu;
  if (maxh2cdata < maxH2cDataBytesMin || maxh2cdata % 4 !== 0) {
    const wanted = `a multiple of 4, at least ${maxH2cDataBytesMin}`;
    return pduFault("parameter", `MAXH2CDATA ${maxh2cdata}, wanted ${wanted}`, 12);
  }
  return {
    send: { hdgst, ddgst, alignmentBytes: pdu.cpda },
    receive: { ...initialFraming, hdgst, ddgst },
    h2cDataBytesMax: maxh2cdata,
  };
}

/** What a controller that was connected to says. */
export interface Connected {
  readonly cntlid: number;
  /** AUTHREQ: this queue must authenticate before it is used. */
  readonly authentication: "none" | "required" | "secure-channel";
}

/** Reads the response to Connect: the controller's id, or why there is none. */
export function checkConnect(completion: Completion): Connected | Failure {
  if (completion.status !== 0) {
    const status = decodeStatus(completion.status);
    const { name, meaning } = describeStatus(status, true);
    const field = name === "connectInvalidParameters" ? ` (${refusedParameter(completion)})` : "";
    const detail = `it refused Connect: ${meaning}${field}`;
    const code = name === "authenticationRequired" ? "unsupported" : "status";
    return { code, detail, facts: { status, statusName: name } };
  }
  const { cntlid, authreq } = connectResult.decode(dword(completion.dw0));
  if (authreq.ascr) return { cntlid, authentication: "secure-channel" };
  return { cntlid, authentication: authreq.atr ? "required" : "none" };
}
