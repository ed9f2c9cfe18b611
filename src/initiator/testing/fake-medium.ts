/** What lies below a fake target: bytes with a volatile cache, or any BlockDevice. */

import { type BlockDevice, BlockError } from "../../block/index.ts";
import { type Command, datasetRange, type StatusName } from "../../nvme/index.ts";

/** How an I/O command ended: data for a read, a status for a failure, nothing for a success. */
export type FakeResult = Uint8Array | StatusName | undefined;

/** The bytes of a fake target's namespace. */
export class FakeMedium {
  disk: Uint8Array;
  /** What a restart leaves: the bytes as they were at the last flush. */
  readonly durable: Uint8Array;
  readonly #blockSizeBytes: number;
  readonly #device: BlockDevice | undefined;

  constructor(disk: Uint8Array, blockSizeBytes: number, device: BlockDevice | undefined) {
    this.disk = disk;
    this.durable = Uint8Array.from(disk);
    this.#blockSizeBytes = blockSizeBytes;
    this.#device = device;
  }

  /** Loses what was not flushed. */
  crash(): void {
    this.disk.set(this.durable);
  }

  /** Runs an I/O command; a promise only where there is a device below. */
  run(command: Command, data: Uint8Array): FakeResult | Promise<FakeResult> {
    if (this.#device) return runOn(this.#device, command, data, this.#blockSizeBytes);
    const { disk } = this;
    const size = this.#blockSizeBytes;
    if (command.name === "flush") {
      this.durable.set(disk);
      return undefined;
    }
    if (command.name === "datasetManagement") {
      for (const [at, length] of rangesOf(data, size)) disk.fill(0, at, at + length);
      return undefined;
    }
    if (!("slba" in command)) return "invalidOpcode";
    const at = Number(command.slba) * size;
    const end = at + command.nlb * size;
    if (command.name === "read") return disk.subarray(at, end);
    if (command.name === "compare") {
      return Buffer.compare(disk.subarray(at, end), data) === 0 ? undefined : "compareFailure";
    }
    if (command.name === "write") disk.set(data, at);
    else if (command.name === "writeZeroes") disk.fill(0, at, end);
    if (command.name !== "verify" && command.control.fua) {
      this.durable.set(disk.subarray(at, end), at);
    }
    return undefined;
  }
}

/** Offset and length in bytes of each range of Dataset Management. */
function rangesOf(data: Uint8Array, blockSizeBytes: number): [number, number][] {
  return Array.from({ length: data.length / datasetRange.size }, (_, n) => {
    const { slba, nlb } = datasetRange.decode(data, n * datasetRange.size);
    return [Number(slba) * blockSizeBytes, nlb * blockSizeBytes];
  });
}

const statusOfCode: Readonly<Record<BlockError["code"], StatusName>> = {
  range: "lbaOutOfRange",
  "read-only": "namespaceWriteProtected",
  medium: "unrecoveredRead",
  "no-space": "capacityExceeded",
  gone: "invalidNamespace",
  closed: "invalidNamespace",
};

async function runOn(
  device: BlockDevice,
  command: Command,
  data: Uint8Array,
  blockSizeBytes: number,
): Promise<FakeResult> {
  try {
    if (command.name === "flush") await device.flush();
    if (!("slba" in command)) return undefined;
    const at = Number(command.slba) * blockSizeBytes;
    const length = command.nlb * blockSizeBytes;
    if (command.name === "write") await device.write(at, data);
    else if (command.name === "writeZeroes") await device.writeZeroes(at, length);
    else {
      const target = new Uint8Array(length);
      await device.read(at, target);
      if (command.name === "read") return target;
    }
    return undefined;
  } catch (error) {
    if (error instanceof BlockError) return statusOfCode[error.code];
    throw error;
  }
}
