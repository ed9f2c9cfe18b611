/** Errors of this part as those of a BlockDevice. */

import { BlockError, type BlockErrorCode } from "../block/index.ts";
import type { StatusName } from "../nvme/index.ts";
import { InitiatorError } from "./error.ts";

/** Statuses that say something of a range or a medium; all others, that the disk is out of reach. */
const statuses: Readonly<Partial<Record<string, BlockErrorCode>>> = {
  lbaOutOfRange: "range",
  capacityExceeded: "no-space",
  namespaceWriteProtected: "read-only",
  writeToReadOnly: "read-only",
  // What the Linux target and SPDK's say when the disk below fails.
  internalError: "medium",
  dataTransferError: "medium",
} satisfies Partial<Record<StatusName, BlockErrorCode>>;
const mediaErrors = 2;

/** An error of this part as one of a BlockDevice; an abort stays what it is. */
export function blockError(doing: string, cause: unknown): unknown {
  if (!(cause instanceof InitiatorError)) return cause;
  return new BlockError(blockCode(cause), `Cannot ${doing}: ${cause.message}`, { cause });
}

function blockCode({ code, facts }: InitiatorError): BlockErrorCode {
  if (code === "status") {
    const isOfMedium = facts.status?.sct === mediaErrors;
    return statuses[facts.statusName ?? ""] ?? (isOfMedium ? "medium" : "gone");
  }
  return code === "volatile-writes-lost-possible" ? "medium" : "gone";
}
