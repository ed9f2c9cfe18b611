/** The world's fault while something is laid out on a disk. */

/** Why it cannot be laid out. */
export type DiskErrorCode = "does-not-fit" | "name" | "no-table" | "sector-size" | "no-partition";

/** A layout that cannot be made as asked. Damage that is found on a disk is a value instead. */
export class DiskError extends Error {
  override readonly name = "DiskError";
  readonly code: DiskErrorCode;
  /** What the message speaks of, for programs. */
  readonly facts: Readonly<Record<string, unknown>>;

  constructor(
    code: DiskErrorCode,
    message: string,
    facts: Readonly<Record<string, unknown>> = {},
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.code = code;
    this.facts = facts;
  }
}
