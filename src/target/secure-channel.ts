/**
 * How a listener's TLS and a subsystem's go together, and what a connection may do of it.
 *
 *   listener \ subsystem   off        optional   required
 *   off                    off        off        –
 *   optional               off        optional   required
 *   required               –          required   required
 *
 * "–": hosts cannot come to that subsystem there, and are not shown it.
 */

/** Whether connections are secured by TLS. */
export type TlsPolicy = "off" | "optional" | "required";

/** What holds for a subsystem at a listener; `undefined` where hosts cannot come to it. */
export function policyAt(listener: TlsPolicy, subsystem: TlsPolicy): TlsPolicy | undefined {
  if (listener === "optional") return subsystem;
  return subsystem === "optional" || subsystem === listener ? listener : undefined;
}

/** How a connection is secured: not, by a key that both ends had, or by one that they made. */
export type ChannelSecurity = "none" | "configured" | "generated";

/**
 * What a Connect comes to.
 * - `full`: everything.
 * - `key-only`: the admin queue is there to make a key by DH-HMAC-CHAP (secure channel
 *   concatenation); the host then comes back by TLS.
 * - `refused`: nothing.
 */
export type ChannelUse = "full" | "key-only" | "refused";

/** What a connection with `security` may do where `policy` holds. */
export function channelUse(
  policy: TlsPolicy | undefined,
  security: ChannelSecurity,
  canMakeKey: boolean,
): ChannelUse {
  if (policy === undefined) return "refused";
  if (security !== "none") return policy === "off" ? "refused" : "full";
  if (policy !== "required") return "full";
  return canMakeKey ? "key-only" : "refused";
}
