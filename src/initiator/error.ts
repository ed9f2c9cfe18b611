/** The world's fault between this host and a controller. */

import { describeStatus, type Status } from "../nvme/index.ts";

/** Why something with a controller failed. */
export type InitiatorErrorCode =
  /** Nothing listens at that address and port. */
  | "connect-refused"
  /** No route, or no such host. */
  | "unreachable"
  /** The controller did not answer in time. */
  | "timeout"
  /** The controller broke the protocol, or said that this host did. */
  | "protocol"
  /** The controller answered a command with an error status; see `facts`. */
  | "status"
  /** The controller wants what this host cannot do, such as authentication. */
  | "unsupported"
  /** There is no namespace of that id, or it is not active. */
  | "no-namespace"
  /** The connection is gone, or was closed here. */
  | "closed"
  /** Too many commands wait already. */
  | "busy";

/** What an InitiatorError speaks of. */
export interface InitiatorFacts {
  /** Where the controller is: `host:port`, or what the caller named it. */
  readonly peer?: string;
  /** The status of the command that failed, with code `status`. */
  readonly status?: Status;
  /** Name of that status in `statusCodes`. */
  readonly statusName?: string;
  /** Fatal Error Status of the termination request that was sent or received. */
  readonly fes?: number;
  readonly [name: string]: unknown;
}

/** A failure that names what was being done, to what, and what came back. */
export class InitiatorError extends Error {
  override readonly name = "InitiatorError";
  readonly code: InitiatorErrorCode;
  readonly facts: InitiatorFacts;

  constructor(
    code: InitiatorErrorCode,
    message: string,
    facts: InitiatorFacts = {},
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.code = code;
    this.facts = facts;
  }
}

/** The error of a command that the controller refused. */
export function statusError(
  doing: string,
  peer: string,
  status: Status,
  isFabrics = false,
  addition = "",
): InitiatorError {
  const { name, meaning } = describeStatus(status, isFabrics);
  const code = `${status.sct}/${status.sc.toString(16).padStart(2, "0")}h`;
  const retry = status.dnr ? ", do not retry" : "";
  return new InitiatorError(
    "status",
    `${doing} at ${peer} failed: ${meaning}${addition} (status ${code}${retry}).`,
    { peer, status, statusName: name },
  );
}
