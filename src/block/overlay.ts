/** A disk over another one: writes stay in memory, and the one below as it was. */

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

/** What is held or absent at once; a write of less brings the whole piece up from below first. */
const pieceBytes = 64 * 1024;

/**
 * A BlockDevice whose writes never reach the one below.
 *
 * A write waits only before it changes anything: for room, and for what it needs from below. Then
 * the layer takes it, and its pieces become the layer's, in one step that no other call can see a
 * part of: a write that is rejected has changed nothing.
 */
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
  /** Pieces that calls under way will add to those, and for how many calls. */
  readonly #claimed = new Map<number, number>();
  /** Pieces that are being brought up, so that it happens once. */
  readonly #rising = new Map<number, Promise<void>>();

  constructor({ below, bytesMax = Number.POSITIVE_INFINITY }: OverlayOptions) {
    this.sizeBytes = below.sizeBytes;
    this.blockSizeBytes = below.blockSizeBytes;
    this.#below = below;
    this.#piecesMax = Math.floor(bytesMax / pieceBytes);
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
    return this.#gate.run(call, options, () =>
      this.#change(offsetBytes, data.byteLength, options, () =>
        this.#layer.writeNow(offsetBytes, data, 0, data.byteLength),
      ),
    );
  }

  writeZeroes(offsetBytes: number, lengthBytes: number, options?: CallOptions): Promise<void> {
    const call = { kind: "zero", offsetBytes, lengthBytes } as const;
    return this.#gate.run(call, options, () =>
      this.#change(offsetBytes, lengthBytes, options, () =>
        this.#layer.zeroNow(offsetBytes, lengthBytes),
      ),
    );
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

  /** Takes room for the pieces of a range, brings up those at its ends, then changes it at once. */
  async #change(
    offsetBytes: number,
    lengthBytes: number,
    options: CallOptions | undefined,
    change: () => void,
  ): Promise<void> {
    const end = offsetBytes + lengthBytes;
    const claimed: number[] = [];
    try {
      for (let piece = Math.floor(offsetBytes / pieceBytes); piece * pieceBytes < end; piece++) {
        if (this.#written.has(piece)) continue;
        this.#claim(piece);
        claimed.push(piece);
      }
      for (const piece of claimed) {
        const { start, lengthBytes } = this.#extentOf(piece);
        const isCovered = start >= offsetBytes && start + lengthBytes <= end;
        if (!isCovered) await this.#raise(piece, options);
      }
      change();
      for (const piece of claimed) this.#hold(piece);
    } finally {
      for (const piece of claimed) this.#release(piece);
    }
  }

  /** @throws BlockError `no-space` when the piece finds no room. */
  #claim(piece: number): void {
    const count = this.#claimed.get(piece) ?? 0;
    if (count === 0 && this.#written.size + this.#claimed.size >= this.#piecesMax) {
      const room = `${this.#piecesMax * pieceBytes} bytes of memory are taken`;
      throw new BlockError("no-space", `Cannot write to the overlay: its ${room}. Give it more.`);
    }
    this.#claimed.set(piece, count + 1);
  }

  #release(piece: number): void {
    const count = this.#claimed.get(piece) ?? 0;
    if (count > 1) this.#claimed.set(piece, count - 1);
    else this.#claimed.delete(piece);
  }

  /** Resolves when the piece's truth is in the layer, whichever call brought it there. */
  async #raise(piece: number, options?: CallOptions): Promise<void> {
    while (!this.#written.has(piece)) {
      const underWay = this.#rising.get(piece);
      if (underWay) {
        // What ends another call, such as its signal, ends not this one: it tries for itself.
        await underWay.catch(() => {});
        options?.signal?.throwIfAborted();
        continue;
      }
      const rising = this.#bringUp(piece, options).finally(() => this.#rising.delete(piece));
      this.#rising.set(piece, rising);
      await rising;
    }
  }

  async #bringUp(piece: number, options?: CallOptions): Promise<void> {
    const { start, lengthBytes } = this.#extentOf(piece);
    const contents = new Uint8Array(lengthBytes);
    await this.#below.read(start, contents, options);
    // A write of the whole piece may have been quicker.
    if (this.#written.has(piece)) return;
    this.#layer.writeNow(start, contents, 0, lengthBytes);
    this.#hold(piece);
  }

  /** From here on the piece's truth is in the layer, and takes its room for good. */
  #hold(piece: number): void {
    this.#written.add(piece);
    this.#claimed.delete(piece);
  }

  #extentOf(piece: number): { start: number; lengthBytes: number } {
    const start = piece * pieceBytes;
    return { start, lengthBytes: Math.min(pieceBytes, this.sizeBytes - start) };
  }
}
