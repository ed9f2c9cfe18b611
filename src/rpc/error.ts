/** What may go wrong with a call, on either end. */

/** Numbers of the codes in JSON-RPC; -32700 to -32600 are its own (specification, section 5.1). */
export const errorNumbers = {
  /** The line is no request. */
  malformed: -32600,
  /** The box has no such method. */
  unsupported: -32601,
  /** The parameters are not what the method takes. */
  invalid: -32602,
  /** A fault of the box's own program. */
  internal: -32603,
  /** No disk is called so, or several are; `facts.disks` has the names of all that there are. */
  "no-such-disk": -32001,
  /** The disk is there and cannot be had; the message says why. */
  "not-exported": -32002,
  /** The disk can be read only. */
  "read-only": -32003,
  /** No grant has that id, or not any more. */
  "no-such-grant": -32004,
  /** The box's access mode, or what the disk is, forbids it. */
  refused: -32005,
  /** A bound of `limits.ts` is reached. */
  limit: -32006,
  /** A range goes beyond the disk, or is not in whole blocks. */
  range: -32007,
  /** The box tried and its kernel, a disk or a program of it failed. */
  failed: -32008,
  /** The call was cancelled. */
  cancelled: -32009,
} as const;

/** Codes that a box answers with. */
export type RpcAnswerCode = keyof typeof errorNumbers;

/** All codes: those of a box, and those of the way there. */
export type RpcErrorCode =
  | RpcAnswerCode
  /** The channel ended before the answer came: whether it was done is not known. */
  | "closed"
  /** The other end said what this one does not understand. */
  | "protocol";

/** A call failed; `facts` has what the message speaks of, for programs. */
export class RpcError extends Error {
  override readonly name = "RpcError";
  readonly code: RpcErrorCode;
  readonly facts: Readonly<Record<string, unknown>>;

  constructor(
    code: RpcErrorCode,
    message: string,
    facts: Readonly<Record<string, unknown>> = {},
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.code = code;
    this.facts = facts;
  }
}

/** Whether a code is one that a box answers with. */
export function isAnswerCode(code: string): code is RpcAnswerCode {
  return Object.hasOwn(errorNumbers, code);
}

/** The code behind a number; nothing for one that a newer box made up. */
export function codeOfNumber(number: number): RpcAnswerCode | undefined {
  return Object.keys(errorNumbers)
    .filter(isAnswerCode)
    .find((code) => errorNumbers[code] === number);
}
