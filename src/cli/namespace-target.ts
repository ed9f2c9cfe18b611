/** A namespace behind the network as a disk that commands work on. */

import type { Target } from "../flash/index.ts";
import {
  type Address,
  type Controller,
  type ControllerOptions,
  connectController,
  type NamespaceInfo,
} from "../initiator/index.ts";

/** An open disk; disposal closes it and its connections. */
export type OpenTarget = Target & AsyncDisposable;

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
    return {
      name,
      disk,
      identity: identityOf(controller, disk.info),
      isRemote: true,
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
