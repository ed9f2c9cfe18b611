/** How connections are secured: which way they are dialled, and what each queue has to prove. */

import type { CallOptions } from "../block/index.ts";
import {
  adminCapsuleBytesMax,
  anyController,
  ConfiguredPsk,
  describeInterchangeFault,
  type IdentityVersion,
  type PskDerivation,
  type RetainedPsk,
  type TlsPsk,
} from "../nvme/index.ts";
import { adminEntries, type HostConfig } from "./admin.ts";
import { type AuthenticationOptions, Authenticator, type Parties } from "./authentication.ts";
import { Channel, type ChannelContext } from "./channel.ts";
import { InitiatorError } from "./error.ts";
import type { Dial } from "./transport.ts";

/** Where the key of TLS comes from. */
export type TlsOptions =
  /** A key that both ends have: `NVMeTLSkey-1:…`, for SHA-256. */
  | {
      readonly key: string;
      /** Version of the identity; both are tried unless given, 1 first. */
      readonly identityVersion?: IdentityVersion;
      /**
       * "standard" unless told; "early-libnvme" for a Linux target whose keyring got the key from
       * nvme-cli before 2.16.
       */
      readonly derivation?: PskDerivation;
    }
  /**
   * Secure channel concatenation (TP8018): a key is made by DH-HMAC-CHAP on a first connection,
   * for which `authentication` is needed.
   */
  | { readonly isFromAuthentication: true };

/** The ways to reach a controller. */
export interface Dials {
  /** In the clear. */
  readonly dial: Dial;
  /** By TLS with one of the keys; absent where the transport has none. */
  readonly dialSecured?: (psks: readonly TlsPsk[]) => Dial;
}

/** How one host connects to one subsystem. */
export interface Security extends Dials {
  readonly authentication?: AuthenticationOptions | undefined;
  readonly tls?: TlsOptions | undefined;
}

/** What an association is opened with. */
export interface SecuredDial {
  readonly dial: Dial;
  readonly authenticate?: NonNullable<ChannelContext["authenticate"]>;
}

/**
 * Gets ready to open an association: by TLS with a key that is made for it where that is wanted.
 * @throws InitiatorError `unsupported` for keys that cannot be used; what connecting throws.
 */
export async function secure(
  security: Security,
  host: HostConfig,
  context: ChannelContext,
  options: CallOptions,
): Promise<SecuredDial> {
  const { tls, authentication } = security;
  const authenticator = authentication && new Authenticator(context.peer, host, authentication);
  const dial = await dialOf(security, authenticator, host, context, options);
  if (!authenticator) return { dial };
  const authenticate: SecuredDial["authenticate"] = async (channel, asked, call) => {
    const result = await authenticator.authenticate(channel, asked, tls !== undefined, call);
    if (!result) return;
    const { hash, group, bidirectional } = result;
    context.log("authenticated", { qid: channel.qid, hash, group, bidirectional });
  };
  return { dial, authenticate };
}

async function dialOf(
  { dial, dialSecured, tls }: Security,
  authenticator: Authenticator | undefined,
  host: HostConfig,
  context: ChannelContext,
  options: CallOptions,
): Promise<Dial> {
  if (!tls) return dial;
  const cannot = (why: string) =>
    new InitiatorError("unsupported", `Cannot connect to ${context.peer} by TLS: ${why}.`, {
      peer: context.peer,
    });
  if (!dialSecured) throw cannot("this transport has none");
  if ("isFromAuthentication" in tls) {
    if (!authenticator) throw cannot("its key is to come from authentication, which has no secret");
    const psk = await generateKey(dial, authenticator, host, context, options);
    return dialSecured([psk.tlsPsk(host, 1)]);
  }
  const parsed = ConfiguredPsk.parse(tls.key);
  if (!parsed.ok) throw cannot(`its key is none: ${describeInterchangeFault(parsed.fault)}`);
  const retained = parsed.psk.retain(host.hostnqn, tls.derivation);
  return dialSecured(identities(retained, host, tls));
}

/** The key under each identity to try; in version 0 it exists for names that are not too long. */
function identities(
  psk: RetainedPsk,
  parties: Parties,
  { identityVersion }: { readonly identityVersion?: IdentityVersion },
): readonly TlsPsk[] {
  if (identityVersion !== undefined) return [psk.tlsPsk(parties, identityVersion)];
  const current = psk.tlsPsk(parties, 1);
  try {
    return [current, psk.tlsPsk(parties, 0)];
  } catch (error) {
    if (error instanceof RangeError) return [current];
    throw error;
  }
}

/** Authenticates once on an admin queue in the clear, which is then left. */
async function generateKey(
  dial: Dial,
  authenticator: Authenticator,
  host: HostConfig,
  context: ChannelContext,
  options: CallOptions,
): Promise<RetainedPsk> {
  let psk: RetainedPsk | undefined;
  const config = {
    ...host,
    qid: 0,
    entries: adminEntries,
    cntlid: anyController,
    katoMs: 0,
    capsuleDataBytesMax: adminCapsuleBytesMax,
  };
  const { peer, log } = context;
  const authenticate: SecuredDial["authenticate"] = async (queue, _asked, call) => {
    psk = await authenticator.concatenate(queue, call);
  };
  const channel = await Channel.open(dial, config, { peer, log, authenticate }, options);
  await channel.close("its key is made");
  if (!psk) throw new TypeError("A queue is authenticated when it is open.");
  return psk;
}
