/** The world's fault between this host and a controller. */

import {
  type Command,
  type Completion,
  commands,
  decodeStatus,
  describeStatus,
  type Status,
} from "../nvme/index.ts";

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
  /** Another namespace is where the one was that a disk had been opened for. */
  | "namespace-replaced"
  /** The connection was lost before an answer came: whether it was done is not known. */
  | "interrupted"
  /** Writes that were acknowledged but not flushed before a reconnect may be lost. */
  | "volatile-writes-lost-possible"
  /** One side could not prove that it knows the key, or did not try. */
  | "authentication-failed"
  /** The connection was lost, and reconnecting was given up. */
  | "lost"
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
  /** The connection ended from the far end, or on the way to it. */
  readonly endedBy?: "controller";
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

/**
 * What connecting fails with: where it was a queue that ended, why it did, if it was the
 * controller's silence or its protocol.
 */
export function connectFailure(error: unknown): unknown {
  if (!(error instanceof InitiatorError) || error.code !== "closed") return error;
  const { cause } = error;
  const isTelling = cause instanceof InitiatorError && connectCodes.has(cause.code);
  return isTelling ? cause : error;
}

const connectCodes: ReadonlySet<InitiatorErrorCode> = new Set(["timeout", "protocol"]);

/** True for a command that the controller answered with an error status. */
export function isStatus(error: unknown): error is InitiatorError {
  return error instanceof InitiatorError && error.code === "status";
}

/** What a completion says when it is not a success. */
export function completionError(
  command: Command,
  completion: Completion,
  peer: string,
): InitiatorError | undefined {
  if (completion.status === 0) return undefined;
  const { name } = command;
  const status = decodeStatus(completion.status);
  const { name: statusName, meaning } = describeStatus(status, commands[name].set === "fabrics");
  const code = `${status.sct}/${status.sc.toString(16).padStart(2, "0")}h`;
  const retry = status.dnr ? ", do not retry" : "";
  return new InitiatorError(
    "status",
    `Command ${name} at ${peer} failed: ${meaning} (status ${code}${retry}).`,
    { peer, status, statusName },
  );
}
