/** The contract of everything that has blocks: files, disks, memory, remote namespaces. */

/** How a call may be ended early. */
export interface CallOptions {
  /** Aborting rejects the call with the signal's reason; what reached the medium by then stays. */
  readonly signal?: AbortSignal;
}

/**
 * A range of equally sized blocks.
 *
 * Offsets and lengths are in bytes and multiples of `blockSizeBytes`; a range past `sizeBytes` or
 * an unaligned one rejects with a BlockError of code `range`. Calls may overlap in time; those that
 * overlap in range have no order among themselves. Disposal waits for calls under way, does not
 * flush, and is idempotent.
 */
export interface BlockDevice extends AsyncDisposable {
  readonly sizeBytes: number;
  /** Logical block size: a power of two, 512 or more. */
  readonly blockSizeBytes: number;
  readonly readOnly: boolean;
  /** Fills `target` from `offsetBytes` on; it is never left partly filled without a rejection. */
  read(offsetBytes: number, target: Uint8Array, options?: CallOptions): Promise<void>;
  /** Writes `data`; it must not change until the promise settles. Durable only after `flush`. */
  write(offsetBytes: number, data: Uint8Array, options?: CallOptions): Promise<void>;
  /** Makes a range read as zeros, by the cheapest means that the medium has. */
  writeZeroes(offsetBytes: number, lengthBytes: number, options?: CallOptions): Promise<void>;
  /** Resolves once every write that settled before the call is on the medium. */
  flush(options?: CallOptions): Promise<void>;
  /**
   * The same as `read`, but done when it returns: for media whose blocks are in memory, where a
   * promise costs more than the work. It blocks as long as the medium does.
   * Fills `lengthBytes` of `target` from index `at` on. Throws what `read` rejects with.
   */
  readNow?(offsetBytes: number, target: Uint8Array, at: number, lengthBytes: number): void;
  /** The same as `write`, but done when it returns; see `readNow`. */
  writeNow?(offsetBytes: number, data: Uint8Array, at: number, lengthBytes: number): void;
  /**
   * Says that a range's contents are not needed: the medium may free what holds it, or do nothing.
   * The range reads as zeros or as before.
   */
  deallocate?(offsetBytes: number, lengthBytes: number, options?: CallOptions): Promise<void>;
}

/** Why a call on a block device failed. */
export type BlockErrorCode = "range" | "read-only" | "medium" | "no-space" | "gone" | "closed";

/** The world's fault below a BlockDevice. */
export class BlockError extends Error {
  override readonly name = "BlockError";
  readonly code: BlockErrorCode;

  constructor(code: BlockErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
