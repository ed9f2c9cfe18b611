/** What goes wrong below a target, and the status that hosts see of it. */

import assert from "node:assert/strict";
import { mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import {
  type BlockDevice,
  BlockError,
  type BlockErrorCode,
  FileDisk,
  faultyDisk,
  MemoryDisk,
} from "../block/index.ts";
import { broadcastNsid, type Command, command, logPage, smartLog } from "../nvme/index.ts";
import { pattern, type SendOptions, type TestQueue } from "./testing/host.ts";
import { makeTarget } from "./testing/make.ts";

const nsid = 1;
const { control } = command("write");
const zeros = new Uint8Array(4096);

/** Commands of eight blocks, by whether they read or change; a fused pair is tested elsewhere. */
const operations: Readonly<
  Record<
    string,
    { readonly value: Command; readonly options: SendOptions; readonly reads: boolean }
  >
> = {
  read: { value: command("read", { nsid, nlb: 8 }), options: { readBytes: 4096 }, reads: true },
  compare: { value: command("compare", { nsid, nlb: 8 }), options: { data: zeros }, reads: true },
  verify: { value: command("verify", { nsid, nlb: 8 }), options: {}, reads: true },
  write: { value: command("write", { nsid, nlb: 8 }), options: { data: zeros }, reads: false },
  "write by R2T": {
    value: command("write", { nsid, nlb: 8 }),
    options: { data: zeros, inCapsule: false },
    reads: false,
  },
  "durable write": {
    value: command("write", { nsid, nlb: 8, control: { ...control, fua: true } }),
    options: { data: zeros },
    reads: false,
  },
  "write zeroes": { value: command("writeZeroes", { nsid, nlb: 8 }), options: {}, reads: false },
  flush: { value: command("flush", { nsid }), options: {}, reads: false },
};

const statuses: Readonly<Record<BlockErrorCode, readonly [read: string, change: string, boolean]>> =
  {
    medium: ["unrecoveredRead", "writeFault", true],
    "no-space": ["capacityExceeded", "capacityExceeded", true],
    gone: ["namespaceNotReady", "namespaceNotReady", false],
    closed: ["namespaceNotReady", "namespaceNotReady", false],
    "read-only": ["namespaceWriteProtected", "namespaceWriteProtected", true],
    range: ["lbaOutOfRange", "lbaOutOfRange", true],
  };

for (const [code, [read, change, dnr]] of Object.entries(statuses)) {
  test(`a fault ${code} below has its status for every command, and the queue goes on`, async () => {
    const disk = faultyDisk(new MemoryDisk({ sizeBytes: 2 ** 20 }));
    const { open } = makeTarget(disk);
    const { io } = await open();
    for (const [name, { value, options, reads }] of Object.entries(operations)) {
      disk.inject({ kind: "fail", code: code as BlockErrorCode });
      const failed = await io[0]!.send(value, options);
      const wanted = { status: reads ? read : change, dnr };
      assert.deepEqual({ status: failed.status, dnr: failed.dnr }, wanted, name);
      disk.heal();
      assert.equal((await io[0]!.send(value, options)).status, "success", name);
    }
  });
}

test("a range that is partly bad fails as a whole, and is counted in SMART and the error log", async () => {
  const disk = faultyDisk(new MemoryDisk({ sizeBytes: 2 ** 20 }));
  const { open, target } = makeTarget(disk);
  const { admin, io } = await open();
  let errors = 0;
  for (const [name, { value, options, reads }] of Object.entries(operations)) {
    if (name === "flush") continue;
    disk.inject({ kind: "short", firstLba: 5, lastLba: 5 });
    const { status } = await io[0]!.send(value, options);
    assert.equal(status, reads ? "unrecoveredRead" : "writeFault", name);
    errors++;
    disk.heal();
  }
  const get = command("getLogPage", { lid: logPage.smart, numd: 128, nsid: broadcastNsid });
  const smart = smartLog.decode((await admin.send(get, { readBytes: 512 })).data);
  assert.deepEqual([smart.mediaErrors, smart.errorLogEntries], [BigInt(errors), BigInt(errors)]);
  const { failures } = target.statistics().namespaces[0]!.counts.write;
  assert.equal(failures, 3);
});

test("a disk that goes and comes back is there for hosts again, and others do not notice", async () => {
  const disk = faultyDisk(new MemoryDisk({ sizeBytes: 2 ** 20 }));
  const other = new MemoryDisk({ sizeBytes: 2 ** 20 });
  const uuids = ["1", "2"].map((digit) => `0000000${digit}-0000-4000-8000-000000000000`);
  const namespaces = [disk, other].map((device, index) => ({ device, uuid: uuids[index]! }));
  const { open } = makeTarget(undefined, { namespaces });
  const { io } = await open();
  disk.inject({ kind: "gone" });
  for (const { value, options } of Object.values(operations)) {
    const { status, dnr } = await io[0]!.send(value, options);
    assert.deepEqual([status, dnr], ["namespaceNotReady", false]);
    const beside = await io[0]!.send({ ...value, nsid: 2 }, options);
    assert.equal(beside.status, "success");
  }
  disk.heal();
  const { value, options } = operations.read!;
  assert.equal((await io[0]!.send(value, options)).status, "success");
});

test("a slow disk holds up its own commands only", async () => {
  const gate = Promise.withResolvers<void>();
  const slow = faultyDisk(new MemoryDisk({ sizeBytes: 2 ** 20 }), {
    kind: "slow",
    until: () => gate.promise,
    times: 4,
  });
  const quick = new MemoryDisk({ sizeBytes: 2 ** 20 });
  const namespaces = [slow, quick].map((device, index) => ({
    device,
    uuid: `0000000${index + 1}-0000-4000-8000-000000000000`,
  }));
  const { open, target, clock } = makeTarget(undefined, { namespaces });
  const { io, admin } = await open({ katoMs: 5000 });
  const queue = io[0]!;
  const waiting = [1, 2, 3, 4].map((n) => sendTo(queue, 1, n));
  for (let n = 0; n < 20; n++) assert.equal((await sendTo(queue, 2, n)).status, "success");
  clock.nowMs += 4000;
  assert.equal((await admin.send(command("keepAlive"))).status, "success");
  clock.nowMs += 4000;
  target.tick(clock.nowMs);
  assert.ok(!queue.isEnded, "a host that is alive is not disconnected for its disk");
  gate.resolve();
  for (const { status } of await Promise.all(waiting)) assert.equal(status, "success");
});

/** A disk whose direct calls take half a minute each, as those of a disk with bad sectors do. */
class StuckDisk extends MemoryDisk {
  clock = { nowMs: 0 };
  calls = 0;
  isBad = false;

  override readNow(...call: Parameters<MemoryDisk["readNow"]>): void {
    this.#standStill();
    super.readNow(...call);
  }

  override writeNow(...call: Parameters<MemoryDisk["writeNow"]>): void {
    this.#standStill();
    super.writeNow(...call);
  }

  #standStill(): void {
    this.calls++;
    this.clock.nowMs += 30_000;
    if (this.isBad) throw new BlockError("medium", "a bad sector");
  }
}

for (const name of ["read", "bad read", "write", "long read", "long bad read"]) {
  test(`a slow disk holds up its own commands only, direct calls or not: ${name}`, async () => {
    const disk = new StuckDisk({ sizeBytes: 2 ** 21 });
    const { open, clock } = makeTarget(disk);
    const { io } = await open({ katoMs: 0 });
    Object.assign(disk, { clock, isBad: name.includes("bad") });
    for (let n = 0; n < 200; n++) {
      clock.nowMs += 5;
      const nlb = name.startsWith("long") ? 2048 : 8;
      const range = { nsid, slba: BigInt(n), nlb };
      const reply =
        name === "write"
          ? io[0]!.send(command("write", range), { data: pattern(nlb * 512) })
          : io[0]!.send(command("read", range), { readBytes: nlb * 512 });
      const wanted = disk.isBad && n === 0 ? "unrecoveredRead" : "success";
      assert.equal((await reply).status, wanted);
    }
    assert.equal(disk.calls, 1);
  });
}

function sendTo(queue: TestQueue, to: number, block: number) {
  if (block % 2 === 0) {
    const read = command("read", { nsid: to, slba: BigInt(block), nlb: 1 });
    return queue.send(read, { readBytes: 512 });
  }
  const write = command("write", { nsid: to, slba: BigInt(block), nlb: 1 });
  return queue.send(write, { data: pattern(512) });
}

test("a file that became shorter is an unrecovered read, however it is read", async () => {
  const folder = await mkdtemp(join(tmpdir(), "diskomator-faults-"));
  try {
    const path = join(folder, "disk");
    await writeFile(path, new Uint8Array(2 ** 20));
    await using file = await FileDisk.open(path);
    const { open } = makeTarget(file);
    const { io } = await open();
    await truncate(path, 2048);
    const direct = command("read", { nsid, nlb: 8 });
    assert.equal((await io[0]!.send(direct, { readBytes: 4096 })).status, "unrecoveredRead");
    const long = command("read", { nsid, nlb: 2048 });
    assert.equal((await io[0]!.send(long, { readBytes: 2 ** 20 })).status, "unrecoveredRead");
    const { value } = operations.verify!;
    assert.equal((await io[0]!.send(value)).status, "unrecoveredRead");
    const start = command("read", { nsid, nlb: 4 });
    assert.equal((await io[0]!.send(start, { readBytes: 2048 })).status, "success");
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("what a device throws that is no fault of the world is an internal error, and no end", async () => {
  const inner = new MemoryDisk({ sizeBytes: 2 ** 20 });
  const broken: BlockDevice = {
    sizeBytes: inner.sizeBytes,
    blockSizeBytes: 512,
    readOnly: false,
    read: () => Promise.reject(new TypeError("a mistake")),
    write: () => Promise.reject(new TypeError("a mistake")),
    writeZeroes: () => Promise.reject(new TypeError("a mistake")),
    flush: () => Promise.reject(new TypeError("a mistake")),
    [Symbol.asyncDispose]: () => inner[Symbol.asyncDispose](),
  };
  const { open } = makeTarget(broken);
  const { io } = await open();
  for (const [name, { value, options }] of Object.entries(operations)) {
    const { status, dnr } = await io[0]!.send(value, options);
    assert.deepEqual([status, dnr], ["internalError", false], name);
  }
});
