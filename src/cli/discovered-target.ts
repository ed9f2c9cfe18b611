/** A disk that a discovery service lists, by the last part of its NQN or by its serial number. */

import {
  type Address,
  addressOf,
  connectController,
  type DiscoveryEntry,
  discover,
  InitiatorError,
} from "../initiator/index.ts";
import { NotFoundError, UsageError } from "./exit.ts";
import type { TargetAddress } from "./target-address.ts";

/** Where a subsystem answers. */
export interface SubsystemAddress extends Address {
  readonly nqn: string;
}

/** How services and subsystems are asked. */
export interface Lookup {
  /** What a discovery service lists. */
  readonly list: (service: Address) => Promise<DiscoveryEntry[]>;
  /** The serial number of the subsystem `nqn` at an address. Throws InitiatorError. */
  readonly serialAt: (address: Address, nqn: string) => Promise<string>;
}

/** One subsystem, whichever of its portals answers. */
interface Candidate {
  readonly nqn: string;
  readonly found?: SubsystemAddress & { readonly serial: string };
  readonly failure?: InitiatorError;
}

/** Asks over the network. */
export function networkLookup(signal: AbortSignal): Lookup {
  return {
    list: (service) => discover({ ...service, signal }),
    async serialAt(address, subsystemNqn) {
      await using controller = await connectController({ ...address, subsystemNqn, signal });
      return controller.identify.sn.trim();
    },
  };
}

/**
 * Finds the one disk that is called as asked, and an address at which it answers.
 * @throws UsageError where no disk is named; NotFoundError for none or several; InitiatorError.
 */
export async function findDisk(
  { host, port, disk }: Extract<TargetAddress, { kind: "discovered" }>,
  lookup: Lookup,
): Promise<SubsystemAddress> {
  const subsystems = portalsByNqn(await lookup.list({ host, port }));
  const all = [...subsystems.keys()];
  if (disk === undefined) {
    const names = all.map((nqn) => `  ${host}:${lastPart(nqn)}`);
    const exported = names.length === 0 ? "It exports none." : `It exports:\n${names.join("\n")}`;
    throw new UsageError(`Name a disk of ${host}. ${exported}`);
  }
  const named = all.filter((nqn) => nqn === disk || lastPart(nqn) === disk);
  const candidates: Candidate[] = [];
  for (const nqn of named.length > 0 ? named : all) {
    candidates.push(await reach(nqn, subsystems.get(nqn)!, lookup));
  }
  const found = candidates.flatMap(({ found: one }) =>
    one && (named.length > 0 || one.serial === disk) ? [one] : [],
  );
  const [only, ...others] = found;
  if (only && others.length === 0) return only;
  if (named.length === 1 && candidates[0]?.failure) throw candidates[0].failure;
  throw new NotFoundError(
    `${only ? `${found.length} disks` : "No disk"} of ${host}:${port} ${only ? "are" : "is"} ` +
      `called ${disk}; there are: ${candidates.map(describe).join(", ") || "none"}. ` +
      "Name one by its serial number, or by its NQN.",
  );
}

/** The entries of each subsystem, which has one for each of its portals. */
function portalsByNqn(entries: readonly DiscoveryEntry[]): Map<string, DiscoveryEntry[]> {
  const usable = entries.filter(
    ({ subject, transport }) => subject === "subsystem" && transport === "tcp",
  );
  return Map.groupBy(usable, ({ subsystemNqn }) => subsystemNqn);
}

/** Asks a subsystem at each address that may be its, until one answers or it refuses this host. */
async function reach(
  nqn: string,
  portals: readonly DiscoveryEntry[],
  lookup: Lookup,
): Promise<Candidate> {
  const failures: InitiatorError[] = [];
  for (const address of addressesOf(portals)) {
    try {
      const serial = await lookup.serialAt(address, nqn);
      return { nqn, found: { ...address, nqn, serial } };
    } catch (error) {
      if (!(error instanceof InitiatorError)) throw error;
      failures.push(error);
      if (isRefusal(error)) break;
    }
  }
  // What a subsystem says tells more than that nothing was there.
  const failure = failures.find(isRefusal) ?? failures[0];
  return { nqn, ...(failure ? { failure } : {}) };
}

/**
 * Where a subsystem may answer, each address once. Behind the forwarding of one port only the address
 * that was reached will do; one that the target believes to have may lead nowhere, and comes last.
 */
function addressesOf(portals: readonly DiscoveryEntry[]): Address[] {
  const choices = ["reached-host", "reached", "advertised"] as const;
  const all = choices.flatMap((choice) => portals.map((portal) => addressOf(portal, choice)));
  const usable = all.filter(({ host, port }) => host !== "" && port !== 0);
  return [
    ...new Map(usable.map((address) => [`${address.host} ${address.port}`, address])).values(),
  ];
}

/** True where the subsystem is there, and will not have this host at any address. */
function isRefusal({ code, facts }: InitiatorError): boolean {
  return (
    code === "unsupported" ||
    code === "authentication-failed" ||
    facts.statusName === "connectInvalidHost"
  );
}

function describe({ nqn, found, failure }: Candidate): string {
  if (found) return `${lastPart(nqn)} (${found.serial})`;
  return `${lastPart(nqn)} (not looked at: ${failure?.message ?? "it has no address"})`;
}

function lastPart(nqn: string): string {
  return nqn.slice(nqn.lastIndexOf(":") + 1);
}
