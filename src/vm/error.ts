/** The world's fault while a virtual machine is prepared, started or driven. */

/** Why a virtual machine cannot be used. */
export type VmErrorCode =
  /** QEMU or its firmware is not installed. */
  | "missing"
  /** The machine that was asked for cannot exist. */
  | "options"
  /** QEMU ended before the machine ran. */
  | "start"
  /** QEMU ended while something was still expected of it. */
  | "exited"
  /** What was waited for did not come in time. */
  | "timeout"
  /** QEMU refused a QMP command, or spoke no QMP. */
  | "qmp";

/** A virtual machine that cannot go on; the message carries QEMU's own words. */
export class VmError extends Error {
  override readonly name = "VmError";
  readonly code: VmErrorCode;
  /** What the message speaks of, for programs. */
  readonly facts: Readonly<Record<string, unknown>>;

  constructor(
    code: VmErrorCode,
    message: string,
    facts: Readonly<Record<string, unknown>> = {},
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.code = code;
    this.facts = facts;
  }
}
