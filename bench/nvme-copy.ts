/**
 * Our host as nbdcopy: one pass over a disk with requests of 1 MiB, on one connection.
 *
 * `node bench/nvme-copy.ts ORDER`, a CopyOrder as JSON; prints `{ bytes, seconds }`. The time
 * begins before it connects.
 */

import { FileDisk } from "../src/block/index.ts";
import { connectController } from "../src/initiator/index.ts";
import { benchNqn, type CopyOrder } from "./nvme-loads.ts";

const requestBytes = 2 ** 20;
const underWay = 8;

const order: CopyOrder = JSON.parse(process.argv[2] ?? "{}");
const startMs = performance.now();
await using source = await FileDisk.open(order.path, { readOnly: true });
await using controller = await connectController({
  host: "127.0.0.1",
  port: order.port,
  subsystemNqn: benchNqn,
});
await using disk = await controller.openNamespace(1);

let nextBytes = 0;
/** Takes the next piece again and again, through a buffer of its own. */
async function copyPieces(): Promise<void> {
  const buffer = Buffer.allocUnsafeSlow(requestBytes);
  while (nextBytes < disk.sizeBytes) {
    const offsetBytes = nextBytes;
    nextBytes += requestBytes;
    const piece = buffer.subarray(0, Math.min(requestBytes, disk.sizeBytes - offsetBytes));
    if (order.kind === "read") await disk.read(offsetBytes, piece);
    else {
      source.readNow(offsetBytes, piece, 0, piece.length);
      await disk.write(offsetBytes, piece);
    }
  }
}
await Promise.all(Array.from({ length: underWay }, copyPieces));
const seconds = (performance.now() - startMs) / 1000;
console.log(JSON.stringify({ bytes: disk.sizeBytes, seconds }));
