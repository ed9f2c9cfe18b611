/** The world's fault while an image is built. */

/** Why a build stopped. */
export type ImageErrorCode =
  | "definition"
  | "mirror"
  | "signature"
  | "expired"
  | "hash"
  | "gone"
  | "network"
  | "disk-full"
  | "unsatisfied"
  | "lock"
  | "package"
  | "module"
  | "firmware"
  | "kernel"
  | "uki"
  | "raw"
  | "io";

/** A build that cannot go on; the message says what was found, what was wanted, what to do. */
export class ImageError extends Error {
  override readonly name = "ImageError";
  readonly code: ImageErrorCode;
  /** What the message speaks of, for programs. */
  readonly facts: Readonly<Record<string, unknown>>;

  constructor(
    code: ImageErrorCode,
    message: string,
    facts: Readonly<Record<string, unknown>> = {},
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.code = code;
    this.facts = facts;
  }
}
