/** Reading a disk from a program: lists the disks of a target, and shows how each one begins. */
import { connectController, discover } from "diskomator/initiator";

const [host = "127.0.0.1", port = "4420"] = process.argv.slice(2);

for (const entry of await discover({ host, port: Number(port) })) {
  if (entry.subject !== "subsystem" || entry.transport !== "tcp") continue;
  const { subsystemNqn } = entry;
  await using controller = await connectController({ ...entry.advertised, subsystemNqn });
  for (const { nsid } of await controller.namespaces()) {
    await using disk = await controller.openNamespace(nsid);
    const block = Buffer.alloc(disk.blockSizeBytes);
    await disk.read(0, block);
    console.log(subsystemNqn, nsid, disk.sizeBytes, block.toString("hex", 0, 16));
  }
}
