/** What a namespace is: its size, its blocks, its identity. NVM Command Set 1.0 §4.1.5. */

import { toNumber } from "../bytes/index.ts";
import {
  activeFormat,
  type IdentifyNamespace,
  type NamespaceIdentity,
  type Status,
  statusOf,
} from "../nvme/index.ts";
import { InitiatorError } from "./error.ts";

/** A namespace as its controller describes it. */
export interface NamespaceInfo extends NamespaceIdentity {
  readonly nsid: number;
  readonly sizeBytes: number;
  readonly blockSizeBytes: number;
  readonly isReadOnly: boolean;
  /** Identify Namespace as it came. */
  readonly identify: IdentifyNamespace;
}

/**
 * Makes sense of Identify Namespace and the identification descriptors.
 * @throws InitiatorError `no-namespace` for one that is not active, `protocol` for a format that no
 *   disk has, `unsupported` for metadata within blocks.
 */
export function namespaceInfo(
  nsid: number,
  identify: IdentifyNamespace,
  descriptors: NamespaceIdentity,
  peer: string,
): NamespaceInfo {
  const format = activeFormat(identify);
  const which = `Cannot use namespace ${nsid} of ${peer}`;
  if (identify.nsze === 0n) {
    throw new InitiatorError("no-namespace", `${which}: it is not active.`, { peer, nsid });
  }
  if (!format || format.lbads < 9 || format.lbads > 16) {
    const found = format === undefined ? "none" : `2^${format.lbads}`;
    const message = `${which}: its block size is ${found} bytes, wanted 2^9 to 2^16.`;
    throw new InitiatorError("protocol", message, { peer, nsid });
  }
  if (format.ms > 0 && identify.flbas.extended) {
    const message = `${which}: its blocks carry ${format.ms} bytes of metadata each.`;
    throw new InitiatorError("unsupported", message, { peer, nsid, metadataBytes: format.ms });
  }
  const blockSizeBytes = 2 ** format.lbads;
  const sizeBytes = identify.nsze * BigInt(blockSizeBytes);
  if (sizeBytes > BigInt(Number.MAX_SAFE_INTEGER)) {
    const message = `${which}: it claims ${sizeBytes} bytes, more than any disk has.`;
    throw new InitiatorError("protocol", message, { peer, nsid });
  }
  return {
    ...ownIdentity(identify),
    ...descriptors,
    nsid,
    sizeBytes: toNumber(sizeBytes),
    blockSizeBytes,
    isReadOnly: identify.nsattr.writeProtected,
    identify,
  };
}

/** True for the status of a controller that does not know what it was asked for. */
export function isUnknownToController(status: Status | undefined): boolean {
  return (
    status !== undefined &&
    (["invalidField", "invalidOpcode", "invalidLogPage"] as const).some((name) => {
      const { sct, sc } = statusOf(name);
      return status.sct === sct && status.sc === sc;
    })
  );
}

/** The identities within Identify Namespace itself; all zeros mean none. */
function ownIdentity({ nguid, eui64 }: IdentifyNamespace): NamespaceIdentity {
  const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");
  const isGiven = (bytes: Uint8Array) => bytes.some((byte) => byte !== 0);
  return {
    ...(isGiven(nguid) ? { nguid: hex(nguid) } : {}),
    ...(isGiven(eui64) ? { eui64: hex(eui64) } : {}),
  };
}
