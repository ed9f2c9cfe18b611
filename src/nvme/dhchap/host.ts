/**
 * The host's side of DH-HMAC-CHAP as a state machine: bytes in, bytes out.
 * NVMe Base 2.0 §8.13.5.1.
 *
 *   idle ──start──▶ negotiating ──Challenge──▶ replied ──Success1──▶ ended
 *                        └──── Failure1, or anything wrong ────┴───────▶ ended
 *
 * Every message but the first answers one of the controller's, so the caller only has to send what
 * it is given by Authentication Send, and then to ask by Authentication Receive.
 */

import { generatedPsk, type RetainedPsk } from "../psk/tls-psk.ts";
import {
  type DhchapGroup,
  type DhchapHash,
  dhchapGroupId,
  dhchapGroupOf,
  dhchapGroups,
  dhchapHashBytes,
  dhchapHashes,
  dhchapHashId,
  dhchapHashOf,
} from "./algorithm.ts";
import { dhExponentBytes, dhKey } from "./dh.ts";
import {
  type DhchapFailure,
  type DhchapMessage,
  decodeDhchapMessage,
  dhchapFailure,
  encodeDhchapMessage,
  secureChannelConcatenation,
} from "./message.ts";
import {
  controllerResponse,
  type DhchapTransaction,
  dhchapSessionKey,
  hostResponse,
  responsesEqual,
} from "./response.ts";
import type { DhchapSecret } from "./secret.ts";

/** Whether a key for TLS is to come of it (secure channel concatenation, TP8018). */
export type DhchapConcatenation = "none" | "newTlsPsk" | "replaceTlsPsk";

/** What the host knows and wants. */
export interface DhchapHostOptions {
  readonly hostnqn: string;
  readonly subnqn: string;
  /** The host's secret. */
  readonly secret: DhchapSecret;
  /** The controller's secret; given, the controller has to prove that it knows it. */
  readonly controllerSecret?: DhchapSecret;
  /** Transaction identifier, 16 bits; another one for each transaction. */
  readonly tid: number;
  /** Hashes to offer, the preferred first; all unless given. */
  readonly hashes?: readonly DhchapHash[];
  /** Groups to offer, the preferred first; all unless given. */
  readonly groups?: readonly DhchapGroup[];
  readonly concatenation?: DhchapConcatenation;
  /** As many unpredictable bytes as asked for. */
  readonly random: (lengthBytes: number) => Uint8Array;
}

/** What was agreed upon and proven. */
export interface DhchapResult {
  readonly hash: DhchapHash;
  readonly group: DhchapGroup;
  /** Both ends have proven themselves, not only the host. */
  readonly bidirectional: boolean;
  /** The key for TLS that was asked for. */
  readonly generated?: RetainedPsk;
}

/** What the host does next. */
export type DhchapHostStep =
  /** Send it, then receive. */
  | { readonly kind: "reply"; readonly message: Uint8Array }
  /** Authenticated; send `message` where there is one, without receiving then. */
  | { readonly kind: "done"; readonly result: DhchapResult; readonly message?: Uint8Array }
  /** Not authenticated; send `message` where there is one, and disconnect. */
  | {
      readonly kind: "failed";
      readonly failure: DhchapFailure | "unknown";
      /** Who called it off. */
      readonly by: "host" | "controller";
      readonly message?: Uint8Array;
    };

type State =
  | { readonly name: "idle" }
  | { readonly name: "negotiating" }
  | {
      readonly name: "replied";
      readonly result: DhchapResult;
      /** R2 that the controller must give; `undefined` where it need not prove itself. */
      readonly wanted: Uint8Array | undefined;
    }
  | { readonly name: "ended" };

type Challenge = DhchapMessage & { readonly type: "challenge" };

/** One transaction of a host on one queue. */
export class DhchapHost {
  readonly #options: DhchapHostOptions;
  readonly #hashes: readonly DhchapHash[];
  readonly #groups: readonly DhchapGroup[];
  readonly #scc: number;
  #state: State = { name: "idle" };

  constructor(options: DhchapHostOptions) {
    const { hashes = dhchapHashes, groups = dhchapGroups, concatenation = "none" } = options;
    this.#options = options;
    this.#scc = secureChannelConcatenation[concatenation];
    const makesKey = concatenation !== "none";
    this.#hashes = makesKey ? hashes.filter((hash) => hash !== "sha512") : hashes;
    this.#groups = makesKey ? groups.filter((group) => group !== "null") : groups;
    if (this.#hashes.length === 0 || this.#groups.length === 0) {
      throw new RangeError("DH-HMAC-CHAP needs a hash and a group that it may use.");
    }
  }

  /** The first message: send it, then receive. */
  start(): Uint8Array {
    if (this.#state.name !== "idle") throw new Error("A transaction starts once.");
    this.#state = { name: "negotiating" };
    return encodeDhchapMessage({
      type: "negotiate",
      tid: this.#options.tid,
      scc: this.#scc,
      hashIds: this.#hashes.map((hash) => dhchapHashId[hash]),
      groupIds: this.#groups.map((group) => dhchapGroupId[group]),
    });
  }

  /** Takes what was received; bytes behind the message are passed over. */
  receive(raw: Uint8Array): DhchapHostStep {
    const state = this.#state;
    if (state.name === "idle" || state.name === "ended") {
      throw new Error(`Nothing is to be received while ${state.name}.`);
    }
    const decoded = decodeDhchapMessage(raw);
    if (!decoded.ok) return this.#fail(decoded.failure);
    const { message } = decoded;
    if (message.type === "failure1") return this.#calledOff(message.explanation);
    if (message.tid !== this.#options.tid) return this.#fail("incorrectPayload");
    if (state.name === "negotiating" && message.type === "challenge") return this.#reply(message);
    if (state.name === "replied" && message.type === "success1") {
      return this.#conclude(state, message.r2);
    }
    return this.#fail("incorrectMessage");
  }

  #reply(message: Challenge): DhchapHostStep {
    const { options, hash, group } = { options: this.#options, ...this.#agreed(message) };
    if (hash === undefined) return this.#fail("hashNotUsable");
    if (group === undefined) return this.#fail("groupNotUsable");
    if (message.c1.length !== dhchapHashBytes[hash]) return this.#fail("incorrectPayload");
    if (message.seqnum === 0) return this.#fail("incorrectPayload");
    const shared = this.#exchange(group, message.dhValue);
    if (shared === undefined) return this.#fail("incorrectPayload");
    const sessionKey = shared.secret && dhchapSessionKey(hash, shared.secret);
    const transaction: DhchapTransaction = { ...options, hash, scc: this.#scc };
    const first = { challenge: message.c1, seqnum: message.seqnum, sessionKey };
    const r1 = hostResponse(transaction, options.secret.keyFor(options.hostnqn), first);

    const { controllerSecret } = options;
    const makesKey = this.#scc !== secureChannelConcatenation.none;
    const bidirectional = controllerSecret !== undefined;
    const c2 = bidirectional || makesKey ? options.random(dhchapHashBytes[hash]) : undefined;
    const seqnum = bidirectional ? nonZero(options.random) : 0;
    const wanted =
      controllerSecret && c2
        ? controllerResponse(transaction, controllerSecret.keyFor(options.subnqn), {
            challenge: c2,
            seqnum,
            sessionKey,
          })
        : undefined;
    const generated =
      makesKey && hash !== "sha512" && sessionKey && c2
        ? { generated: generatedPsk(hash, sessionKey, message.c1, c2) }
        : {};
    const result: DhchapResult = { hash, group, bidirectional, ...generated };
    this.#state = { name: "replied", result, wanted };
    const dhValue = shared.publicValue;
    const reply = { type: "reply", tid: options.tid, seqnum, r1, c2, dhValue } as const;
    return { kind: "reply", message: encodeDhchapMessage(reply) };
  }

  #conclude(
    { result, wanted }: State & { name: "replied" },
    r2: Uint8Array | undefined,
  ): DhchapHostStep {
    if (wanted === undefined) {
      this.#state = { name: "ended" };
      return { kind: "done", result };
    }
    if (r2 === undefined || !responsesEqual(r2, wanted)) return this.#fail("failed");
    this.#state = { name: "ended" };
    const message = encodeDhchapMessage({ type: "success2", tid: this.#options.tid });
    return { kind: "done", result, message };
  }

  /** What the controller chose, as far as it is among what was offered. */
  #agreed({ hashId, groupId }: Challenge) {
    const hash = dhchapHashOf(hashId);
    const group = dhchapGroupOf(groupId);
    return {
      hash: hash && this.#hashes.includes(hash) ? hash : undefined,
      group: group && this.#groups.includes(group) ? group : undefined,
    };
  }

  #exchange(group: DhchapGroup, peerValue: Uint8Array) {
    if (group === "null") {
      const isEmpty = peerValue.length === 0;
      return isEmpty ? { publicValue: new Uint8Array(0), secret: undefined } : undefined;
    }
    const key = dhKey(group, this.#options.random(dhExponentBytes));
    const secret = key.sharedSecret(peerValue);
    return secret && { publicValue: key.publicValue, secret };
  }

  #fail(failure: DhchapFailure): DhchapHostStep {
    this.#state = { name: "ended" };
    const message = encodeDhchapMessage({
      type: "failure2",
      tid: this.#options.tid,
      explanation: dhchapFailure[failure],
    });
    return { kind: "failed", failure, by: "host", message };
  }

  #calledOff(explanation: number): DhchapHostStep {
    this.#state = { name: "ended" };
    return { kind: "failed", failure: failureOf(explanation), by: "controller" };
  }
}

/** A sequence number that is not 0, which has a meaning of its own. */
export function nonZero(random: (lengthBytes: number) => Uint8Array): number {
  const raw = random(4);
  return new DataView(raw.buffer, raw.byteOffset, 4).getUint32(0, true) || 1;
}

/** The name of an explanation that the peer gave. */
export function failureOf(explanation: number): DhchapFailure | "unknown" {
  const names = Object.keys(dhchapFailure) as DhchapFailure[];
  return names.find((name) => dhchapFailure[name] === explanation) ?? "unknown";
}
