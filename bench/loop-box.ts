/**
 * A box of `loop.ts` as a process: a file as its disk behind our target, sessions on a loopback port.
 * It prints that port; for each line on its input it prints what was written to the disk so far.
 */

import { createInterface } from "node:readline";
import { openHashed } from "../src/appliance/index.ts";
import { type BlockDevice, FileDisk } from "../src/block/index.ts";
import { startBoxOf } from "../test/driver-fake-box.ts";

const [path = "", serial = ""] = process.argv.slice(2);
const written = { bytes: 0, zeroBytes: 0 };
await using disk = await FileDisk.open(path);
await using box = await startBoxOf([
  { name: "nvme0n1", serial, device: counted(disk), openHashed: () => openHashed(path) },
]);
console.log(box.port);
for await (const _ of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(written));
}

/** The same disk, which counts. */
function counted(device: FileDisk): BlockDevice {
  const count: Partial<Record<string | symbol, (...args: number[]) => void>> = {
    writeNow: (_at, _data, _from, length = 0) => {
      written.bytes += length;
    },
    writeZeroes: (_at, length = 0) => {
      written.zeroBytes += length;
    },
  };
  return new Proxy(device, {
    get(_, name) {
      const value: unknown = Reflect.get(device, name, device);
      if (typeof value !== "function") return value;
      return (...args: never[]) => {
        if (name === "write") written.bytes += (args[1] as unknown as Uint8Array).byteLength;
        else count[name]?.(...args);
        return (value as (...all: never[]) => unknown).apply(device, args);
      };
    },
  });
}
