/**
 * The controller's side of DH-HMAC-CHAP as a state machine: what came by Authentication Send goes
 * in, what Authentication Receive asks for comes out. NVMe Base 2.0 §8.13.5.1.
 *
 *   waiting ──Negotiate──▶ challenged ──Reply──▶ accepted ──Success2──▶ ended
 *      └────────────── anything wrong ─────────────┴──▶ refused ──(Failure1 given)──▶ ended
 *
 * `challenged`, `accepted` and `refused` hold the message that the host asks for next.
 * A Negotiate restarts the transaction in any state but `refused`.
 */

import { generatedPsk, type PskHash } from "../psk/tls-psk.ts";
import {
  type DhchapGroup,
  type DhchapHash,
  dhchapGroupId,
  dhchapHashBytes,
  dhchapHashes,
  dhchapHashId,
} from "./algorithm.ts";
import { type DhKey, dhExponentBytes, dhKey } from "./dh.ts";
import { type DhchapConcatenation, type DhchapResult, failureOf, nonZero } from "./host.ts";
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

/** What the controller knows and allows. */
export interface DhchapControllerOptions {
  readonly hostnqn: string;
  readonly subnqn: string;
  /** The secret of the host with this name. */
  readonly secret: DhchapSecret;
  /** The subsystem's own secret, for hosts that want it proven. */
  readonly controllerSecret?: DhchapSecret;
  /** Hashes that it takes, the preferred first; all unless given. */
  readonly hashes?: readonly DhchapHash[];
  /** Groups that it takes, the preferred first; all, from ffdhe3072 on, unless given. */
  readonly groups?: readonly DhchapGroup[];
  /**
   * Which secure channel concatenation the queue allows: a new key on an admin queue without TLS,
   * a replacement on one with a generated key, else none.
   */
  readonly concatenation?: DhchapConcatenation;
  /** Refuse a host that does not ask for `concatenation`. */
  readonly mustConcatenate?: boolean;
  /** Hashes of which a key for TLS can be used; both unless given. */
  readonly keyHashes?: readonly PskHash[];
  /** As many unpredictable bytes as asked for. */
  readonly random: (lengthBytes: number) => Uint8Array;
}

/** What came of a message that the host sent. */
export type DhchapControllerStep =
  /** The host goes on; `receive` has what it will ask for. */
  | { readonly kind: "continue" }
  /** The host has proven itself, and the controller where it was to; serve it. */
  | { readonly kind: "authenticated"; readonly result: DhchapResult }
  /** It has not. While `receive` holds a Failure1, keep the queue until it was asked for. */
  | {
      readonly kind: "failed";
      readonly failure: DhchapFailure | "unknown";
      /** Who called it off. */
      readonly by: "host" | "controller";
    };

/** What answers Authentication Receive. */
export type DhchapAnswer =
  | { readonly kind: "message"; readonly message: Uint8Array }
  /** It was a Failure1, or nothing more is to come: close the queue after this. */
  | { readonly kind: "last"; readonly message: Uint8Array }
  /** The host asks out of turn: Command Sequence Error. */
  | { readonly kind: "outOfTurn" };

type State =
  | { readonly name: "waiting" }
  | {
      readonly name: "challenged";
      readonly transaction: DhchapTransaction;
      readonly group: DhchapGroup;
      readonly c1: Uint8Array;
      readonly s1: number;
      readonly key: DhKey | undefined;
    }
  | {
      readonly name: "accepted";
      readonly tid: number;
      readonly result: DhchapResult;
      readonly r2: Uint8Array | undefined;
    }
  | { readonly name: "refused"; readonly tid: number; readonly failure: DhchapFailure }
  | { readonly name: "ended" };

type Negotiate = DhchapMessage & { readonly type: "negotiate" };
type Reply = DhchapMessage & { readonly type: "reply" };

/**
 * ffdhe3072 is as strong as the ciphers around it and takes 4 ms for each queue; ffdhe8192 takes
 * 30 ms, during which no other host is served.
 */
const groupsPreferred: readonly DhchapGroup[] = [
  "ffdhe3072",
  "ffdhe4096",
  "ffdhe6144",
  "ffdhe8192",
  "ffdhe2048",
  "null",
];

/** The transactions of one queue, one after the other. */
export class DhchapController {
  readonly #options: DhchapControllerOptions;
  #state: State = { name: "waiting" };

  constructor(options: DhchapControllerOptions) {
    this.#options = options;
  }

  /** Takes the data of an Authentication Send. */
  send(raw: Uint8Array): DhchapControllerStep {
    const state = this.#state;
    const decoded = decodeDhchapMessage(raw);
    if (state.name === "refused") return this.#refuse(state.tid, state.failure);
    if (!decoded.ok) return this.#refuse(decoded.tid, decoded.failure);
    const { message } = decoded;
    if (message.type === "negotiate") return this.#challenge(message);
    if (state.name === "waiting" || state.name === "ended") {
      return this.#refuse(message.tid, "incorrectMessage");
    }
    const tid = state.name === "challenged" ? state.transaction.tid : state.tid;
    if (message.tid !== tid) return this.#refuse(tid, "incorrectPayload");
    if (message.type === "failure2") return this.#calledOff(message.explanation);
    if (state.name === "challenged" && message.type === "reply") return this.#judge(state, message);
    if (state.name === "accepted" && message.type === "success2") {
      this.#state = { name: "ended" };
      return { kind: "authenticated", result: state.result };
    }
    return this.#refuse(tid, "incorrectMessage");
  }

  /** The data of an Authentication Receive; `challenged` may be asked for again. */
  receive(): DhchapAnswer {
    const state = this.#state;
    switch (state.name) {
      case "challenged":
        return { kind: "message", message: challengeOf(state) };
      case "accepted": {
        const { tid, r2, result } = state;
        const hashBytes = dhchapHashBytes[result.hash];
        const message = encodeDhchapMessage({ type: "success1", tid, r2 }, hashBytes);
        return { kind: "message", message };
      }
      case "refused": {
        this.#state = { name: "ended" };
        const explanation = dhchapFailure[state.failure];
        const failure = { type: "failure1", tid: state.tid, explanation } as const;
        return { kind: "last", message: encodeDhchapMessage(failure) };
      }
      default:
        return { kind: "outOfTurn" };
    }
  }

  #challenge(message: Negotiate): DhchapControllerStep {
    const { tid, scc } = message;
    const { hostnqn, subnqn, random, concatenation = "none" } = this.#options;
    const makesKey = scc !== secureChannelConcatenation.none;
    const isMissing = !makesKey && this.#options.mustConcatenate === true;
    if (isMissing || (makesKey && scc !== secureChannelConcatenation[concatenation])) {
      return this.#refuse(tid, "concatenationMismatch");
    }
    const keyHashes: readonly DhchapHash[] = this.#options.keyHashes ?? ["sha384", "sha256"];
    const hash = (this.#options.hashes ?? dhchapHashes).find(
      (one) =>
        message.hashIds.includes(dhchapHashId[one]) && (!makesKey || keyHashes.includes(one)),
    );
    if (hash === undefined) return this.#refuse(tid, "hashNotUsable");
    const offered = (this.#options.groups ?? groupsPreferred).filter((one) =>
      message.groupIds.includes(dhchapGroupId[one]),
    );
    const group = offered.find((one) => !(makesKey && one === "null"));
    if (group === undefined) {
      return this.#refuse(tid, offered.length > 0 ? "concatenationMismatch" : "groupNotUsable");
    }
    this.#state = {
      name: "challenged",
      transaction: { hash, hostnqn, subnqn, tid, scc },
      group,
      c1: random(dhchapHashBytes[hash]),
      s1: nonZero(random),
      key: group === "null" ? undefined : dhKey(group, random(dhExponentBytes)),
    };
    return { kind: "continue" };
  }

  #judge(state: State & { name: "challenged" }, reply: Reply): DhchapControllerStep {
    const { transaction, group, c1, s1, key } = state;
    const { hash, tid, scc, hostnqn, subnqn } = transaction;
    if (reply.r1.length !== dhchapHashBytes[hash]) return this.#refuse(tid, "incorrectPayload");
    const shared = key?.sharedSecret(reply.dhValue);
    const isValueRight = key === undefined ? reply.dhValue.length === 0 : shared !== undefined;
    if (!isValueRight) return this.#refuse(tid, "incorrectPayload");
    const sessionKey = shared && dhchapSessionKey(hash, shared);
    const hostKey = this.#options.secret.keyFor(hostnqn);
    const first = { challenge: c1, seqnum: s1, sessionKey };
    const wanted = hostResponse(transaction, hostKey, first);
    if (!responsesEqual(wanted, reply.r1)) return this.#refuse(tid, "failed");

    const { c2, seqnum } = reply;
    const makesKey = scc !== secureChannelConcatenation.none;
    if (makesKey && c2 === undefined) return this.#refuse(tid, "failed");
    const bidirectional = c2 !== undefined && seqnum !== 0;
    const { controllerSecret } = this.#options;
    if (bidirectional && controllerSecret === undefined) return this.#refuse(tid, "failed");
    const r2 =
      bidirectional && controllerSecret
        ? controllerResponse(transaction, controllerSecret.keyFor(subnqn), {
            challenge: c2,
            seqnum,
            sessionKey,
          })
        : undefined;
    const generated =
      makesKey && hash !== "sha512" && sessionKey && c2
        ? { generated: generatedPsk(hash, sessionKey, c1, c2) }
        : {};
    const result: DhchapResult = { hash, group, bidirectional, ...generated };
    this.#state = { name: "accepted", tid, result, r2 };
    return bidirectional ? { kind: "continue" } : { kind: "authenticated", result };
  }

  #refuse(tid: number, failure: DhchapFailure): DhchapControllerStep {
    this.#state = { name: "refused", tid, failure };
    return { kind: "failed", failure, by: "controller" };
  }

  #calledOff(explanation: number): DhchapControllerStep {
    this.#state = { name: "ended" };
    return { kind: "failed", failure: failureOf(explanation), by: "host" };
  }
}

function challengeOf({
  transaction,
  group,
  c1,
  s1,
  key,
}: State & { name: "challenged" }): Uint8Array {
  return encodeDhchapMessage({
    type: "challenge",
    tid: transaction.tid,
    hashId: dhchapHashId[transaction.hash],
    groupId: dhchapGroupId[group],
    seqnum: s1,
    c1,
    dhValue: key?.publicValue ?? new Uint8Array(0),
  });
}
