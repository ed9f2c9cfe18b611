/** A disk over another one: writes stay in memory or on a second disk, the one below as it was. */

import { type BlockDevice, BlockError, type CallOptions } from "./device.ts";
import { CallGate } from "./gate.ts";
import { MemoryDisk } from "./memory.ts";

/** What an overlay is made from. */
export interface OverlayOptions {
  /** Is read only; disposing of the overlay disposes of it. */
  readonly below: BlockDevice;
  /** Bytes of memory that written blocks may take; then writes fail with `no-space`. */
  readonly bytesMax?: number;
}

/** What is held or absent at once; a write of less brings the rest up from below. */
const pieceBytes = 64 * 1024;

/** A BlockDevice whose writes never reach the one below. */
export class OverlayDisk implements BlockDevice {
  readonly sizeBytes: number;
  readonly blockSizeBytes: number;
  readonly readOnly = false;
  readonly #below: BlockDevice;
  readonly #layer: MemoryDisk;
  readonly #gate: CallGate;
  readonly #piecesMax: number;
  /** Pieces whose truth is in the layer. */
  readonly #written = new Set<number>();
  /** Pieces that are being brought up, so that it happens once. */
  readonly #rising = new Map<number, Promise<void>>();

  constructor({ below, bytesMax = Number.POSITIVE_INFINITY }: OverlayOptions) {
    this.sizeBytes = below.sizeBytes;
    this.blockSizeBytes = below.blockSizeBytes;
    this.#below = below;
    this.#piecesMax = bytesMax / pieceBytes;
    this.#layer = new MemoryDisk({
      sizeBytes: below.sizeBytes,
      blockSizeBytes: below.blockSizeBytes,
    });
    this.#gate = new CallGate("the overlay", this);
  }

  /** Memory that written blocks take. */
  get heldBytes(): number {
    return this.#written.size * pieceBytes;
  }

  read(offsetBytes: number, target: Uint8Array, options?: CallOptions): Promise<void> {
    const call = { kind: "read", offsetBytes, lengthBytes: target.byteLength } as const;
    return this.#gate.run(call, options, async () => {
      for (const { device, start, end } of this.#runs(offsetBytes, target.byteLength)) {
        const part = target.subarray(start - offsetBytes, end - offsetBytes);
        await device.read(start, part, options);
      }
    });
  }

  write(offsetBytes: number, data: Uint8Array, options?: CallOptions): Promise<void> {
    const call = { kind: "write", offsetBytes, lengthBytes: data.byteLength } as const;
    return this.#gate.run(call, options, async () => {
      await this.#raise(offsetBytes, data.byteLength, options);
      await this.#layer.write(offsetBytes, data, options);
    });
  }

  writeZeroes(offsetBytes: number, lengthBytes: number, options?: CallOptions): Promise<void> {
    const call = { kind: "zero", offsetBytes, lengthBytes } as const;
    return this.#gate.run(call, options, async () => {
      await this.#raise(offsetBytes, lengthBytes, options);
      await this.#layer.writeZeroes(offsetBytes, lengthBytes, options);
    });
  }

  /** What is written is gone with this object: there is nothing to make durable. */
  flush(options?: CallOptions): Promise<void> {
    return this.#gate.run({ kind: "flush" }, options, async () => {});
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#gate.close(async () => {
      await this.#layer[Symbol.asyncDispose]();
      await this.#below[Symbol.asyncDispose]();
    });
  }

  /** A range cut where the device changes that has the truth. */
  *#runs(
    offsetBytes: number,
    lengthBytes: number,
  ): Generator<{ device: BlockDevice; start: number; end: number }> {
    const end = offsetBytes + lengthBytes;
    for (let start = offsetBytes; start < end; ) {
      const isWritten = this.#written.has(Math.floor(start / pieceBytes));
      let stop = start;
      do stop = Math.min(end, (Math.floor(stop / pieceBytes) + 1) * pieceBytes);
      while (stop < end && this.#written.has(stop / pieceBytes) === isWritten);
      yield { device: isWritten ? this.#layer : this.#below, start, end: stop };
      start = stop;
    }
  }

  /** Brings up the pieces that a write touches. */
  async #raise(offsetBytes: number, lengthBytes: number, options?: CallOptions): Promise<void> {
    const end = offsetBytes + lengthBytes;
    for (let piece = Math.floor(offsetBytes / pieceBytes); piece * pieceBytes < end; piece++) {
      if (this.#written.has(piece)) continue;
      const start = piece * pieceBytes;
      const isCovered = start >= offsetBytes && start + pieceBytes <= end;
      await this.#raisePiece(piece, isCovered, options);
    }
  }

  /** A piece that is about to be written whole takes room, and nothing from below. */
  async #raisePiece(piece: number, isCovered: boolean, options?: CallOptions): Promise<void> {
    const underWay = this.#rising.get(piece);
    if (underWay) return await underWay;
    if (this.#written.size + this.#rising.size >= this.#piecesMax) {
      const used = `${this.heldBytes} bytes of it are taken`;
      throw new BlockError("no-space", `Cannot write to the overlay: ${used}. Give it more.`);
    }
    const rising = this.#bringUp(piece, isCovered, options);
    this.#rising.set(piece, rising);
    try {
      await rising;
    } finally {
      this.#rising.delete(piece);
    }
  }

  async #bringUp(piece: number, isCovered: boolean, options?: CallOptions): Promise<void> {
    const start = piece * pieceBytes;
    const length = Math.min(pieceBytes, this.sizeBytes - start);
    if (!isCovered) {
      const contents = new Uint8Array(length);
      await this.#below.read(start, contents, options);
      await this.#layer.write(start, contents);
    }
    this.#written.add(piece);
  }
}
