/** Asking a controller which namespaces it has, and what each one is. NVMe Base 2.0 §5.17. */

import type { CallOptions } from "../block/index.ts";
import {
  cns,
  decodeNamespaceDescriptors,
  decodeNamespaceList,
  identifyBytes,
  identifyNamespace,
  namespaceListMax,
} from "../nvme/index.ts";
import type { Admin } from "./admin.ts";
import { InitiatorError } from "./error.ts";
import {
  isUnknownNamespace,
  isUnknownToController,
  type NamespaceInfo,
  namespaceInfo,
} from "./namespace.ts";
import type { InitiatorLog } from "./transport.ts";

/**
 * All active namespaces that can be used, in the order of their ids; those that cannot are logged.
 */
export async function readNamespaces(
  admin: Admin,
  peer: string,
  log: InitiatorLog,
  options: CallOptions,
): Promise<NamespaceInfo[]> {
  const found: NamespaceInfo[] = [];
  for (let after = 0; ; ) {
    const nsids = decodeNamespaceList(await admin.identify(cns.activeNamespaces, after, options));
    for (const nsid of nsids) {
      try {
        found.push(await readNamespace(admin, nsid, peer, options));
      } catch (error) {
        // One that went away since the list was made is left out, and so is an odd one.
        if (isUnknownNamespace(error)) continue;
        if (!isOdd(error)) throw error;
        log("namespace-skipped", { peer, nsid, reason: error.message });
      }
    }
    const last = nsids.at(-1) ?? 0;
    if (nsids.length < namespaceListMax || last <= after) return found;
    after = last;
  }
}

/**
 * One namespace by its id.
 * @throws InitiatorError `no-namespace`, or `status` as the controller answers.
 */
export async function readNamespace(
  admin: Admin,
  nsid: number,
  peer: string,
  options: CallOptions,
): Promise<NamespaceInfo> {
  const identify = identifyNamespace.decode(await admin.identify(cns.namespace, nsid, options));
  // Looked at first: for one that is not active, the Linux target has zeros here, and an error there.
  const info = namespaceInfo(nsid, identify, {}, peer);
  const identity = decodeNamespaceDescriptors(await readDescriptors(admin, nsid, options)) ?? {};
  return { ...info, ...identity };
}

async function readDescriptors(
  admin: Admin,
  nsid: number,
  options: CallOptions,
): Promise<Uint8Array> {
  try {
    return await admin.identify(cns.namespaceDescriptors, nsid, options);
  } catch (error) {
    const status = error instanceof InitiatorError ? error.facts.status : undefined;
    if (isUnknownToController(status)) return new Uint8Array(identifyBytes);
    throw error;
  }
}

/** True where a namespace is not such as this part can use. */
function isOdd(error: unknown): error is InitiatorError {
  return (
    error instanceof InitiatorError && (error.code === "unsupported" || error.code === "protocol")
  );
}
