/** The Discovery log page: which subsystems a host finds where. NVMe Base 2.0 §5.16.1.23. */

import {
  adrfam,
  anyController,
  type DiscoveryLogEntry,
  discoveryLogEntry,
  discoveryNqn,
  encodeDiscoveryLog,
  sectype,
  secureChannel,
  subtype,
  tcpAddressSubtype,
  trtype,
} from "../nvme/index.ts";
import { adminQueueEntriesMax } from "./limits.ts";
import { policyAt, type TlsPolicy } from "./secure-channel.ts";
import type { Endpoint } from "./transport.ts";

/** Where hosts can connect to. */
export interface Listening {
  /** As it was asked for; `0.0.0.0` and `::` stand for every address. */
  readonly host: string;
  readonly port: number;
  readonly tls: TlsPolicy;
  /** Only discovery controllers are here. */
  readonly discoveryOnly: boolean;
}

/** Another discovery service that hosts should ask too. */
export interface Referral {
  readonly address: string;
  readonly port: number;
  /** The well-known one unless told. */
  readonly nqn?: string;
}

/** What the page is made from. */
export interface DiscoveryView {
  readonly genctr: bigint;
  /** Those that the host may see. */
  readonly subsystems: readonly { readonly nqn: string; readonly tls: TlsPolicy }[];
  readonly listenings: readonly Listening[];
  readonly referrals: readonly Referral[];
  /** Name of this discovery service. */
  readonly discoveryNqn: string;
  /** Where the host that asks has come to. */
  readonly local: Endpoint;
}

const zero = discoveryLogEntry.decode(new Uint8Array(discoveryLogEntry.size));

/** Writes the page for one host. */
export function encodeDiscovery(view: DiscoveryView): Uint8Array {
  const entries: DiscoveryLogEntry[] = [];
  view.listenings.forEach((listening, index) => {
    const at = (tls: TlsPolicy) => entryAt({ ...listening, tls }, index + 1, view.local);
    const discovery = at(listening.tls);
    if (!discovery) return;
    entries.push({
      ...discovery,
      subtype: subtype.currentDiscovery,
      subnqn: view.discoveryNqn,
      eflags: { ...zero.eflags, dupretinfo: true, epcsd: true },
    });
    if (listening.discoveryOnly) return;
    for (const { nqn: subnqn, tls } of view.subsystems) {
      const policy = policyAt(listening.tls, tls);
      const entry = policy && at(policy);
      if (entry) entries.push({ ...entry, subtype: subtype.nvm, subnqn });
    }
  });
  for (const { address, port, nqn = discoveryNqn } of view.referrals) {
    const at = entryAt({ host: address, port, tls: "off", discoveryOnly: true }, 0, view.local);
    if (at) entries.push({ ...at, subtype: subtype.referral, subnqn: nqn });
  }
  return encodeDiscoveryLog({ genctr: view.genctr, entries });
}

/** What entries of one listener have in common; none where this host cannot come. */
function entryAt(listening: Listening, portid: number, local: Endpoint) {
  const { host, port, tls } = listening;
  const isAny = isWildcard(host);
  // An IPv6 wildcard takes IPv4 too; the other way round there is nothing for the host.
  if (isAny && host === "0.0.0.0" && local.family === "ipv6") return undefined;
  const traddr = isAny ? local.address : host;
  const policy = {
    off: secureChannel.notSpecified,
    optional: secureChannel.notRequired,
    required: secureChannel.required,
  };
  return {
    ...zero,
    trtype: trtype.tcp,
    adrfam: traddr.includes(":") ? adrfam.ipv6 : adrfam.ipv4,
    treq: { secureChannel: policy[tls], disableSqFlow: 1 },
    portid,
    cntlid: anyController,
    asqsz: adminQueueEntriesMax,
    trsvcid: String(port),
    traddr,
    tsas: tcpAddressSubtype.encode({ sectype: tls === "off" ? sectype.none : sectype.tls13 }),
  };
}

/** Whether an address stands for all of this machine's. */
function isWildcard(host: string): boolean {
  return host === "0.0.0.0" || host === "::";
}
