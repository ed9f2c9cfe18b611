/** Ports of the guest that are reachable on 127.0.0.1, in the words of QEMU's monitor. */

/** What is forwarded, on which network of QEMU's. */
export interface Forward {
  readonly network: string;
  readonly protocol: "tcp" | "udp";
  readonly guestPort: number;
  /** Default: the address that the network's DHCP gives first. */
  readonly guestAddress?: string;
}

/** The monitor command that forwards a port; 0 lets the host choose a free one without a race. */
export function forwardCommand(forward: Forward): string {
  const { network, protocol, guestPort, guestAddress = "" } = forward;
  return `hostfwd_add ${network} ${protocol}:127.0.0.1:0-${guestAddress}:${guestPort}`;
}

/**
 * Finds the host's port in the answer to `info usernet`, which has one table per network:
 * `TCP[HOST_FORWARD]  13  127.0.0.1 41231  10.0.2.15  22  0  0`.
 */
export function findForward(userNet: string, forward: Forward): number | undefined {
  let network: string | undefined;
  const wanted = `${forward.protocol.toUpperCase()}[HOST_FORWARD]`;
  for (const line of userNet.split(/\r?\n/)) {
    network = /^Hub .*\((\w+)\):/.exec(line)?.[1] ?? network;
    const [state, , , hostPort, address, guestPort] = line.trim().split(/\s+/);
    if (network !== forward.network || state !== wanted) continue;
    if (forward.guestAddress !== undefined && forward.guestAddress !== address) continue;
    if (Number(guestPort) === forward.guestPort) return Number(hostPort);
  }
  return undefined;
}
