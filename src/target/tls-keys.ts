/** Which TLS key a host has to have: found by the identity that it names. TCP Transport §3.6.1.3. */

import {
  ConfiguredPsk,
  describeInterchangeFault,
  describeNodeTlsFault,
  nodeTlsFault,
  type PskParties,
  type TlsPsk,
} from "../nvme/index.ts";
import { TargetError } from "./error.ts";

/** A key, and whom it is for. */
export interface TlsKey {
  /** `NVMeTLSkey-1:01:…:`; keys for SHA-384 cannot be used by Node's TLS. */
  readonly key: string;
  /** Every host unless told. */
  readonly hostnqn?: string;
  /** Every subsystem unless told. */
  readonly subnqn?: string;
}

/** A key that fits an identity, and who was named in it. */
export interface FoundKey {
  readonly psk: TlsPsk;
  readonly parties: PskParties;
  /** It was made by authentication, which its host has passed then. */
  readonly isGenerated: boolean;
}

/** Identity of version 0 or 1 with a retained PSK for SHA-256: host NQN, subsystem NQN, digest. */
const identityForm = /^NVMe([01])R01 (nqn\.\S+) (nqn\.\S+)(?: \S+)?$/;

/**
 * In which order derivations are tried: only digests tell them apart, so an identity without one,
 * or one of a key that is not transformed, has the key of the first.
 */
const derivations = ["standard", "early-libnvme"] as const;

/** The keys of a listener. */
export class TlsKeys {
  readonly #keys: readonly { readonly psk: ConfiguredPsk; readonly source: TlsKey }[];

  /** @throws TargetError `key` for a key that is malformed, or that cannot be used. */
  constructor(keys: readonly TlsKey[]) {
    this.#keys = keys.map((source) => {
      const parsed = ConfiguredPsk.parse(source.key);
      if (!parsed.ok) {
        const why = describeInterchangeFault(parsed.fault);
        throw new TargetError("key", `Cannot use a TLS key ("NVMeTLSkey-1:…"): ${why}.`);
      }
      if (parsed.psk.hash === "sha384") {
        const why = describeNodeTlsFault("sha384");
        throw new TargetError("key", `Cannot use a TLS key: ${why}`);
      }
      return { psk: parsed.psk, source };
    });
  }

  /** The key that belongs to an identity; `undefined` when there is none. */
  find(identity: string): FoundKey | undefined {
    const match = identityForm.exec(identity);
    if (!match) return undefined;
    const [, version, hostnqn, subnqn] = match as unknown as [string, string, string, string];
    const parties = { hostnqn, subnqn };
    for (const { psk, source } of this.#keys) {
      if (source.hostnqn !== undefined && source.hostnqn !== hostnqn) continue;
      if (source.subnqn !== undefined && source.subnqn !== subnqn) continue;
      for (const derivation of derivations) {
        const retained = psk.retain(hostnqn, derivation);
        const found = retained.tlsPsk(parties, version === "0" ? 0 : 1);
        if (found.identity === identity && nodeTlsFault(found) === undefined) {
          return { psk: found, parties, isGenerated: false };
        }
      }
    }
    return undefined;
  }
}
