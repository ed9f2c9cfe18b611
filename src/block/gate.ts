/** What every block device checks and counts the same way: ranges, read-only, closing. */

import { BlockError, type CallOptions } from "./device.ts";

/** The facts that calls on a device are checked against. */
export interface Shape {
  readonly sizeBytes: number;
  readonly blockSizeBytes: number;
  readonly readOnly: boolean;
}

/** One call, before it runs. A `flush` has no range. */
export type BlockCall =
  | {
      readonly kind: "read" | "write" | "zero";
      readonly offsetBytes: number;
      readonly lengthBytes: number;
    }
  | { readonly kind: "flush" };

/**
 * Lets well-formed calls through to a device, refuses the others, and knows which are under way.
 *
 * A device runs each of its methods through `run` and disposes itself through `close`.
 */
export class CallGate {
  readonly #name: string;
  readonly #shape: Shape;
  readonly #underWay = new Set<Promise<unknown>>();
  #closing: Promise<void> | undefined;

  /** `name` is what messages call the device; a block size that is none throws a RangeError. */
  constructor(name: string, shape: Shape) {
    const { sizeBytes, blockSizeBytes } = shape;
    if (blockSizeBytes < 512 || !Number.isInteger(Math.log2(blockSizeBytes))) {
      throw new RangeError(`A block size is a power of two from 512 on, not ${blockSizeBytes}.`);
    }
    if (!Number.isSafeInteger(sizeBytes) || sizeBytes < 0 || sizeBytes % blockSizeBytes !== 0) {
      throw new RangeError(
        `The size of a device is a multiple of its block size of ${blockSizeBytes} bytes, ` +
          `not ${sizeBytes}.`,
      );
    }
    this.#name = name;
    this.#shape = shape;
  }

  /** Runs `body` if the call makes sense now; rejects with a BlockError or the signal's reason. */
  async run(
    call: BlockCall,
    options: CallOptions | undefined,
    body: () => Promise<void>,
  ): Promise<void> {
    this.#refuseClosed(call);
    this.#check(call);
    options?.signal?.throwIfAborted();
    const running = body();
    this.#underWay.add(running);
    try {
      await running;
    } finally {
      this.#underWay.delete(running);
    }
  }

  /** Throws a BlockError if a call that ends before it returns makes no sense now. */
  now(kind: "read" | "write", offsetBytes: number, lengthBytes: number): void {
    const { sizeBytes, blockSizeBytes, readOnly } = this.#shape;
    const isPlain =
      offsetBytes >= 0 &&
      offsetBytes + lengthBytes <= sizeBytes &&
      offsetBytes % blockSizeBytes === 0 &&
      lengthBytes % blockSizeBytes === 0;
    if (isPlain && !this.#closing && !(readOnly && kind === "write")) return;
    const call: BlockCall = { kind, offsetBytes, lengthBytes };
    this.#refuseClosed(call);
    this.#check(call);
  }

  /** Refuses new calls, waits for those under way, then runs `release` once. */
  close(release: () => Promise<void>): Promise<void> {
    this.#closing ??= Promise.allSettled(this.#underWay).then(release);
    return this.#closing;
  }

  #refuseClosed(call: BlockCall): void {
    if (!this.#closing) return;
    throw new BlockError("closed", `Cannot ${describe(call)} ${this.#name}: it is closed.`);
  }

  #check(call: BlockCall): void {
    if (call.kind === "flush") return;
    const { sizeBytes, blockSizeBytes, readOnly } = this.#shape;
    const { offsetBytes, lengthBytes } = call;
    const aligned = offsetBytes % blockSizeBytes === 0 && lengthBytes % blockSizeBytes === 0;
    const inside = offsetBytes >= 0 && lengthBytes >= 0 && offsetBytes + lengthBytes <= sizeBytes;
    if (!aligned || !inside) {
      throw new BlockError(
        "range",
        `Cannot ${describe(call)} ${this.#name}: the range is ` +
          `${aligned ? "outside" : "not in whole blocks of"} its ` +
          `${aligned ? sizeBytes : blockSizeBytes} bytes.`,
      );
    }
    if (readOnly && call.kind !== "read") {
      throw new BlockError("read-only", `Cannot ${describe(call)} ${this.#name}: it is read-only.`);
    }
  }
}

function describe(call: BlockCall): string {
  if (call.kind === "flush") return "flush";
  return `${call.kind} ${call.lengthBytes} bytes at ${call.offsetBytes} of`;
}
