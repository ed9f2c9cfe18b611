/**
 * The responses of DH-HMAC-CHAP: what each end computes to prove that it knows a key.
 * NVMe Base 2.0 §8.13.5.4 and §8.13.5.5.
 */

import { createHash, createHmac, timingSafeEqual } from "node:crypto";
import { layout, u8, u16le, u32le } from "../../bytes/index.ts";
import type { DhchapHash } from "./algorithm.ts";

/** Who authenticates to whom, in which transaction. */
export interface DhchapTransaction {
  readonly hash: DhchapHash;
  readonly hostnqn: string;
  readonly subnqn: string;
  readonly tid: number;
  /** SC_C as negotiated. */
  readonly scc: number;
}

/** What one response answers. */
export interface DhchapChallenge {
  /** C1 or C2. */
  readonly challenge: Uint8Array;
  /** S1 or S2. */
  readonly seqnum: number;
  /** Ks, `undefined` without a Diffie-Hellman group. */
  readonly sessionKey: Uint8Array | undefined;
}

const bound = layout("S, T_ID and SC_C", 7, { seqnum: u32le, tid: u16le, scc: u8 });

/** Ks: the hash of the shared Diffie-Hellman secret. */
export function dhchapSessionKey(hash: DhchapHash, sharedSecret: Uint8Array): Uint8Array {
  return createHash(hash).update(sharedSecret).digest();
}

/** R1, by which a host proves that it knows its key; `key` is the transformed one. */
export function hostResponse(
  transaction: DhchapTransaction,
  key: Uint8Array,
  challenge: DhchapChallenge,
): Uint8Array {
  const { hostnqn, subnqn } = transaction;
  return respond(transaction, key, challenge, `HostHost${hostnqn}\0${subnqn}`);
}

/** R2, by which a controller proves that it knows its key. */
export function controllerResponse(
  transaction: DhchapTransaction,
  key: Uint8Array,
  challenge: DhchapChallenge,
): Uint8Array {
  const { hostnqn, subnqn } = transaction;
  return respond(transaction, key, challenge, `Controller${subnqn}\0${hostnqn}`);
}

/** Compares two responses in a time that does not depend on where they differ. */
export function responsesEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}

function respond(
  { hash, tid, scc }: DhchapTransaction,
  key: Uint8Array,
  { challenge, seqnum, sessionKey }: DhchapChallenge,
  names: string,
): Uint8Array {
  const augmented =
    sessionKey === undefined ? challenge : createHmac(hash, sessionKey).update(challenge).digest();
  const hmac = createHmac(hash, key).update(augmented).update(bound.encode({ seqnum, tid, scc }));
  return hmac.update(names).digest();
}
