/**
 * Our target over a disk that forgets what is written: the remote end of `> /dev/null`.
 *
 * `node bench/flash-sink.ts BYTES`; prints the port, ends with SIGTERM.
 */

import type { BlockDevice } from "../src/block/index.ts";
import { createTarget } from "../src/target/index.ts";
import { benchNqn } from "./nvme-loads.ts";

const device: BlockDevice = {
  sizeBytes: Number(process.argv[2]),
  blockSizeBytes: 512,
  readOnly: false,
  read: async (_, target) => {
    target.fill(0);
  },
  write: async () => {},
  writeZeroes: async () => {},
  flush: async () => {},
  [Symbol.asyncDispose]: async () => {},
};
const namespaces = [{ device, uuid: "5d6c8b1e-2f0a-4c39-9d57-6f1f0a3b7c22" }];
const running = createTarget({
  subsystems: [{ nqn: benchNqn, serial: "BENCH", hosts: "any", namespaces }],
});
const { port } = await running.listen({ port: 0 });
console.log(port);
process.once("SIGTERM", () => running.close());
