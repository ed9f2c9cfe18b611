/** A partition or a whole disk as the probes see it: bytes from its start, few of them read. */

import type { BlockDevice, CallOptions } from "../../block/index.ts";
import { readBytes } from "../read.ts";

/** Of each end, so much is read at once; what lies elsewhere is read by its exact range. */
const edgeBytes = 128 * 1024;

/** A range of a device. Reads outside it, and of sectors that the medium has lost, give nothing. */
export class Region {
  readonly sizeBytes: number;
  /** Whether a range inside was asked for that could not be read. */
  isUnreadable = false;
  readonly #device: BlockDevice;
  readonly #startBytes: number;
  readonly #options: CallOptions | undefined;
  readonly #edges = new Map<number, Promise<Uint8Array | undefined>>();

  constructor(device: BlockDevice, startBytes: number, sizeBytes: number, options?: CallOptions) {
    this.#device = device;
    this.#startBytes = startBytes;
    this.sizeBytes = Math.max(0, Math.min(sizeBytes, device.sizeBytes - startBytes));
    this.#options = options;
  }

  /**
   * `lengthBytes` at `offsetBytes` from the region's start.
   * @throws BlockError other than `medium`, as the device does.
   */
  async read(offsetBytes: number, lengthBytes: number): Promise<Uint8Array | undefined> {
    const end = offsetBytes + lengthBytes;
    if (!(offsetBytes >= 0 && end <= this.sizeBytes)) return undefined;
    const tail = Math.max(0, this.sizeBytes - edgeBytes);
    for (const start of [0, tail]) {
      if (offsetBytes < start || end > start + edgeBytes) continue;
      const edge = await this.#edge(start);
      if (edge) return edge.subarray(offsetBytes - start, end - start);
    }
    const found = await this.#fetch(offsetBytes, lengthBytes);
    if (!found) this.isUnreadable = true;
    return found;
  }

  #edge(start: number): Promise<Uint8Array | undefined> {
    let edge = this.#edges.get(start);
    if (!edge) {
      edge = this.#fetch(start, Math.min(edgeBytes, this.sizeBytes - start));
      this.#edges.set(start, edge);
    }
    return edge;
  }

  #fetch(offsetBytes: number, lengthBytes: number): Promise<Uint8Array | undefined> {
    return readBytes(this.#device, this.#startBytes + offsetBytes, lengthBytes, this.#options);
  }
}
