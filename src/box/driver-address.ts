/** Which address of a box answers, for programs that take one. */

import { connect } from "node:net";
import { BoxError } from "./error.ts";
import type { Place } from "./place.ts";

/** How long an address may take to accept a connection, while there are others to try. */
const probeMs = 1500;

/**
 * The address that accepts a connection first; all are tried at once.
 * @throws BoxError `unreachable`, or the signal's reason.
 */
export async function findAddress(place: Place, signal?: AbortSignal): Promise<string> {
  const { name, addresses, sshPort } = place;
  const found = new AbortController();
  const signals = [found.signal, AbortSignal.timeout(probeMs), ...(signal ? [signal] : [])];
  const ends = AbortSignal.any(signals);
  const faults = new Map<string, string>();
  const tries = addresses.map(async (address) => {
    const fault = await accepts(address, sshPort, ends);
    if (fault === null) return address;
    faults.set(address, `${address} port ${sshPort}: ${fault}`);
    throw new Error(fault);
  });
  try {
    return await Promise.any(tries);
  } catch {
    signal?.throwIfAborted();
    const words = addresses.map((address) => faults.get(address)).join("; ");
    throw new BoxError(
      "unreachable",
      `Cannot reach ${name}: ${words || "no address of it is known"}. ` +
        "Check that it is on and booted from an image with SSH, and its address.",
      { box: name, addresses, port: sshPort },
    );
  } finally {
    found.abort();
  }
}

/** Why an address does not accept a connection; null when it does. */
async function accepts(host: string, port: number, signal: AbortSignal): Promise<string | null> {
  const socket = connect({ host, port });
  try {
    return await new Promise<string | null>((resolve) => {
      socket.once("connect", () => resolve(null));
      socket.once("error", (error: NodeJS.ErrnoException) => resolve(faultOf(error)));
      const giveUp = (): void => resolve(`no answer within ${probeMs} ms`);
      if (signal.aborted) giveUp();
      signal.addEventListener("abort", giveUp, { once: true });
    });
  } finally {
    socket.on("error", () => {});
    socket.destroy();
  }
}

function faultOf({ code, message }: NodeJS.ErrnoException): string {
  const words: Readonly<Record<string, string>> = {
    ECONNREFUSED: "refused",
    EHOSTUNREACH: "no route",
    ENETUNREACH: "no route",
    ENOTFOUND: "no such host",
    EAI_AGAIN: "no such host",
  };
  return words[code ?? ""] ?? (message || "failed");
}
