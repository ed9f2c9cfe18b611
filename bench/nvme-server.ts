/**
 * Our target as the bench serves it: one file, any host, on a free port of loopback.
 *
 * `node bench/nvme-server.ts PATH`; prints the port, ends with SIGTERM.
 */

import { FileDisk } from "../src/block/index.ts";
import { createTarget } from "../src/target/index.ts";
import { benchNqn, capsuleDataBytesMax, queueEntries } from "./nvme-loads.ts";

const [path = ""] = process.argv.slice(2);
const device = await FileDisk.open(path);
const running = createTarget({
  limits: { queueEntriesMax: queueEntries, capsuleDataBytesMax },
  subsystems: [
    {
      nqn: benchNqn,
      serial: "BENCH",
      hosts: "any",
      namespaces: [{ device, uuid: "5d6c8b1e-2f0a-4c39-9d57-6f1f0a3b7c21" }],
    },
  ],
});
const { port } = await running.listen({ port: 0 });
console.log(port);
process.once("SIGTERM", async () => {
  await running.close();
  await device[Symbol.asyncDispose]();
});
