/**
 * PDUs of NVMe/TCP: their layouts, and the typed values that a stream is decoded to.
 * NVM Express TCP Transport 1.0 §3.6.
 */

import { bits, bytes, flag, layout, reserved, u8, u16le, u32le } from "../bytes/index.ts";
import { type Completion, cqe } from "./completion.ts";
import { count32, pduAlignment } from "./zero-based.ts";

/** PDU types, §3.6.1 figure 14. */
export const pduType = {
  ICReq: 0x00,
  ICResp: 0x01,
  H2CTermReq: 0x02,
  C2HTermReq: 0x03,
  CapsuleCmd: 0x04,
  CapsuleResp: 0x05,
  H2CData: 0x06,
  C2HData: 0x07,
  R2T: 0x09,
} as const;

/** Name of a PDU type. */
export type PduName = keyof typeof pduType;

/** Length of a header or data digest (CRC32C), §3.3.1. */
export const digestBytes = 4;
/** In-capsule data that every admin queue and every fabrics command may have, §3.3.2. */
export const adminCapsuleBytesMax = 8192;
/** Length of a CapsuleCmd's header: common header and submission queue entry. */
export const capsuleCmdBytes = 72;
/** The smallest MAXH2CDATA that a controller may state, §3.6.2.3. */
export const maxH2cDataBytesMin = 4096;
/** Longest termination request: its header and 128 bytes of the PDU in error, §3.6.2.4. */
export const termReqBytesMax = 152;

const pduFlags = bits(1, { hdgstf: flag, ddgstf: flag, last: flag, success: flag, reserved4: 4 });

/** Common header (CH), figure 13. */
export const commonHeader = layout("PDU Common Header", 8, {
  type: u8,
  flags: pduFlags,
  hlen: u8,
  pdo: u8,
  plen: u32le,
});

const digests = bits(1, { hdgst: flag, ddgst: flag, reserved2: 6 });

/** Initialize Connection Request, figure 16. */
export const icReq = layout("ICReq", 128, {
  ch: commonHeader,
  pfv: u16le,
  hpda: pduAlignment,
  dgst: digests,
  maxr2t: count32,
  reserved16: reserved(112),
});

/** Initialize Connection Response, figure 17. */
export const icResp = layout("ICResp", 128, {
  ch: commonHeader,
  pfv: u16le,
  cpda: pduAlignment,
  dgst: digests,
  maxh2cdata: u32le,
  reserved16: reserved(112),
});

/** Termination requests of both directions, figures 18 and 20. */
export const termReq = layout("TermReq", 24, {
  ch: commonHeader,
  fes: u16le,
  fei: u32le,
  reserved14: reserved(10),
});

/** Command Capsule, figure 21. */
export const capsuleCmd = layout("CapsuleCmd", capsuleCmdBytes, {
  ch: commonHeader,
  sqe: bytes(64),
});

/** Response Capsule, figure 22. */
export const capsuleResp = layout("CapsuleResp", 24, { ch: commonHeader, cqe });

/** Host To Controller and Controller To Host Data, figures 23 and 24. */
export const dataPdu = layout("H2CData or C2HData", 24, {
  ch: commonHeader,
  cccid: u16le,
  ttag: u16le,
  datao: u32le,
  datal: u32le,
  reserved20: reserved(4),
});

/** Ready to Transfer, figure 25. */
export const r2t = layout("R2T", 24, {
  ch: commonHeader,
  cccid: u16le,
  ttag: u16le,
  r2to: u32le,
  r2tl: u32le,
  reserved20: reserved(4),
});

/** Header length (HLEN) of each type. */
export const headerBytes: Readonly<Record<PduName, number>> = {
  ICReq: icReq.size,
  ICResp: icResp.size,
  H2CTermReq: termReq.size,
  C2HTermReq: termReq.size,
  CapsuleCmd: capsuleCmd.size,
  CapsuleResp: capsuleResp.size,
  H2CData: dataPdu.size,
  C2HData: dataPdu.size,
  R2T: r2t.size,
};

/** Which digests a connection uses. */
export interface Digests {
  readonly hdgst: boolean;
  readonly ddgst: boolean;
}

/** One PDU without its data. Counts, alignments and offsets are in bytes. */
export type Pdu =
  | {
      readonly type: "ICReq";
      readonly pfv: number;
      readonly hpda: number;
      readonly dgst: Digests;
      /** How many R2Ts of one command the host takes at a time. */
      readonly maxr2t: number;
    }
  | {
      readonly type: "ICResp";
      readonly pfv: number;
      readonly cpda: number;
      readonly dgst: Digests;
      readonly maxh2cdata: number;
    }
  | {
      readonly type: "H2CTermReq" | "C2HTermReq";
      readonly fes: number;
      readonly fei: number;
      /** Length of the quoted PDU header that follows as data. */
      readonly dataLength: number;
    }
  | {
      readonly type: "CapsuleCmd";
      /** The 64 bytes of the command; valid until the call that hands it over returns. */
      readonly sqe: Uint8Array;
      /** In-capsule data that follows. */
      readonly dataLength: number;
    }
  | { readonly type: "CapsuleResp"; readonly cqe: Completion }
  | {
      readonly type: "H2CData" | "C2HData";
      readonly cccid: number;
      readonly ttag: number;
      readonly datao: number;
      /** DATAL. */
      readonly dataLength: number;
      readonly last: boolean;
      /** C2HData only: the command succeeded, and no response follows. */
      readonly success: boolean;
    }
  | {
      readonly type: "R2T";
      readonly cccid: number;
      readonly ttag: number;
      readonly r2to: number;
      readonly r2tl: number;
    };

/** Fatal Error Status of termination requests, figure 19. */
export const fes = {
  invalidHeaderField: 0x01,
  sequence: 0x02,
  headerDigest: 0x03,
  dataOutOfRange: 0x04,
  limitExceeded: 0x05,
  unsupportedParameter: 0x06,
} as const;

/** What a peer's fatal error status is called. */
export function describeFes(value: number): string {
  const name = (Object.keys(fes) as (keyof typeof fes)[]).find((key) => fes[key] === value);
  return name === undefined ? `fatal error ${value}` : fesText[name];
}

const fesText: Readonly<Record<keyof typeof fes, string>> = {
  invalidHeaderField: "invalid PDU header field",
  sequence: "PDU sequence error",
  headerDigest: "header digest error",
  dataOutOfRange: "data transfer out of range",
  limitExceeded: "R2T or data transfer limit exceeded",
  unsupportedParameter: "unsupported parameter",
};

/** What a peer did wrong with a PDU; each reason has one fatal error status. */
export const faultFes = {
  type: fes.invalidHeaderField,
  flags: fes.invalidHeaderField,
  hlen: fes.invalidHeaderField,
  pdo: fes.invalidHeaderField,
  plen: fes.invalidHeaderField,
  datal: fes.invalidHeaderField,
  cccid: fes.invalidHeaderField,
  ttag: fes.invalidHeaderField,
  direction: fes.invalidHeaderField,
  hdgst: fes.headerDigest,
  sequence: fes.sequence,
  range: fes.dataOutOfRange,
  limit: fes.limitExceeded,
  parameter: fes.unsupportedParameter,
} as const;

/** Why a PDU is refused. */
export type PduFaultReason = keyof typeof faultFes;

/** A peer's fault: fatal for the connection. */
export interface PduFault {
  readonly reason: PduFaultReason;
  /** What was found and wanted, for people. */
  readonly detail: string;
  readonly fes: number;
  /**
   * Fatal Error Information: byte offset of the field where FES is about a field, the digest that
   * came where it is about that, else 0.
   */
  readonly fei: number;
  /** A copy of the header in error, at most 128 bytes, for the termination request. */
  readonly header: Uint8Array;
}

/** Makes a fault; `about` is the field's place in the PDU, or the header digest that came. */
export function pduFault(reason: PduFaultReason, detail: string, about = 0): PduFault {
  const status: number = faultFes[reason];
  const hasInformation =
    status === fes.invalidHeaderField ||
    status === fes.unsupportedParameter ||
    status === fes.headerDigest;
  return {
    reason,
    detail,
    fes: status,
    fei: hasInformation ? about : 0,
    header: new Uint8Array(0),
  };
}
