/** A namespace behind the network as a disk that commands work on. */

import type { Target } from "../flash/index.ts";
import {
  type Address,
  type Controller,
  type ControllerOptions,
  connectController,
  type NamespaceInfo,
  readReservation,
} from "../initiator/index.ts";

/** An open disk; disposal closes it and its connections. */
export interface OpenTarget extends Target, AsyncDisposable {
  /** Its user has confirmed before that it may be overwritten. */
  readonly isConfirmed?: boolean;
  /** Where on the network it is. */
  readonly place?: { readonly host: string; readonly port: number; readonly nqn: string };
  /** Calls `listener` when the connection is lost and when it is back; returns what ends that. */
  onConnection?(listener: (state: ConnectionState) => void): () => void;
  /** Waits no longer for a connection that is lost, or will be; says why. */
  giveUp?(reason: string): void;
}

/** How a disk's connection is. */
export interface ConnectionState {
  readonly isConnected: boolean;
  /** For people: why it was lost, or for how long. */
  readonly reason: string;
}

const ioQueues = 2;

/**
 * Connects and opens a namespace; lost connections are waited for.
 * @param name for messages
 * @throws InitiatorError, the signal's reason.
 */
export async function openNamespaceTarget(
  name: string,
  where: Address & Omit<ControllerOptions, "signal" | "ioQueues" | "reconnect">,
  nsid: number,
  signal: AbortSignal,
): Promise<OpenTarget> {
  const controller = await connectController({ ...where, ioQueues, reconnect: {}, signal });
  try {
    const disk = await controller.openNamespace(nsid, { signal });
    const inUseBy = await hostsOf(controller, nsid, signal);
    return {
      name,
      disk,
      identity: identityOf(controller, disk.info),
      isRemote: true,
      place: { host: where.host, port: where.port, nqn: where.subsystemNqn },
      onConnection: (listener) =>
        controller.onEvent((event) => {
          if (event.type === "disconnected") {
            listener({ isConnected: false, reason: event.error.message });
          } else if (event.type === "reconnected") {
            const seconds = (event.downMs / 1000).toFixed(1);
            listener({ isConnected: true, reason: `it was away for ${seconds} s` });
          }
        }),
      giveUp: (reason) => controller.giveUp(reason),
      ...(inUseBy ? { inUseBy } : {}),
      identify: async (options) =>
        identityOf(controller, await controller.namespace(nsid, options ?? {})),
      async [Symbol.asyncDispose]() {
        await disk[Symbol.asyncDispose]();
        await controller[Symbol.asyncDispose]();
      },
    };
  } catch (error) {
    await controller[Symbol.asyncDispose]();
    throw error;
  }
}

/** Which other host has reserved a namespace. This one never does. */
async function hostsOf(
  controller: Controller,
  nsid: number,
  signal: AbortSignal,
): Promise<string | undefined> {
  const reservation = await readReservation(controller, nsid, { signal });
  if (!reservation) return undefined;
  const { type, holders } = reservation;
  const who = holders.length > 0 ? `host ${holders.join(", ")}` : "another host";
  return `reserved by ${who} (${type})`;
}

function identityOf(controller: Controller, info: NamespaceInfo): Target["identity"] {
  const { sn, mn } = controller.identify;
  const { uuid, nguid, eui64, sizeBytes, blockSizeBytes } = info;
  return {
    serial: sn.trim(),
    model: mn.trim(),
    sizeBytes,
    blockSizeBytes,
    ...(uuid ? { uuid } : {}),
    ...(nguid ? { nguid } : {}),
    ...(eui64 ? { eui64 } : {}),
  };
}
