/** Exit codes of every command (DESIGN: the commands). */
export const exitCodes = {
  ok: 0,
  failure: 1,
  usage: 2,
  verifyMismatch: 3,
  refused: 4,
  notFound: 5,
  unreachable: 6,
  partial: 7,
  interrupted: 130,
} as const;

/** One of `exitCodes`. */
export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/** A command line that makes no sense; the message says what was found and how it should be. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** There is no such box or disk; the message says what there is. */
export class NotFoundError extends Error {
  override readonly name = "NotFoundError";
}

/** What was asked for is not done without more; the message says what speaks against it. */
export class RefusedError extends Error {
  override readonly name = "RefusedError";
}
