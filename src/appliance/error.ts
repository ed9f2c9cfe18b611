/** The world's fault while the box exports its disks. */

/** Why something on the box could not be done. */
export type ApplianceErrorCode =
  | "configfs"
  | "disk"
  | "module"
  | "tool"
  | "state"
  /** A variable of the firmware; `facts.reason` says more: efi-fault.ts. */
  | "efi";

/** Something outside the daemon failed; `cause` is what the system said. */
export class ApplianceError extends Error {
  override readonly name = "ApplianceError";
  readonly code: ApplianceErrorCode;
  /** What the message speaks of, for programs. */
  readonly facts: Readonly<Record<string, unknown>>;

  constructor(
    code: ApplianceErrorCode,
    message: string,
    facts: Readonly<Record<string, unknown>> = {},
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.code = code;
    this.facts = facts;
  }
}
