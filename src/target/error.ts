/** The world's fault: what keeps a target from listening. */

/** Why a target cannot do what it was asked for. */
export type TargetErrorCode =
  | "address-in-use"
  | "address-unavailable"
  | "denied"
  | "listen"
  | "key";

/** An error of the target's surroundings; `cause` has what the operating system said. */
export class TargetError extends Error {
  override readonly name = "TargetError";
  readonly code: TargetErrorCode;

  constructor(code: TargetErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
