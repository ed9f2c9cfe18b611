/** Digests of a disk's units, in the order of the ranges, out of a device that is read once. */
import { createHash } from "node:crypto";
import type { BlockDevice } from "../block/index.ts";
import {
  hashItemUnitsMax,
  type Params,
  type Result,
  RpcError,
  type UnitDigest,
} from "../rpc/index.ts";

/** One read; units are cut into these. */
const pieceBytes = 1024 * 1024;

/** What to hash. */
export type HashRequest = Pick<Params<"hash">, "disk" | "ranges" | "unitBytes">;

/**
 * Reads and hashes. At most `hashItemUnitsMax` digests and about a second's worth of reading are
 * held back before they are sent.
 * @throws RpcError `range` before anything is read; what the device rejects with.
 */
export async function hashRanges(
  device: BlockDevice,
  { disk, ranges, unitBytes }: HashRequest,
  send: (item: { readonly units: UnitDigest[] }) => Promise<void>,
  signal: AbortSignal,
): Promise<Result<"hash">> {
  checkRanges(device, disk, ranges, unitBytes);
  const buffer = new Uint8Array(Math.min(pieceBytes, unitBytes));
  let held: UnitDigest[] = [];
  let heldBytes = 0;
  const sum = { units: 0, bytes: 0 };
  const flush = async (): Promise<void> => {
    const units = held;
    held = [];
    heldBytes = 0;
    if (units.length > 0) await send({ units });
  };
  for (const { offsetBytes, lengthBytes } of ranges) {
    const end = offsetBytes + lengthBytes;
    for (let at = offsetBytes; at < end; at += unitBytes) {
      const length = Math.min(unitBytes, end - at);
      held.push({
        offsetBytes: at,
        lengthBytes: length,
        sha256: await hashUnit(device, at, length, buffer, signal),
      });
      heldBytes += length;
      sum.units += 1;
      sum.bytes += length;
      if (held.length >= hashItemUnitsMax || heldBytes >= heldBytesMax) await flush();
    }
  }
  await flush();
  return sum;
}

/** Digests of this much are sent together: often enough to show progress. */
const heldBytesMax = 32 * 1024 * 1024;

async function hashUnit(
  device: BlockDevice,
  offsetBytes: number,
  lengthBytes: number,
  buffer: Uint8Array,
  signal: AbortSignal,
): Promise<string> {
  const hash = createHash("sha256");
  for (let done = 0; done < lengthBytes; ) {
    signal.throwIfAborted();
    const part = buffer.subarray(0, Math.min(buffer.length, lengthBytes - done));
    await device.read(offsetBytes + done, part, { signal });
    hash.update(part);
    done += part.length;
  }
  return hash.digest("hex");
}

function checkRanges(
  device: BlockDevice,
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
