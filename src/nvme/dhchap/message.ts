/**
 * The messages of DH-HMAC-CHAP, which Authentication Send and Receive carry.
 * NVMe Base 2.0 §8.13.5.2 to §8.13.5.7, and §8.13.4 for failures.
 */

import { bytes, layout, repeat, reserved, u8, u16le, u32le } from "../../bytes/index.ts";
import { dhchapHashBytes } from "./algorithm.ts";

/** SECP, SPSP0 and SPSP1 of the commands that carry these messages, Base 2.0 figure 436. */
export const authenticationProtocol = { secp: 0xe9, spsp0: 1, spsp1: 1 } as const;

/** AUTH_TYPE: messages that all protocols share, and those of DH-HMAC-CHAP. */
const authType = { common: 0x00, dhchap: 0x01 } as const;

/** AUTH_ID. */
const authId = {
  negotiate: 0x00,
  challenge: 0x01,
  reply: 0x02,
  success1: 0x03,
  success2: 0x04,
  failure2: 0xf0,
  failure1: 0xf1,
} as const;

/** Secure Channel Concatenation (SC_C); the second is of NVMe 2.0, the others of TP8018. */
export const secureChannelConcatenation = {
  none: 0,
  sc: 1,
  newTlsPsk: 2,
  replaceTlsPsk: 3,
} as const;

/** Why it failed (reason code explanations), figure 438. */
export const dhchapFailure = {
  failed: 1,
  protocolNotUsable: 2,
  concatenationMismatch: 3,
  hashNotUsable: 4,
  groupNotUsable: 5,
  incorrectPayload: 6,
  incorrectMessage: 7,
} as const;

/** Name of a failure, in `dhchapFailure`. */
export type DhchapFailure = keyof typeof dhchapFailure;

const commonHeader = {
  authType: u8,
  authId: u8,
  reserved2: reserved(2),
  tid: u16le,
} as const;
const anyMessage = layout("authentication message", 6, commonHeader);

/** AUTH_Negotiate with the one protocol that there is, figures 439 and 441. */
const negotiateMessage = layout("AUTH_Negotiate", 72, {
  ...commonHeader,
  scc: u8,
  napd: u8,
  authid: u8,
  reserved9: reserved(1),
  halen: u8,
  dhlen: u8,
  hashIds: repeat(u8, 30),
  groupIds: repeat(u8, 30),
});

/** DH-HMAC-CHAP_Challenge up to C1, figure 443. */
const challengeMessage = layout("DH-HMAC-CHAP_Challenge", 16, {
  ...commonHeader,
  hl: u8,
  reserved7: reserved(1),
  hashId: u8,
  groupId: u8,
  dhvlen: u16le,
  seqnum: u32le,
});

/** DH-HMAC-CHAP_Reply up to R1, figure 446. */
const replyMessage = layout("DH-HMAC-CHAP_Reply", 16, {
  ...commonHeader,
  hl: u8,
  reserved7: reserved(1),
  cvalid: u8,
  reserved9: reserved(1),
  dhvlen: u16le,
  seqnum: u32le,
});

/** DH-HMAC-CHAP_Success1 up to R2, figure 447. */
const success1Message = layout("DH-HMAC-CHAP_Success1", 16, {
  ...commonHeader,
  hl: u8,
  reserved7: reserved(1),
  rvalid: u8,
  reserved9: reserved(7),
});

/** DH-HMAC-CHAP_Success2, figure 448. */
const success2Message = layout("DH-HMAC-CHAP_Success2", 16, {
  ...commonHeader,
  reserved6: reserved(10),
});

/** AUTH_Failure1 and AUTH_Failure2, figures 437. */
const failureMessage = layout("AUTH_Failure", 8, {
  ...commonHeader,
  reason: u8,
  explanation: u8,
});

/** A message as a value; identifiers and lengths are as they came, not yet judged. */
export type DhchapMessage =
  | {
      readonly type: "negotiate";
      readonly tid: number;
      readonly scc: number;
      readonly hashIds: readonly number[];
      readonly groupIds: readonly number[];
    }
  | {
      readonly type: "challenge";
      readonly tid: number;
      readonly hashId: number;
      readonly groupId: number;
      /** S1, never 0. */
      readonly seqnum: number;
      readonly c1: Uint8Array;
      /** Empty without a group. */
      readonly dhValue: Uint8Array;
    }
  | {
      readonly type: "reply";
      readonly tid: number;
      /** S2, 0 where the controller is not to prove itself. */
      readonly seqnum: number;
      readonly r1: Uint8Array;
      readonly c2: Uint8Array | undefined;
      readonly dhValue: Uint8Array;
    }
  | { readonly type: "success1"; readonly tid: number; readonly r2: Uint8Array | undefined }
  | { readonly type: "success2"; readonly tid: number }
  | {
      readonly type: "failure1" | "failure2";
      readonly tid: number;
      /** Reason code explanation: one of `dhchapFailure`, or what the peer made up. */
      readonly explanation: number;
    };

/** A message, or what is wrong with the bytes: the failure to answer with. */
export type DecodedDhchapMessage =
  | { readonly ok: true; readonly message: DhchapMessage }
  | { readonly ok: false; readonly tid: number; readonly failure: DhchapFailure };

/** Longest message: a reply in the largest group and hash; a good allocation length. */
export const dhchapMessageBytesMax = replyMessage.size + 2 * dhchapHashBytes.sha512 + 1024;

const protocolId = 1;
const idsMax = 30;
const reasonFailed = 1;

/** Writes a message. Success1 is `hashBytes` longer than its table, also without R2. */
export function encodeDhchapMessage(message: DhchapMessage, hashBytes = 0): Uint8Array {
  const { type, tid } = message;
  const isCommon = type === "negotiate" || type === "failure1" || type === "failure2";
  const header = {
    authType: isCommon ? authType.common : authType.dhchap,
    authId: authId[type],
    tid,
  };
  switch (message.type) {
    case "negotiate": {
      const { scc, hashIds, groupIds } = message;
      const lengths = { halen: hashIds.length, dhlen: groupIds.length };
      const ids = { hashIds: padIds(hashIds), groupIds: padIds(groupIds) };
      const fixed = { napd: 1, authid: protocolId };
      return negotiateMessage.encode({ ...header, scc, ...fixed, ...lengths, ...ids });
    }
    case "challenge": {
      const { hashId, groupId, seqnum, c1, dhValue } = message;
      const lengths = { hl: c1.length, dhvlen: dhValue.length };
      const head = challengeMessage.encode({ ...header, ...lengths, hashId, groupId, seqnum });
      return joined(head, c1, dhValue);
    }
    case "reply": {
      const { seqnum, r1, c2, dhValue } = message;
      const lengths = { hl: r1.length, dhvlen: dhValue.length };
      const cvalid = c2 === undefined ? 0 : 1;
      const head = replyMessage.encode({ ...header, ...lengths, cvalid, seqnum });
      return joined(head, r1, c2 ?? new Uint8Array(r1.length), dhValue);
    }
    case "success1": {
      const r2 = message.r2 ?? new Uint8Array(hashBytes);
      const rvalid = message.r2 === undefined ? 0 : 1;
      return joined(success1Message.encode({ ...header, hl: r2.length, rvalid }), r2);
    }
    case "success2":
      return success2Message.encode(header);
    default:
      return failureMessage.encode({
        ...header,
        reason: reasonFailed,
        explanation: message.explanation,
      });
  }
}

/**
 * Reads a message; bytes behind its end are passed over, since hosts receive into buffers that are
 * longer. An unknown message gives `incorrectMessage`, one that claims more than is there
 * `incorrectPayload`.
 */
export function decodeDhchapMessage(raw: Uint8Array): DecodedDhchapMessage {
  if (raw.length < anyMessage.size) return fault(0, "incorrectPayload");
  const { authType: kind, authId: id, tid } = anyMessage.decode(raw);
  const read = decoders.find((decoder) => decoder.kind === kind && decoder.id === id);
  if (read === undefined) return fault(tid, "incorrectMessage");
  if (raw.length < read.size) return fault(tid, "incorrectPayload");
  const message = read.decode(raw);
  if (typeof message === "string") return fault(tid, message);
  return { ok: true, message };
}

interface Decoder {
  readonly kind: number;
  readonly id: number;
  readonly size: number;
  decode(raw: Uint8Array): DhchapMessage | DhchapFailure;
}

const { common, dhchap } = authType;
const decoders: readonly Decoder[] = [
  { kind: common, id: authId.negotiate, size: 72, decode: decodeNegotiate },
  { kind: dhchap, id: authId.challenge, size: 16, decode: decodeChallenge },
  { kind: dhchap, id: authId.reply, size: 16, decode: decodeReply },
  { kind: dhchap, id: authId.success1, size: 16, decode: decodeSuccess1 },
  {
    kind: dhchap,
    id: authId.success2,
    size: 16,
    decode: (raw) => ({ type: "success2", tid: anyMessage.decode(raw).tid }),
  },
  { kind: common, id: authId.failure1, size: 8, decode: (raw) => decodeFailure("failure1", raw) },
  { kind: common, id: authId.failure2, size: 8, decode: (raw) => decodeFailure("failure2", raw) },
];

function decodeNegotiate(raw: Uint8Array): DhchapMessage | DhchapFailure {
  const { tid, scc, napd, authid, halen, dhlen, hashIds, groupIds } = negotiateMessage.decode(raw);
  if (napd === 0 || authid !== protocolId) return "protocolNotUsable";
  if (halen > idsMax || dhlen > idsMax) return "incorrectPayload";
  const ids = { hashIds: hashIds.slice(0, halen), groupIds: groupIds.slice(0, dhlen) };
  return { type: "negotiate", tid, scc, ...ids };
}

function decodeChallenge(raw: Uint8Array): DhchapMessage | DhchapFailure {
  const { tid, hl, dhvlen, hashId, groupId, seqnum } = challengeMessage.decode(raw);
  const parts = split(raw, challengeMessage.size, [hl, dhvlen]);
  if (parts === undefined) return "incorrectPayload";
  const [c1, dhValue] = parts as [Uint8Array, Uint8Array];
  return { type: "challenge", tid, hashId, groupId, seqnum, c1, dhValue };
}

function decodeReply(raw: Uint8Array): DhchapMessage | DhchapFailure {
  const { tid, hl, dhvlen, cvalid, seqnum } = replyMessage.decode(raw);
  const parts = split(raw, replyMessage.size, [hl, hl, dhvlen]);
  if (parts === undefined) return "incorrectPayload";
  const [r1, c2, dhValue] = parts as [Uint8Array, Uint8Array, Uint8Array];
  return { type: "reply", tid, seqnum, r1, c2: cvalid === 0 ? undefined : c2, dhValue };
}

function decodeSuccess1(raw: Uint8Array): DhchapMessage | DhchapFailure {
  const { tid, hl, rvalid } = success1Message.decode(raw);
  if (rvalid === 0) return { type: "success1", tid, r2: undefined };
  const parts = split(raw, success1Message.size, [hl]);
  if (parts === undefined) return "incorrectPayload";
  return { type: "success1", tid, r2: parts[0] };
}

function decodeFailure(type: "failure1" | "failure2", raw: Uint8Array): DhchapMessage {
  const { tid, explanation } = failureMessage.decode(raw);
  return { type, tid, explanation };
}

/** Copies of the parts that lie one after the other from `start` on. */
function split(
  raw: Uint8Array,
  start: number,
  lengths: readonly number[],
): Uint8Array[] | undefined {
  const end = lengths.reduce((sum, length) => sum + length, start);
  if (end > raw.length) return undefined;
  let offset = start;
  return lengths.map((length) => {
    const part = bytes(length).read(new DataView(raw.buffer, raw.byteOffset), offset);
    offset += length;
    return part;
  });
}

function fault(tid: number, failure: DhchapFailure): DecodedDhchapMessage {
  return { ok: false, tid, failure };
}

function padIds(ids: readonly number[]): number[] {
  return [...ids, ...new Array<number>(idsMax - ids.length).fill(0)];
}

function joined(...parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(Buffer.concat(parts));
}
