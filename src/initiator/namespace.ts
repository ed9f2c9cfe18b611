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

/** True for an error that says that a namespace does not exist. */
export function isUnknownNamespace(error: unknown): boolean {
  if (!(error instanceof InitiatorError)) return false;
  return error.code === "no-namespace" || error.facts.statusName === "invalidNamespace";
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

/** What a namespace is known by: its own identities, and for one without any, where it lies. */
export interface NamespaceIdentifier {
  readonly uuid?: string;
  readonly nguid?: string;
  readonly eui64?: string;
  readonly nsid?: number;
}

/** True if a namespace has all identities that are asked for; text compares without case. */
export function hasIdentity(info: NamespaceInfo, wanted: NamespaceIdentifier): boolean {
  const isSame = (found: string | undefined, asked: string | undefined) =>
    asked === undefined || found === asked.toLowerCase();
  return (
    isSame(info.uuid, wanted.uuid) &&
    isSame(info.nguid, wanted.nguid) &&
    isSame(info.eui64, wanted.eui64) &&
    (wanted.nsid === undefined || info.nsid === wanted.nsid)
  );
}

/** A namespace, and the serial number of its controller. */
export interface SeenNamespace {
  readonly info: NamespaceInfo;
  readonly serial: string;
}

/**
 * How `now` differs from `before` so that it is not the same disk, in words; `undefined` if it is
 * the same. Identities that there were must be there unchanged. One without any is the same if
 * serial number, id and size are. Blocks of another size make another disk of any.
 */
export function identityDifference(before: SeenNamespace, now: SeenNamespace): string | undefined {
  const kinds = ["uuid", "nguid", "eui64"] as const;
  for (const kind of kinds) {
    const wanted = before.info[kind];
    const found = now.info[kind];
    if (wanted !== undefined && found !== wanted) {
      return `its ${kind} is ${found ?? "not told"}, it was ${wanted}`;
    }
  }
  if (now.info.blockSizeBytes !== before.info.blockSizeBytes) {
    return `its blocks have ${now.info.blockSizeBytes} bytes, they had ${before.info.blockSizeBytes}`;
  }
  if (kinds.some((kind) => before.info[kind] !== undefined)) return undefined;
  if (now.serial !== before.serial) {
    return `the serial number is "${now.serial}", it was "${before.serial}"`;
  }
  if (now.info.sizeBytes !== before.info.sizeBytes) {
    return `it has ${now.info.sizeBytes} bytes, it had ${before.info.sizeBytes}, and no identity`;
  }
  return undefined;
}
