/**
 * A box as whoever stands in front of it has it, in access mode `local`: keys of its keyboard, and
 * what its screen shows; the network gets nothing before somebody has pressed L.
 */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { open, readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import decodeQR from "qr/decode.js";
import { connectController } from "../../src/initiator/index.ts";
import { makeScratchDisk, makeScratchFolder, startVm, type Vm } from "../../src/vm/index.ts";
import { boot, build, Exports, openShell, patience, readState, stickOf } from "../driver-box.ts";
import { Control } from "../driver-control.ts";
import { makeSshKey, Ssh, type SshKey } from "../driver-ssh.ts";

const mebibyte = 1024 * 1024;
/** One a second; the code itself stands for a minute. */
const codeLooksMax = 50;
const owned = new AsyncDisposableStack();
let folder = "";
let box: Vm;
let key: SshKey;
let exports: Exports;
let diskPath = "";

before(async () => {
  folder = owned.use(await makeScratchFolder()).path;
  key = owned.use(await makeSshKey());
  await build("diskomator", folder, { authorizedKeys: [key.publicKey] });
  diskPath = owned.use(await makeScratchDisk(64 * mebibyte)).path;
  box = owned.use(
    await startVm({
      name: "box",
      memoryMiB: 768,
      extraKernelCommandLine: "diskomator.access=local",
      disks: [
        stickOf(folder, "diskomator"),
        { id: "nvme", kind: "nvme", path: diskPath, serial: "LOCAL-NVME" },
      ],
      nics: [{ network: { kind: "user", isolated: true } }],
    }),
  );
  exports = await Exports.of(box);
  await box.waitForSerial(/LOCAL-NVME +exported/, boot);
});

after(() => owned.disposeAsync());

/** Presses a key until the box has done what it stands for: it takes none while it boots. */
async function press(key: string, isDone: () => Promise<boolean>): Promise<void> {
  for (const late = AbortSignal.timeout(boot.timeoutMs); !late.aborted; ) {
    await box.qmp.execute("send-key", { keys: [{ type: "qcode", data: key }] });
    for (let looks = 0; looks < 20; looks++) {
      if (await isDone()) return;
      await sleep(1000);
    }
  }
  assert.fail(`The key ${key} does nothing:\n${box.serialLastLines()}`);
}

/** The text of the QR code on the box's screen; null when there is none. */
async function readCode(): Promise<string | null> {
  const filename = join(folder, "screen.ppm");
  await box.qmp.execute("screendump", { filename });
  const picture = await readFile(filename);
  const head = /^P6\s+(\d+)\s+(\d+)\s+255\s/.exec(picture.toString("latin1", 0, 64));
  assert(head, "QEMU writes portable pixmaps");
  const [width, height] = [Number(head[1]), Number(head[2])];
  try {
    return decodeQR({ width, height, data: picture.subarray(head[0].length) });
  } catch {
    return null;
  }
}

const canLogIn = async (): Promise<boolean> => {
  const shell = await Ssh.of(box, key);
  const options = ["-oConnectTimeout=5", "-oControlPath=none"];
  return (await shell.run("true", options)).code === 0;
};

test("C shows a connect line to whoever stands there, as a code that phones read, for a minute", async () => {
  assert.deepEqual(await exports.nqns(), []);
  const granted = /Granted: nvme0n1 \(rw\) to whoever stood in front of the screen/;
  await press("c", async () => granted.test(box.serial));
  // The grant is told of before its code is painted.
  let line = await readCode();
  for (let looks = 0; line === null && looks < codeLooksMax; looks++) {
    await sleep(1000);
    line = await readCode();
  }
  assert(line !== null, "there is no code on the screen");
  const words = /^nvme connect -t tcp -a 10\.0\.2\.15 -s 4420 -n (\S+) -q (\S+) -S (DHHC-1:\S+)$/;
  const [, subsystemNqn = "", hostNqn = "", secret = ""] = words.exec(line) ?? [];
  assert.match(subsystemNqn, /LOCAL-NVME/, line);

  const port = await box.forward(4420);
  const where = { host: "127.0.0.1", port, subsystemNqn, ioQueues: 1, ...patience };
  await assert.rejects(connectController({ ...where, hostNqn }), "a name is not enough");
  const authentication = { secret };
  await using controller = await connectController({ ...where, hostNqn, authentication });
  await using disk = await controller.openNamespace(1);
  const data = randomBytes(65536);
  await disk.write(mebibyte, data);
  await disk.flush();
  await using file = await open(diskPath);
  const found = Buffer.alloc(data.length);
  await file.read(found, 0, found.length, mebibyte);
  assert.ok(found.equals(data));

  for (const late = AbortSignal.timeout(boot.timeoutMs); (await readCode()) !== null; ) {
    assert.ok(!late.aborted, "the code stays on the screen");
    await sleep(2000);
  }
  assert.doesNotMatch(box.serial, /DHHC-1|NVMeTLSkey/);
  assert.equal(await canLogIn(), false);
});

test("L lets hosts in that have the key, and no others", async () => {
  await press("l", canLogIn);
  const shell = await openShell(box, key);
  await using control = await Control.ready(shell);
  const { client } = control;
  assert.equal((await readState(shell)).access, "local");
  const { events } = await client.call("log", {});
  assert.ok(events.some(({ event }) => event === "let-in"));
  const hostnqn = "nqn.2014-08.org.nvmexpress:uuid:7d1e68ce-8f6d-4c1d-9b6a-4e3a5f2c9ba1";
  const wish = { hostnqn, disks: ["LOCAL-NVME"], mode: "rw", seconds: 60 } as const;
  const ask = () => client.call("grant", { ...wish, disks: [...wish.disks] });
  // What was let in at the screen has the disk still, and nobody may write beside it.
  await assert.rejects(ask, /whoever stood in front of the screen has it as "rw" \(grant g1, /);
  await client.call("revoke", { grant: "g1" });
  const access = await ask();
  assert.match(access.secrets.host, /^DHHC-1/);
  assert.deepEqual(await exports.nqns(), []);
});
