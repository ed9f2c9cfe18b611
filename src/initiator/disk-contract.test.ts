import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type BlockErrorCode,
  blockDeviceContract,
  faultyDisk,
  type MakeDisk,
  MemoryDisk,
} from "../block/index.ts";
import { InitiatorError } from "./index.ts";
import type { FakeCall, FakeOptions } from "./testing/fake-target.ts";
import { openLasting } from "./testing/lasting.ts";
import { open, pattern, settle } from "./testing/open.ts";

const makers: Record<string, (behaviour: FakeOptions) => MakeDisk> = {
  "RemoteDisk over bytes": (behaviour) => async (wanted) => {
    const isReadOnly = wanted.readOnly;
    const { controller, target } = await open({ ...wanted, isReadOnly, ...behaviour });
    target.disk.set(wanted.contents);
    return controller.openNamespace(1);
  },
  "RemoteDisk over a device": (behaviour) => async (wanted) => {
    const device = faultyDisk(new MemoryDisk({ ...wanted, readOnly: false }));
    const isReadOnly = wanted.readOnly;
    const { controller } = await open({ ...wanted, isReadOnly, device, ...behaviour });
    return controller.openNamespace(1);
  },
};
const behaviours: Record<string, FakeOptions> = {
  "in one piece": {},
  "in small pieces": { mdts: 1, maxh2cdata: 4096, r2tBytes: 3000, c2hBytes: 1000, ioccsz: 4 },
};

for (const [name, make] of Object.entries(makers)) {
  for (const [how, behaviour] of Object.entries(behaviours)) {
    for (const { title, run } of blockDeviceContract) {
      test(`${name} ${how} ${title}`, () => run(make(behaviour)));
    }
  }
}

test("RemoteDisk shows a fault below by its code, and goes on after it", async () => {
  const codes: readonly BlockErrorCode[] = ["medium", "no-space", "gone", "read-only", "range"];
  for (const code of codes) {
    const device = faultyDisk(new MemoryDisk({ sizeBytes: 1024 * 1024 }));
    const { controller } = await open({ device });
    const disk = await controller.openNamespace(1);
    for (const on of ["read", "write", "zero", "flush"] as const) {
      device.inject({ kind: "fail", code, on: [on], times: 1 });
      const calls = {
        read: () => disk.read(0, new Uint8Array(4096)),
        write: () => disk.write(0, pattern(65536)),
        zero: () => disk.writeZeroes(0, 4096),
        flush: () => disk.flush(),
      };
      await assert.rejects(calls[on](), { name: "BlockError", code }, `${on} ${code}`);
      await calls[on]();
    }
    device.inject({ kind: "short", firstLba: 4, lastLba: 4, times: 1 });
    await assert.rejects(disk.read(0, new Uint8Array(8192)), { code: "medium" });
    await controller.close();
  }
});

test("RemoteDisk waits for a slow device, and the first failure of many pieces is told", async () => {
  const gate = Promise.withResolvers<void>();
  const device = faultyDisk(new MemoryDisk({ sizeBytes: 1024 * 1024 }));
  const { controller } = await open({ device, mdts: 1 });
  const disk = await controller.openNamespace(1);
  device.inject({ kind: "slow", until: () => gate.promise, times: 3 });
  const reading = disk.read(0, new Uint8Array(1024 * 1024));
  await settle();
  gate.resolve();
  await reading;
  device.inject({ kind: "fail", code: "medium", on: ["read"], firstLba: 100, lastLba: 100 });
  await assert.rejects(disk.read(0, new Uint8Array(1024 * 1024)), { code: "medium" });
  device.inject({ kind: "gone" });
  await assert.rejects(disk.flush(), { code: "gone" });
  await controller.close();
});

test("RemoteDisk.deallocate frees ranges where that leaves zeros, and else only when it may", async () => {
  const able = await open({ hasAllCommands: true });
  able.target.disk.fill(1);
  const disk = await able.controller.openNamespace(1);
  assert.deepEqual(disk.abilities, {
    writeZeroes: true,
    deallocate: true,
    compare: true,
    verify: true,
  });
  await disk.deallocate(4096, 8192);
  assert.equal(able.target.disk.indexOf(0), 4096);
  assert.equal(able.target.disk.indexOf(1, 4096), 12288);
  await assert.rejects(disk.deallocate(1, 512), { code: "range" });
  await able.controller.close();
  const silent = await open({});
  const other = await silent.controller.openNamespace(1);
  await other.deallocate(0, 4096, { contents: "any" });
  assert.ok(!silent.target.seen.includes("datasetManagement"));
  await silent.controller.close();
});

test("RemoteDisk.compare says whether a range holds data, with and without the command", async () => {
  for (const hasAllCommands of [true, false]) {
    const { target, controller } = await open({ hasAllCommands, mdts: 1 });
    const disk = await controller.openNamespace(1);
    target.disk.set(pattern(40960), 512);
    assert.equal(await disk.compare(512, pattern(40960)), true);
    assert.equal(await disk.compare(1024, pattern(40960)), false);
    assert.equal(target.seen.includes("compare"), hasAllCommands);
    assert.equal(target.seen.includes("read"), !hasAllCommands);
    await controller.close();
  }
});

test("RemoteDisk.verify lets the controller read, and says where it cannot", async () => {
  const able = await open({ hasAllCommands: true });
  const disk = await able.controller.openNamespace(1);
  await disk.verify(0, 1024 * 1024);
  const hook = ({ command: { name }, cid, queue }: FakeCall) => {
    if (name === "verify") queue.fail(cid, "unrecoveredRead");
    return name === "verify";
  };
  able.target.change({ hook });
  await assert.rejects(disk.verify(0, 512), { name: "BlockError", code: "medium" });
  await able.controller.close();
  const silent = await open({});
  const other = await silent.controller.openNamespace(1);
  await assert.rejects(other.verify(0, 512), { name: "InitiatorError", code: "unsupported" });
  await silent.controller.close();
});

test("RemoteDisk.write with isDurable needs no flush", async () => {
  const { target, controller } = await open({});
  const disk = await controller.openNamespace(1);
  await disk.write(0, pattern(512), { isDurable: true });
  await disk.write(512, pattern(512));
  target.medium.crash();
  assert.deepEqual(target.disk.subarray(0, 512), pattern(512));
  assert.deepEqual(target.disk.subarray(512, 1024), new Uint8Array(512));
  await controller.close();
});

test("an aborted command is aborted at the controller too, as far as that takes aborts", async () => {
  const held: FakeCall[] = [];
  const hook = (call: FakeCall) => call.command.name === "read" && held.push(call) > 0;
  const { target, controller } = await open({ hook });
  const disk = await controller.openNamespace(1);
  const abort = new AbortController();
  const reads = Array.from({ length: 6 }, () =>
    disk.read(0, new Uint8Array(512), { signal: abort.signal }),
  );
  await settle();
  abort.abort(new Error("enough"));
  for (const read of reads) await assert.rejects(read, /enough/);
  await settle();
  assert.equal(target.seen.filter((name) => name === "abort").length, 4);
  for (const { cid, queue } of held) queue.fail(cid, "abortRequested");
  await controller.close();
});

test("findNamespace finds by any identity, and says what there is", async () => {
  const { controller } = await open();
  const uuid = "12345678-1234-4234-8234-123456789ABC";
  assert.equal((await controller.findNamespace({ uuid })).nsid, 1);
  assert.equal((await controller.findNamespace({ nsid: 1 })).nsid, 1);
  await assert.rejects(controller.findNamespace({ uuid, nsid: 2 }), (error) => {
    assert.ok(error instanceof InitiatorError && error.code === "no-namespace");
    assert.match(error.message, /there are: 1 \(12345678-/);
    return true;
  });
  await controller.close();
});

test("two I/O queues share the load, and both go on after a cut", async () => {
  const byQueue = new Map<number, number>();
  const hook = ({ command: { name }, queue }: FakeCall) => {
    if (name === "read") byQueue.set(queue.qid, (byQueue.get(queue.qid) ?? 0) + 1);
    return false;
  };
  const { target, controller, disk, pass } = await openLasting({ hook }, { ioQueues: 2 });
  const readMany = () =>
    Promise.all(Array.from({ length: 20 }, () => disk.read(0, new Uint8Array(512))));
  await readMany();
  assert.deepEqual([...byQueue.entries()].sort(), [
    [1, 10],
    [2, 10],
  ]);
  target.queues[2]?.cut();
  const again = readMany();
  await pass(1000);
  await again;
  assert.equal(controller.ioQueues, 2);
  assert.deepEqual([byQueue.get(1), byQueue.get(2)], [20, 20]);
  await controller.close();
});
