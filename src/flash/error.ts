/** The world's fault while an image is read, written, compared or saved. */

/** Why it cannot go on. */
export type FlashErrorCode =
  /** There is no such file or URL, or it may not be read. */
  | "source-missing"
  /** The source is another one than when it was opened. */
  | "source-changed"
  /** The server cannot be reached, or stopped answering. */
  | "network"
  /** The file is of a kind that cannot be written as it is, such as qcow2. */
  | "format"
  /** The stream ends before its end. */
  | "truncated"
  /** Something follows the end of the compressed data. */
  | "trailing"
  /** The compressed data is broken. */
  | "corrupt"
  /** The image has another length than was announced. */
  | "length"
  /** What came has another hash than the file beside it says. */
  | "checksum"
  /** A signature is bad, or made by another key. */
  | "signature"
  /** A file beside the image, or a key, makes no sense. */
  | "sidecar"
  /** The plan has refusals; they are in `facts.refusals`. */
  | "refused"
  /** The disk is not the one that was planned for. */
  | "identity-changed"
  /** The image does not fit; found out while writing. */
  | "too-small"
  /** The disk is gone or cannot be reached any more. */
  | "disk-gone"
  /** The disk reports an error, or refuses to be written. */
  | "disk-failed"
  /** What the disk holds is not what was written; ranges are in `facts.ranges`. */
  | "mismatch"
  /** A backup cannot be stored. */
  | "output";

/** A failure that says what was being done, to what, what was found and wanted, and the way out. */
export class FlashError extends Error {
  override readonly name = "FlashError";
  readonly code: FlashErrorCode;
  /** What the message speaks of, for programs. */
  readonly facts: Readonly<Record<string, unknown>>;

  constructor(
    code: FlashErrorCode,
    message: string,
    facts: Readonly<Record<string, unknown>> = {},
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.code = code;
    this.facts = facts;
  }
}

/** The most telling words of anything that was thrown. */
export function reasonOf(error: unknown): string {
  if (error instanceof AggregateError && error.errors.length > 0) return reasonOf(error.errors[0]);
  if (!(error instanceof Error)) return String(error);
  if (error.message !== "") return error.message;
  return "code" in error ? String(error.code) : error.name;
}
