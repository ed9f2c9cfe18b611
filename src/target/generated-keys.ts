/**
 * Keys for TLS that hosts and the target made by DH-HMAC-CHAP (secure channel concatenation).
 * NVMe Base 2.1 §8.3.4.5.9; TCP Transport 1.1 §3.6.1.
 *
 * A key is good for an hour, as in Linux: a host that reconnects later makes a new one.
 */

import { nodeTlsFault, type PskParties, type RetainedPsk, type TlsPsk } from "../nvme/index.ts";
import type { FoundKey } from "./tls-keys.ts";

/** How long a key is good for. */
export const generatedKeyMs = 3_600_000;
/** Keys kept of one host for one subsystem; it may have several controllers. */
export const generatedKeysPerHostMax = 16;
/** Keys kept of all hosts. */
export const generatedKeysMax = 1024;

interface GeneratedKey extends FoundKey {
  readonly untilMs: number;
}

/** The keys of one target, the oldest first. */
export class GeneratedKeys {
  readonly #keys = new Map<string, GeneratedKey>();

  /** Number of keys kept. */
  get count(): number {
    return this.#keys.size;
  }

  /** Keeps a key that was made; the oldest goes when there are too many. */
  add(parties: PskParties, made: RetainedPsk, nowMs: number): void {
    const psk: TlsPsk = made.tlsPsk(parties, 1);
    // Names that are too long were seen before the key was made.
    if (nodeTlsFault(psk) !== undefined) throw new TypeError("A key that is made can be used.");
    const mine = [...this.#keys].filter(
      ([, { parties: other }]) =>
        other.hostnqn === parties.hostnqn && other.subnqn === parties.subnqn,
    );
    if (mine.length >= generatedKeysPerHostMax) this.#keys.delete(mine[0]![0]);
    else if (this.#keys.size >= generatedKeysMax) {
      const [oldest] = this.#keys.keys();
      this.#keys.delete(oldest!);
    }
    const untilMs = nowMs + generatedKeyMs;
    this.#keys.set(psk.identity, { psk, parties, isGenerated: true, untilMs });
  }

  /** Forgets the keys for a subsystem of all hosts but those that `mayKeep` names. */
  revoke(subnqn: string, mayKeep: (hostnqn: string) => boolean = () => false): void {
    for (const [identity, { parties }] of this.#keys) {
      if (parties.subnqn === subnqn && !mayKeep(parties.hostnqn)) this.#keys.delete(identity);
    }
  }

  /** The key of an identity (`NVMe1G01 …`), while it is good. */
  find(identity: string, nowMs: number): FoundKey | undefined {
    const found = this.#keys.get(identity);
    if (found && nowMs < found.untilMs) return found;
    this.#keys.delete(identity);
    return undefined;
  }
}
