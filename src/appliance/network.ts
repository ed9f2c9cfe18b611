/** The addresses under which the box can be reached, best first. */

/** One address of an interface, as Node's `os.networkInterfaces` gives it. */
export interface InterfaceAddress {
  readonly address: string;
  readonly family: "IPv4" | "IPv6";
  readonly internal: boolean;
  /** Of the card. */
  readonly mac: string;
}

/** An address of the box. */
export interface Address {
  readonly interface: string;
  readonly address: string;
  readonly family: "IPv4" | "IPv6";
  /** Valid on the local link only: 169.254.0.0/16 and fe80::/10. */
  readonly linkLocal: boolean;
  /** Of the card, by which it is woken. */
  readonly mac: string;
}

/**
 * All addresses but the loopback's: routed IPv4 first, then routed IPv6, then IPv4 link-local,
 * then IPv6 link-local, which needs the host's interface appended (`fe80::1%eth0`).
 */
export function listAddresses(
  interfaces: Readonly<Record<string, readonly InterfaceAddress[] | undefined>>,
): readonly Address[] {
  const addresses = Object.entries(interfaces).flatMap(([name, entries = []]) =>
    entries
      .filter(({ internal }) => !internal)
      .map(
        ({ address, family, mac }): Address => ({
          interface: name,
          address,
          family,
          mac,
          linkLocal: /^(?:169\.254\.|fe[89ab][0-9a-f]:)/i.test(address),
        }),
      ),
  );
  return addresses.sort(
    (a, b) =>
      rank(a) - rank(b) ||
      compareText(a.interface, b.interface) ||
      compareText(a.address, b.address),
  );
}

function rank(address: Address): number {
  return (address.linkLocal ? 2 : 0) + (address.family === "IPv6" ? 1 : 0);
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}
