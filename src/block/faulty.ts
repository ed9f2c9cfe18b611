/** A device with faults that a test puts where it wants them. */

import { type BlockDevice, BlockError, type BlockErrorCode, type CallOptions } from "./device.ts";
import { type BlockCall, CallGate } from "./gate.ts";

/** What goes wrong, and for which calls. */
export type Fault = {
  /** Kinds of call that it befalls; all unless told. */
  readonly on?: readonly BlockCall["kind"][];
  /** First and last block that it befalls; all unless told. A flush touches no block. */
  readonly firstLba?: number;
  readonly lastLba?: number;
  /** How many calls it befalls before it is over; endless unless told. */
  readonly times?: number;
} & (
  | { readonly kind: "fail"; readonly code: BlockErrorCode }
  /** The blocks before the faulty range are moved, then the call fails with code `medium`. */
  | { readonly kind: "short" }
  /** The call goes on when `until` does. */
  | { readonly kind: "slow"; readonly until: () => Promise<void> }
  /** This call and every later one fails with code `gone`. */
  | { readonly kind: "gone" }
);

/** A device that behaves as `inner`, faults aside; disposal disposes `inner`. */
export interface FaultyDisk extends BlockDevice {
  /** Adds a fault from the next call on; of several that fit, the one added first befalls. */
  inject(fault: Fault): void;
  /** Ends all faults, a disk that is gone included. */
  heal(): void;
}

/** Wraps `inner` so that it fails on request. */
export function faultyDisk(inner: BlockDevice, ...faults: readonly Fault[]): FaultyDisk {
  return new Faulty(inner, faults);
}

class Faulty implements FaultyDisk {
  readonly #inner: BlockDevice;
  readonly #gate: CallGate;
  #faults: { fault: Fault; left: number }[] = [];
  #gone = false;

  constructor(inner: BlockDevice, faults: readonly Fault[]) {
    this.#inner = inner;
    this.#gate = new CallGate("the faulty disk", inner);
    for (const fault of faults) this.inject(fault);
  }

  get sizeBytes(): number {
    return this.#inner.sizeBytes;
  }
  get blockSizeBytes(): number {
    return this.#inner.blockSizeBytes;
  }
  get readOnly(): boolean {
    return this.#inner.readOnly;
  }

  inject(fault: Fault): void {
    this.#faults.push({ fault, left: fault.times ?? Number.POSITIVE_INFINITY });
  }

  heal(): void {
    this.#faults = [];
    this.#gone = false;
  }

  read(offsetBytes: number, target: Uint8Array, options?: CallOptions): Promise<void> {
    const call = { kind: "read", offsetBytes, lengthBytes: target.byteLength } as const;
    return this.#run(call, options, (length) =>
      this.#inner.read(offsetBytes, target.subarray(0, length), options),
    );
  }

  write(offsetBytes: number, data: Uint8Array, options?: CallOptions): Promise<void> {
    const call = { kind: "write", offsetBytes, lengthBytes: data.byteLength } as const;
    return this.#run(call, options, (length) =>
      this.#inner.write(offsetBytes, data.subarray(0, length), options),
    );
  }

  writeZeroes(offsetBytes: number, lengthBytes: number, options?: CallOptions): Promise<void> {
    const call = { kind: "zero", offsetBytes, lengthBytes } as const;
    return this.#run(call, options, (length) =>
      this.#inner.writeZeroes(offsetBytes, length, options),
    );
  }

  flush(options?: CallOptions): Promise<void> {
    return this.#run({ kind: "flush" }, options, () => this.#inner.flush(options));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#gate.close(() => Promise.resolve(this.#inner[Symbol.asyncDispose]()));
  }

  /** `move` moves so many of the call's first bytes. */
  #run(
    call: BlockCall,
    options: CallOptions | undefined,
    move: (lengthBytes: number) => Promise<void>,
  ): Promise<void> {
    return this.#gate.run(call, options, async () => {
      await this.#befall(call, move);
      await move(call.kind === "flush" ? 0 : call.lengthBytes);
    });
  }

  /** Returns when the call may go on. */
  async #befall(call: BlockCall, move: (lengthBytes: number) => Promise<void>): Promise<void> {
    if (this.#gone) throw failure("gone", call);
    const found = this.#faults.find(({ fault, left }) => left > 0 && this.#fits(fault, call));
    if (!found) return;
    found.left--;
    const { fault } = found;
    if (fault.kind === "slow") return fault.until();
    if (fault.kind === "gone") this.#gone = true;
    if (fault.kind === "short" && call.kind !== "flush") {
      const faultyBytes = (fault.firstLba ?? 0) * this.blockSizeBytes;
      const lengthBytes = faultyBytes - call.offsetBytes;
      if (lengthBytes > 0) await move(lengthBytes);
    }
    throw failure(codeOf(fault), call);
  }

  #fits(fault: Fault, call: BlockCall): boolean {
    if (fault.on && !fault.on.includes(call.kind)) return false;
    const { firstLba = 0, lastLba = Number.POSITIVE_INFINITY } = fault;
    if (call.kind === "flush") return firstLba === 0 && lastLba === Number.POSITIVE_INFINITY;
    const endBytes = call.offsetBytes + call.lengthBytes;
    return (
      call.offsetBytes < (lastLba + 1) * this.blockSizeBytes &&
      endBytes > firstLba * this.blockSizeBytes
    );
  }
}

function codeOf(fault: Exclude<Fault, { kind: "slow" }>): BlockErrorCode {
  if (fault.kind === "fail") return fault.code;
  return fault.kind === "gone" ? "gone" : "medium";
}

function failure(code: BlockErrorCode, call: BlockCall): BlockError {
  return new BlockError(code, `Cannot ${call.kind} here: the test injected a fault (${code}).`);
}
