/** A disk in memory that takes only the memory of what was written. */

import type { BlockDevice, CallOptions } from "./device.ts";
import { CallGate, type Shape } from "./gate.ts";

/** How much of the disk is held or absent at once. */
const pieceBytes = 64 * 1024;

/** What a memory disk is made from; `blockSizeBytes` is 512 and `readOnly` false unless told. */
export interface MemoryDiskOptions extends Partial<Shape> {
  readonly sizeBytes: number;
  /** What lies at the disk's start; zeros follow. It is copied. */
  readonly contents?: Uint8Array;
}

/** A sparse BlockDevice in memory: tests write a terabyte disk's both ends with it. */
export class MemoryDisk implements BlockDevice {
  readonly sizeBytes: number;
  readonly blockSizeBytes: number;
  readonly readOnly: boolean;
  readonly #gate: CallGate;
  readonly #pieces = new Map<number, Uint8Array>();

  /** @throws RangeError when the size is not in whole blocks, or `contents` is larger than it. */
  constructor({
    sizeBytes,
    blockSizeBytes = 512,
    readOnly = false,
    contents = new Uint8Array(),
  }: MemoryDiskOptions) {
    this.sizeBytes = sizeBytes;
    this.blockSizeBytes = blockSizeBytes;
    this.readOnly = readOnly;
    this.#gate = new CallGate("the memory disk", this);
    if (contents.byteLength > sizeBytes) {
      throw new RangeError(`${contents.byteLength} bytes do not fit a disk of ${sizeBytes}.`);
    }
    this.#put(0, contents);
  }

  read(offsetBytes: number, target: Uint8Array, options?: CallOptions): Promise<void> {
    const call = { kind: "read", offsetBytes, lengthBytes: target.byteLength } as const;
    return this.#gate.run(call, options, async () => this.#get(offsetBytes, target));
  }

  write(offsetBytes: number, data: Uint8Array, options?: CallOptions): Promise<void> {
    const call = { kind: "write", offsetBytes, lengthBytes: data.byteLength } as const;
    return this.#gate.run(call, options, async () => this.#put(offsetBytes, data));
  }

  writeZeroes(offsetBytes: number, lengthBytes: number, options?: CallOptions): Promise<void> {
    const call = { kind: "zero", offsetBytes, lengthBytes } as const;
    return this.#gate.run(call, options, async () => this.#clear(offsetBytes, lengthBytes));
  }

  flush(options?: CallOptions): Promise<void> {
    return this.#gate.run({ kind: "flush" }, options, async () => {});
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#gate.close(async () => this.#pieces.clear());
  }

  readNow(offsetBytes: number, target: Uint8Array, at: number, lengthBytes: number): void {
    this.#gate.now("read", offsetBytes, lengthBytes);
    this.#get(offsetBytes, target.subarray(at, at + lengthBytes));
  }

  writeNow(offsetBytes: number, data: Uint8Array, at: number, lengthBytes: number): void {
    this.#gate.now("write", offsetBytes, lengthBytes);
    this.#put(offsetBytes, data.subarray(at, at + lengthBytes));
  }

  /** The same as `writeZeroes`, but done when it returns. Throws what that rejects with. */
  zeroNow(offsetBytes: number, lengthBytes: number): void {
    this.#gate.now("write", offsetBytes, lengthBytes);
    this.#clear(offsetBytes, lengthBytes);
  }

  deallocate(offsetBytes: number, lengthBytes: number, options?: CallOptions): Promise<void> {
    return this.writeZeroes(offsetBytes, lengthBytes, options);
  }

  #get(offsetBytes: number, target: Uint8Array): void {
    for (const { index, at, from, to } of spans(offsetBytes, target.byteLength)) {
      const piece = this.#pieces.get(index);
      if (piece) target.set(piece.subarray(at, at + to - from), from);
      else target.fill(0, from, to);
    }
  }

  #clear(offsetBytes: number, lengthBytes: number): void {
    for (const { index, at, from, to } of spans(offsetBytes, lengthBytes)) {
      if (to - from === pieceBytes) this.#pieces.delete(index);
      else this.#pieces.get(index)?.fill(0, at, at + to - from);
    }
  }

  #put(offsetBytes: number, data: Uint8Array): void {
    for (const { index, at, from, to } of spans(offsetBytes, data.byteLength)) {
      let piece = this.#pieces.get(index);
      if (!piece) {
        piece = new Uint8Array(pieceBytes);
        this.#pieces.set(index, piece);
      }
      piece.set(data.subarray(from, to), at);
    }
  }
}

/** Cuts a range at the pieces' borders: piece number, place in it, place in the caller's buffer. */
function* spans(
  offsetBytes: number,
  lengthBytes: number,
): Generator<{ index: number; at: number; from: number; to: number }> {
  for (let from = 0; from < lengthBytes; ) {
    const index = Math.floor((offsetBytes + from) / pieceBytes);
    const at = offsetBytes + from - index * pieceBytes;
    const to = Math.min(lengthBytes, from + pieceBytes - at);
    yield { index, at, from, to };
    from = to;
  }
}
