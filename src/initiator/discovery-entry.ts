/** The discovery log and its entries. NVMe Base 2.0 §5.16.1.23. */

import type { CallOptions } from "../block/index.ts";
import { toNumber } from "../bytes/index.ts";
import {
  adrfam,
  type DiscoveryLogEntry,
  discoveryLogEntry,
  discoveryLogHeader,
  logPage,
  subtype,
  trtype,
} from "../nvme/index.ts";
import type { Admin } from "./admin.ts";
import type { Address } from "./driver-socket.ts";
import { InitiatorError, isStatus } from "./error.ts";

/** Entries that are read at most; a log that claims more is refused. */
export const discoveryEntriesMax = 8192;
/** How often a log that keeps changing is read. */
export const attemptsMax = 10;

/** What an entry speaks of. */
export type DiscoverySubject = "subsystem" | "referral" | "this-service" | "unknown";

/** One subsystem, or another discovery service, and how to reach it. */
export interface DiscoveryEntry {
  readonly subject: DiscoverySubject;
  readonly subsystemNqn: string;
  /** Only `tcp` can be connected to by this part. */
  readonly transport: "tcp" | "rdma" | "fibre-channel" | "other";
  readonly addressFamily: "ipv4" | "ipv6" | "other";
  /** Whether the port wants a secure channel (TLS). */
  readonly secureChannel: "unspecified" | "required" | "not-required";
  /**
   * Where the target believes to be reachable: TRADDR and TRSVCID; port 0 where that is none. A
   * link-local address has the scope of `reached`, since a target cannot know that of this host.
   */
  readonly advertised: Address;
  /** The address that the discovery came to; what matters behind port forwarding. */
  readonly reached: Address;
  /** The entry as it lies in the log page. */
  readonly raw: DiscoveryLogEntry;
}

/**
 * Where to connect to for an entry.
 * - `advertised`: what the target says; right in a plain network.
 * - `reached-host`: the host that answered the discovery, with the entry's port; for a target that
 *   does not know its own address.
 * - `reached`: the address that answered, port included; behind forwarding of that one port.
 */
export type AddressChoice = "advertised" | "reached-host" | "reached";

/** The address of an entry by one of the choices. */
export function addressOf(entry: DiscoveryEntry, choice: AddressChoice): Address {
  if (choice === "advertised") return entry.advertised;
  if (choice === "reached") return entry.reached;
  return { host: entry.reached.host, port: entry.advertised.port };
}

/**
 * Reads the log; again, a little later, when its generation counter changes meanwhile. The last
 * reading rearms the event of a change.
 * @throws InitiatorError `busy` when it changes all the time.
 */
export async function readLog(
  admin: Admin,
  peer: string,
  options: CallOptions = {},
): Promise<DiscoveryLogEntry[]> {
  for (let attempt = 1; attempt <= attemptsMax; attempt++) {
    if (attempt > 1) await admin.channel.ticked(options);
    const { genctr, count } = await readHeader(admin, peer, true, options);
    const entries = await readEntries(admin, count, options).catch((error: unknown) => {
      // A log that became shorter cannot be read to its old end.
      if (isStatus(error)) return error;
      throw error;
    });
    if ((await readHeader(admin, peer, false, options)).genctr !== genctr) continue;
    if (entries instanceof InitiatorError) throw entries;
    return entries;
  }
  const message = `The discovery log of ${peer} changed during each of ${attemptsMax} readings.`;
  throw new InitiatorError("busy", message, { peer });
}

async function readEntries(
  admin: Admin,
  count: number,
  options: CallOptions,
): Promise<DiscoveryLogEntry[]> {
  const { size } = discoveryLogEntry;
  const retained = { ...options, retainEvent: true };
  const at = discoveryLogHeader.size;
  const raw = await admin.logPage(logPage.discovery, at, count * size, retained);
  return Array.from({ length: count }, (_, n) => discoveryLogEntry.decode(raw, n * size));
}

async function readHeader(admin: Admin, peer: string, retainEvent: boolean, options: CallOptions) {
  const raw = await admin.logPage(logPage.discovery, 0, discoveryLogHeader.size, {
    ...options,
    retainEvent,
  });
  const { genctr, numrec, recfmt } = discoveryLogHeader.decode(raw);
  if (recfmt !== 0 || numrec > BigInt(discoveryEntriesMax)) {
    const found = `format ${recfmt} with ${numrec} entries`;
    const wanted = `format 0 with at most ${discoveryEntriesMax}`;
    const message = `The discovery log of ${peer} is of ${found}, wanted ${wanted}.`;
    throw new InitiatorError("protocol", message, { peer, recfmt, numrec });
  }
  return { genctr, count: toNumber(numrec) };
}

const subjects: Readonly<Record<number, DiscoverySubject>> = {
  [subtype.referral]: "referral",
  [subtype.nvm]: "subsystem",
  [subtype.currentDiscovery]: "this-service",
};
const transports: Readonly<Record<number, DiscoveryEntry["transport"]>> = {
  [trtype.tcp]: "tcp",
  [trtype.rdma]: "rdma",
  [trtype.fibreChannel]: "fibre-channel",
};
const families: Readonly<Record<number, DiscoveryEntry["addressFamily"]>> = {
  [adrfam.ipv4]: "ipv4",
  [adrfam.ipv6]: "ipv6",
};
const channels = ["unspecified", "required", "not-required", "unspecified"] as const;

/** An entry in the words of this part. */
export function describeEntry(raw: DiscoveryLogEntry, reached: Address): DiscoveryEntry {
  const transport = transports[raw.trtype] ?? "other";
  const number = /^\d{1,5}$/.test(raw.trsvcid) ? Number(raw.trsvcid) : 0;
  const port = number <= 65535 ? number : 0;
  return {
    subject: subjects[raw.subtype] ?? "unknown",
    subsystemNqn: raw.subnqn,
    transport,
    addressFamily: families[raw.adrfam] ?? "other",
    secureChannel: channels[raw.treq.secureChannel] ?? "unspecified",
    advertised: { host: scoped(raw.traddr, reached.host), port },
    reached,
    raw,
  };
}

/** A link-local address with the scope of `reached`, where that has one; any other as it is. */
function scoped(address: string, reached: string): string {
  const scope = /%.+$/.exec(reached)?.[0];
  const isLinkLocal = /^fe[89ab][0-9a-f]:[^%]*$/i.test(address);
  return isLinkLocal && scope !== undefined ? `${address}${scope}` : address;
}
