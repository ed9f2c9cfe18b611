/** What may go wrong between an owner and a box. */

/** Why a box or its disk could not be had. */
export type BoxErrorCode =
  /** No box of that name is announced, known, or an address. */
  | "no-such-box"
  /** Several boxes are called so. */
  | "ambiguous-box"
  /** The box has no disk of that name. */
  | "no-such-disk"
  /** Several disks are called so, or none was named and there are several. */
  | "ambiguous-disk"
  /** Nothing answers at its addresses. */
  | "unreachable"
  /** It did not answer in time. */
  | "timeout"
  /** It does not let us in: its image was built with other keys. */
  | "not-ours"
  /** Its host key is not the one that is known: another machine, or another image. */
  | "host-key"
  /** It lets us in and has no control channel. */
  | "no-channel"
  /** It speaks another version of the control channel. */
  | "version"
  /** ssh is not installed or does not start. */
  | "no-ssh"
  /** A file of the user's configuration makes no sense. */
  | "configuration"
  /** What is asked for cannot be done with this machine's tools. */
  | "unsupported";

/** A failure that names the box, what was found and what to do. */
export class BoxError extends Error {
  override readonly name = "BoxError";
  readonly code: BoxErrorCode;
  readonly facts: Readonly<Record<string, unknown>>;

  constructor(
    code: BoxErrorCode,
    message: string,
    facts: Readonly<Record<string, unknown>> = {},
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.code = code;
    this.facts = facts;
  }
}
