/** Errors of this part as those of a BlockDevice. */

import { BlockError } from "../block/index.ts";
import type { StatusName } from "../nvme/index.ts";
import { InitiatorError } from "./error.ts";

const statuses: Readonly<Partial<Record<string, BlockError["code"]>>> = {
  lbaOutOfRange: "range",
  capacityExceeded: "no-space",
  namespaceWriteProtected: "read-only",
  writeToReadOnly: "read-only",
  invalidNamespace: "gone",
  namespaceNotReady: "gone",
  anaPersistentLoss: "gone",
  anaInaccessible: "gone",
  anaTransition: "gone",
  // What the Linux target says of a namespace that is disabled at the moment.
  internalPathError: "gone",
  controllerPathError: "gone",
  hostPathError: "gone",
} satisfies Partial<Record<StatusName, BlockError["code"]>>;

/** An error of this part as one of a BlockDevice; an abort stays what it is. */
export function blockError(doing: string, cause: unknown): unknown {
  if (!(cause instanceof InitiatorError)) return cause;
  return new BlockError(blockCode(cause), `Cannot ${doing}: ${cause.message}`, { cause });
}

function blockCode({ code, facts }: InitiatorError): BlockError["code"] {
  if (code === "status") return statuses[facts.statusName ?? ""] ?? "medium";
  return code === "volatile-writes-lost-possible" ? "medium" : "gone";
}
