/** Digests of a disk's units, in the order of the ranges, as threads read and hash them. */
import { type DigestedRange, type DigestRange, digestBytes } from "../block/index.ts";
import { hashItemUnitsMax, type Item, type Params, type Result, RpcError } from "../rpc/index.ts";

/** What to hash. */
export type HashRequest = Pick<Params<"hash">, "disk" | "ranges" | "unitBytes">;

/** A disk that can be hashed; disposal ends the threads. */
export interface HashedDisk extends AsyncDisposable {
  readonly sizeBytes: number;
  readonly blockSizeBytes: number;
  /** See `Digester`. */
  digest(
    ranges: readonly DigestRange[],
    unitBytes: number,
    options: { readonly signal: AbortSignal },
  ): AsyncIterable<DigestedRange>;
}

/**
 * Hashes, and sends as it goes.
 * @throws RpcError `range` before anything is read; what the disk rejects with.
 */
export async function hashRanges(
  device: HashedDisk,
  { disk, ranges, unitBytes }: HashRequest,
  send: (item: Item<"hash">) => Promise<void>,
  signal: AbortSignal,
): Promise<Result<"hash">> {
  checkRanges(device, disk, ranges, unitBytes);
  const sum = { units: 0, bytes: 0 };
  for await (const found of device.digest(ranges, unitBytes, { signal })) {
    const units = found.digests.byteLength / digestBytes;
    for (let done = 0; done < units; done += hashItemUnitsMax) {
      const end = Math.min(units, done + hashItemUnitsMax) * digestBytes;
      const part = found.digests.subarray(done * digestBytes, end);
      await send({
        offsetBytes: found.offsetBytes + done * unitBytes,
        digests: Buffer.from(part.buffer, part.byteOffset, part.byteLength).toString("base64"),
      });
    }
    sum.units += units;
    sum.bytes += found.lengthBytes;
  }
  return sum;
}

function checkRanges(
  device: HashedDisk,
  disk: string,
  ranges: HashRequest["ranges"],
  unitBytes: number,
): void {
  const { sizeBytes, blockSizeBytes } = device;
  const isWhole = (bytes: number) => bytes % blockSizeBytes === 0;
  if (!isWhole(unitBytes)) {
    const message = `A unit of ${unitBytes} bytes is not in whole blocks of ${disk}: ${blockSizeBytes} bytes.`;
    throw new RpcError("range", message, { disk, unitBytes, blockSizeBytes });
  }
  for (const { offsetBytes, lengthBytes } of ranges) {
    const isInside = offsetBytes + lengthBytes <= sizeBytes;
    if (isInside && isWhole(offsetBytes) && isWhole(lengthBytes)) continue;
    throw new RpcError(
      "range",
      `Cannot hash ${lengthBytes} bytes from ${offsetBytes} of ${disk}, which has ${sizeBytes} ` +
        `bytes in blocks of ${blockSizeBytes}.`,
      { disk, offsetBytes, lengthBytes, sizeBytes, blockSizeBytes },
    );
  }
}
