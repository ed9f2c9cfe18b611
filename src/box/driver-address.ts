/** Which address of a box answers, for programs that take one. */

import { connect } from "node:net";
import type { Place } from "./place.ts";
import { unreachableError } from "./unreachable.ts";

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
  const tries = addresses.map(async (address) => {
    await accept(address, sshPort, ends);
    return address;
  });
  try {
    return await Promise.any(tries);
  } catch (error) {
    signal?.throwIfAborted();
    const errors: readonly unknown[] = error instanceof AggregateError ? error.errors : [];
    const vain = addresses.map((address, index) => {
      const error = errors[index];
      return { address, port: sshPort, fault: faultOf(error), error };
    });
    throw unreachableError(name, vain);
  } finally {
    found.abort();
  }
}

/** Rejects when an address does not accept a connection. */
async function accept(host: string, port: number, signal: AbortSignal): Promise<void> {
  const socket = connect({ host, port });
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", () => resolve());
      socket.once("error", reject);
      const giveUp = (): void => reject(new Error(`no answer within ${probeMs} ms`));
      if (signal.aborted) giveUp();
      signal.addEventListener("abort", giveUp, { once: true });
    });
  } finally {
    socket.on("error", () => {});
    socket.destroy();
  }
}

function faultOf(error: unknown): string {
  if (!(error instanceof Error)) return "failed";
  const code = "code" in error ? String(error.code) : "";
  return words[code] ?? (error.message || "failed");
}

const words: Readonly<Record<string, string>> = {
  ECONNREFUSED: "refused",
  EHOSTUNREACH: "no route",
  ENETUNREACH: "no route",
  ENOTFOUND: "no such host",
  EAI_AGAIN: "no such host",
};
