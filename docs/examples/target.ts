/** A target in a program: serves a file to the hosts of this machine until Ctrl-C. */
import { once } from "node:events";
import { FileDisk } from "diskomator/block";
import { createTarget } from "diskomator/target";

const [path = "disk.img", port = "4420"] = process.argv.slice(2);
const nqn = "nqn.2026-11.org.example:disk";
const uuid = "0f7d9a54-3c1e-4b7a-9a3e-6d2f8c1b5e90";

await using device = await FileDisk.open(path);
await using running = createTarget({
  subsystems: [{ nqn, serial: "42", hosts: "any", namespaces: [{ device, uuid }] }],
});
const listener = await running.listen({ port: Number(port) });
console.log(`${nqn} at ${listener.host} port ${listener.port}`);
await once(process, "SIGINT");
