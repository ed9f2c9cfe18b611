/** Wake-on-LAN: what a card that sleeps listens for (AMD, Magic Packet Technology, 20213). Pure. */

const synchronisation = 6;
const repetitions = 16;

/** The bytes for a card: six of ones, then its address sixteen times. */
export function magicPacket(mac: string): Uint8Array {
  const address = mac.split(":").map((pair) => Number.parseInt(pair, 16));
  const packet = new Uint8Array(synchronisation + repetitions * address.length).fill(0xff);
  for (let n = 0; n < repetitions; n++) packet.set(address, synchronisation + n * address.length);
  return packet;
}

/** One IPv4 address of this machine, as Node's `os.networkInterfaces` gives it. */
export interface OwnAddress {
  readonly address: string;
  readonly netmask: string;
  readonly family: string;
  readonly internal: boolean;
}

/** The broadcast address of each network that this machine is on. */
export function broadcastsOf(addresses: readonly OwnAddress[]): string[] {
  const found = addresses
    .filter(({ family, internal }) => family === "IPv4" && !internal)
    .map(({ address, netmask }) => {
      const mask = netmask.split(".").map(Number);
      const bytes = address.split(".").map(Number);
      return bytes.map((byte, n) => byte | (255 - (mask[n] ?? 255))).join(".");
    });
  return [...new Set(found)];
}
