/** Who is connected to the NVMe ports, out of the kernel's tables of TCP (proc_net_tcp). */
import type { PeerView } from "../rpc/index.ts";

const established = "01";

/**
 * Peers by address and port of the box.
 * @param tables texts of `/proc/net/tcp` and `/proc/net/tcp6`
 */
export function parsePeers(tables: readonly string[], ports: ReadonlySet<number>): PeerView[] {
  const counts = new Map<string, PeerView>();
  for (const line of tables.flatMap((table) => table.split("\n").slice(1))) {
    const [, local = "", remote = "", state] = line.trim().split(/\s+/);
    const port = Number.parseInt(local.slice(local.indexOf(":") + 1), 16);
    const address = readAddress(remote.slice(0, remote.indexOf(":")));
    if (state !== established || !ports.has(port) || address === null) continue;
    const key = `${address} ${port}`;
    const connections = (counts.get(key)?.connections ?? 0) + 1;
    counts.set(key, { address, port, connections });
  }
  return [...counts.values()];
}

/** Words of 32 bits in hex, each in the byte order of the machine, which is little endian here. */
function readAddress(hex: string): string | null {
  if (!/^(?:[0-9A-Fa-f]{8}|[0-9A-Fa-f]{32})$/.test(hex)) return null;
  const bytes = Buffer.from(hex, "hex").swap32();
  if (bytes.length === 4) return bytes.join(".");
  const groups = Array.from({ length: 8 }, (_, at) => bytes.readUInt16BE(2 * at).toString(16));
  const zeros = [...groups.join(":").matchAll(/(?:^|:)(?:0(?::|$)){2,}/g)].map(([run]) => run);
  const longest = zeros.toSorted((a, b) => b.length - a.length)[0];
  const text = groups.join(":");
  return longest === undefined ? text : text.replace(longest, "::");
}
