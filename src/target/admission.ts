/** Whether a host may come to a subsystem by a connection, and what for. */

import { type ChannelSecurity, channelUse, policyAt } from "./secure-channel.ts";
import type { HostAccess, Subsystem } from "./subsystem.ts";
import type { Transport } from "./transport.ts";

/** What a connection may be used for. */
export interface Admission {
  readonly security: ChannelSecurity;
  /** The listener takes TLS. */
  readonly offersTls: boolean;
  /** The connection is there to make a key for TLS, and for nothing else. */
  readonly isKeyOnly: boolean;
}

/** Who connects which queue. */
export interface Applicant {
  readonly hostnqn: string;
  /** Undefined for a host that may not come at all. */
  readonly access: HostAccess | undefined;
  readonly qid: number;
  readonly isDiscovery: boolean;
}

/** What the host may use a connection for, or why it may not come this way. */
export function admit(
  { tlsParties, tlsPolicy }: Pick<Transport, "tlsParties" | "tlsPolicy">,
  subsystem: Pick<Subsystem, "nqn" | "tls">,
  { hostnqn, access, qid, isDiscovery }: Applicant,
): Admission | string {
  if (!access) return "not allowed";
  // A host asks the discovery service with the key that it has for a subsystem.
  const isOther =
    tlsParties &&
    (tlsParties.hostnqn !== hostnqn || (tlsParties.subnqn !== subsystem.nqn && !isDiscovery));
  if (isOther) return "its TLS key is for others";
  const security = securityOf(tlsParties);
  const offersTls = tlsPolicy !== "off";
  const canMakeKey = qid === 0 && access.secret !== undefined && offersTls;
  const use = channelUse(policyAt(tlsPolicy, subsystem.tls), security, canMakeKey);
  if (use === "refused") return security === "none" ? "TLS is required" : "TLS is off here";
  return { security, offersTls, isKeyOnly: use === "key-only" };
}

function securityOf(tlsParties: Transport["tlsParties"]): ChannelSecurity {
  if (!tlsParties) return "none";
  return tlsParties.isGenerated ? "generated" : "configured";
}
