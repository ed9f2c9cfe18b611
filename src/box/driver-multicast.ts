/**
 * The sockets of multicast DNS: one for each interface and address family, so that every network is
 * asked and a link-local address is known with its interface. Only asks; never answers.
 */

import { createSocket, type Socket } from "node:dgram";
import { networkInterfaces } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { Announcements, type Sighting } from "./announcement.ts";

/** How long and where to listen. */
export interface BrowseOptions {
  readonly durationMs: number;
  readonly signal?: AbortSignal;
  /** Ends the listening early; what was heard by then is the result. */
  readonly enough?: AbortSignal;
  /** Called whenever something was heard, with all that is known. */
  readonly onHeard?: (sightings: readonly Sighting[]) => void;
}

const groups = { IPv4: "224.0.0.251", IPv6: "ff02::fb" } as const;
const mdnsPort = 5353;
/** Times at which the question is asked again, after the first: packets get lost. */
const askAgainMs = [60, 200, 500, 1000, 2000, 4000];

interface Link {
  readonly interfaceName: string;
  readonly family: "IPv4" | "IPv6";
  /** By which the system knows the interface: its IPv4 address, or `::%eth0`. */
  readonly handle: string;
}

/** Listens for a while; gives what was announced. A network without multicast gives nothing. */
export async function browse(options: BrowseOptions): Promise<readonly Sighting[]> {
  const announcements = new Announcements();
  const { durationMs, signal, enough, onHeard } = options;
  const ends = AbortSignal.any([
    AbortSignal.timeout(durationMs),
    ...(enough ? [enough] : []),
    ...(signal ? [signal] : []),
  ]);
  const ears = await Promise.all(
    findLinks().map((link) =>
      openEar(link, (packet, from) => {
        announcements.receive(packet, { interfaceName: interfaceOf(from) });
        onHeard?.(announcements.sightings);
      }),
    ),
  );
  const open = ears.filter((ear) => ear !== null);
  try {
    await askRepeatedly(open, announcements, ends);
  } finally {
    for (const { socket } of open) socket.close();
  }
  signal?.throwIfAborted();
  return announcements.sightings;
}

async function askRepeatedly(
  ears: readonly Ear[],
  announcements: Announcements,
  ends: AbortSignal,
): Promise<void> {
  let atMs = 0;
  for (const nextMs of [...askAgainMs, Number.POSITIVE_INFINITY]) {
    if (ends.aborted) return;
    const query = announcements.query();
    for (const ear of ears) ear.socket.send(query, mdnsPort, ear.group, () => {});
    const pause = Number.isFinite(nextMs) ? nextMs - atMs : 2 ** 31 - 1;
    // Rejects only with the end of the browsing.
    await sleep(pause, undefined, { signal: ends }).catch(() => {});
    atMs = nextMs;
  }
}

/** Interfaces with their addresses; those that are up, and the loopback only where nothing else is. */
function findLinks(): Link[] {
  const found = Object.entries(networkInterfaces()).flatMap(([interfaceName, addresses]) =>
    (addresses ?? []).map((address) => ({ interfaceName, ...address })),
  );
  const outside = found.filter(({ internal }) => !internal);
  const links = new Map<string, Link>();
  for (const { interfaceName, family, address } of outside.length > 0 ? outside : found) {
    const handle = family === "IPv4" ? address : `::%${interfaceName}`;
    const key = family === "IPv4" ? address : handle;
    links.set(key, { interfaceName, family, handle });
  }
  return [...links.values()];
}

/**
 * The interface in a sender's address, `fe80::1%eth0`. The socket does not tell: every socket on the
 * port hears what came for any of them.
 */
function interfaceOf(address: string): string | null {
  const at = address.indexOf("%");
  return at === -1 ? null : address.slice(at + 1);
}

interface Ear {
  readonly socket: Socket;
  readonly group: string;
}

/**
 * A socket on the port of multicast DNS, shared with whoever else listens there; where that cannot
 * be had, one on a port of its own, to which answers come directly (RFC 6762, section 6.7). Null
 * for an interface that has no multicast.
 */
async function openEar(
  link: Link,
  onPacket: (packet: Uint8Array, from: string) => void,
): Promise<Ear | null> {
  for (const port of [mdnsPort, 0]) {
    const isIpv6 = link.family === "IPv6";
    const socket = createSocket({
      type: isIpv6 ? "udp6" : "udp4",
      reuseAddr: true,
      ...(isIpv6 ? { ipv6Only: true } : {}),
    });
    const group = isIpv6 ? `${groups.IPv6}%${link.interfaceName}` : groups.IPv4;
    try {
      await new Promise<void>((resolve, reject) => {
        socket.once("error", reject);
        socket.bind(port, () => {
          socket.off("error", reject);
          resolve();
        });
      });
      socket.setMulticastInterface(link.handle);
      if (port === mdnsPort) socket.addMembership(groups[link.family], link.handle);
      // An interface that goes away meanwhile is silent from then on.
      socket.on("error", () => {});
      socket.on("message", (packet, { address }) => onPacket(packet, address));
      return { socket, group };
    } catch {
      socket.close();
    }
  }
  return null;
}
