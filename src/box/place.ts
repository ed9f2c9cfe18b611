/** Where a box is. */

import type { Sighting } from "./announcement.ts";
import type { KnownBox } from "./known.ts";

/** Addresses and ports at which a box may be reached, and how it got to be known. */
export interface Place {
  /** As the user calls it, or as it is announced. */
  readonly name: string;
  /** Tried in this order. */
  readonly addresses: readonly string[];
  readonly sshPort: number;
  /** Where another port of the box is reached, if elsewhere. */
  readonly ports: ReadonlyMap<number, number>;
  readonly from: "announced" | "known" | "address";
  /** What it announced. */
  readonly sighting: Sighting | null;
}

/** Port of SSH. */
const sshPortDefault = 22;

/** The place of a box that was announced. */
export function placeOfSighting(sighting: Sighting): Place {
  const { addresses, port } = sighting;
  const name = shortName(sighting);
  return { name, addresses, sshPort: port, ports: new Map(), from: "announced", sighting };
}

/** What people call an announced box: two words, where its announcement has three. */
export function shortName({ name, text }: Sighting): string {
  const short = text.get("name");
  return short && name.toLowerCase().startsWith(`${short.toLowerCase()}-`) ? short : name;
}

/** The place of a known box. */
export function placeOfKnown({ name, address, ports }: KnownBox): Place {
  const sshPort = ports.get(sshPortDefault) ?? sshPortDefault;
  return { name, addresses: [address], sshPort, ports, from: "known", sighting: null };
}

/** The place of an address or host name. */
export function placeOfAddress(address: string): Place {
  const sshPort = sshPortDefault;
  const addresses = [address];
  return { name: address, addresses, sshPort, ports: new Map(), from: "address", sighting: null };
}

/** Where a port of the box is reached. */
export function portAt({ ports }: Place, port: number): number {
  return ports.get(port) ?? port;
}
