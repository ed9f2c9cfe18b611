import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { BlockError } from "../block/index.ts";
import { appendData, type Command, type StatusName } from "../nvme/index.ts";
import type { FakeCall, FakeOptions } from "./testing/fake-target.ts";
import { open, pattern, settle } from "./testing/open.ts";

async function openDisk(behaviour: FakeOptions = {}) {
  const opened = await open(behaviour);
  return { ...opened, disk: await opened.controller.openNamespace(1) };
}

/** A hook that notes I/O commands. */
function noting(commands: Command[]): FakeOptions {
  return {
    hook: ({ command }) => {
      if (["read", "write", "writeZeroes", "flush"].includes(command.name)) commands.push(command);
      return false;
    },
  };
}

const lengths = (commands: readonly Command[]) =>
  commands.map((command) => ("nlb" in command ? [Number(command.slba), command.nlb] : []));

test("RemoteDisk splits by MDTS, and by 1 MiB where there is no limit", async () => {
  const small: Command[] = [];
  const first = await openDisk({ ...noting(small), mdts: 1, blockSizeBytes: 4096 });
  const data = pattern(4096 * 5);
  await first.disk.write(4096, data);
  assert.deepEqual(lengths(small), [
    [1, 2],
    [3, 2],
    [5, 1],
  ]);
  const back = new Uint8Array(data.length);
  await first.disk.read(4096, back);
  assert.deepEqual(back, data);
  await first.controller.close();
  const large: Command[] = [];
  const second = await openDisk({ ...noting(large), sizeBytes: 4 * 1024 * 1024 });
  await second.disk.read(0, new Uint8Array(2.5 * 1024 * 1024));
  assert.deepEqual(lengths(large), [
    [0, 2048],
    [2048, 2048],
    [4096, 1024],
  ]);
  await second.controller.close();
});

test("RemoteDisk.writeZeroes uses the command in pieces of 65536 blocks or 32 MiB", async () => {
  const commands: Command[] = [];
  const sizeBytes = 40 * 1024 * 1024;
  const { target, disk, controller } = await openDisk({ ...noting(commands), sizeBytes });
  target.disk.fill(1);
  await disk.writeZeroes(512, sizeBytes - 1024);
  assert.deepEqual(lengths(commands), [
    [1, 65536],
    [65537, 16382],
  ]);
  assert.equal(target.disk.indexOf(0), 512);
  assert.equal(target.disk.indexOf(1, 512), sizeBytes - 512);
  await controller.close();
});

test("RemoteDisk.writeZeroes writes zeros where the controller lacks the command", async () => {
  const commands: Command[] = [];
  const { target, disk, controller } = await openDisk({
    ...noting(commands),
    hasWriteZeroes: false,
  });
  target.disk.fill(1);
  await disk.writeZeroes(1024, 2048);
  assert.equal(commands[0]?.name, "write");
  assert.deepEqual(target.disk.subarray(1024, 3072), new Uint8Array(2048));
  assert.deepEqual([target.disk[1023], target.disk[3072]], [1, 1]);
  await controller.close();
});

test("RemoteDisk.writeZeroes writes zeros where the controller has the command in name only", async () => {
  const seen: string[] = [];
  const { target, disk, controller } = await openDisk({
    sizeBytes: 4 * 1024 * 1024,
    hook: ({ cid, command: { name }, queue }) => {
      seen.push(name);
      if (name !== "writeZeroes") return false;
      queue.fail(cid, "invalidOpcode");
      return true;
    },
  });
  seen.length = 0;
  target.disk.fill(1);
  assert.equal(disk.abilities.writeZeroes, true);
  await disk.writeZeroes(512, 2.5 * 1024 * 1024);
  assert.equal(disk.abilities.writeZeroes, false);
  await disk.writeZeroes(3 * 1024 * 1024, 512);
  assert.deepEqual(seen, ["writeZeroes", "write", "write", "write", "write"]);
  const zeros = target.disk.reduce((count, byte) => count + (byte === 0 ? 1 : 0), 0);
  assert.equal(zeros, 2.5 * 1024 * 1024 + 512);
  assert.equal(target.disk.indexOf(0), 512);
  await controller.close();
});

test("RemoteDisk refuses ranges that are not aligned or not there, and takes empty ones", async () => {
  const { disk, controller } = await openDisk({ sizeBytes: 4096 });
  const bad = [
    () => disk.read(1, new Uint8Array(512)),
    () => disk.read(0, new Uint8Array(511)),
    () => disk.write(4096, new Uint8Array(512)),
    () => disk.write(-512, new Uint8Array(512)),
    () => disk.read(Number.NaN, new Uint8Array(512)),
    () => disk.writeZeroes(0, 8192),
    () => disk.writeZeroes(0, -512),
  ];
  for (const call of bad) await assert.rejects(call(), { name: "BlockError", code: "range" });
  await disk.read(4096, new Uint8Array(0));
  await disk.writeZeroes(0, 0);
  await controller.close();
});

test("RemoteDisk refuses to write to what is write protected, and still reads it", async () => {
  const { target, disk, controller } = await openDisk({ isReadOnly: true });
  assert.equal(disk.readOnly, true);
  await assert.rejects(disk.write(0, pattern(512)), { code: "read-only" });
  await assert.rejects(disk.writeZeroes(0, 512), { code: "read-only" });
  await disk.read(0, new Uint8Array(512));
  assert.ok(!target.seen.includes("write"));
  await controller.close();
});

const statuses: readonly (readonly [StatusName, BlockError["code"]])[] = [
  ["unrecoveredRead", "medium"],
  ["accessDenied", "medium"],
  // What the Linux target and SPDK say when the disk below fails.
  ["internalError", "medium"],
  ["abortedQueueDeleted", "gone"],
  ["transientTransport", "gone"],
  ["reservationConflict", "gone"],
  ["invalidField", "gone"],
  ["capacityExceeded", "no-space"],
  ["lbaOutOfRange", "range"],
  ["namespaceWriteProtected", "read-only"],
  ["invalidNamespace", "gone"],
  ["internalPathError", "gone"],
  ["anaTransition", "gone"],
];

test("RemoteDisk gives each status the code of a BlockDevice, with its cause", async () => {
  for (const [status, code] of statuses) {
    const hook = ({ command, cid, queue }: FakeCall) => {
      if (command.name === "read") queue.fail(cid, status);
      return command.name === "read";
    };
    const { disk, controller } = await openDisk({ hook });
    await assert.rejects(disk.read(0, new Uint8Array(512)), (error) => {
      assert.ok(error instanceof BlockError && error.cause instanceof Error);
      assert.equal(error.code, code, status);
      assert.equal(error.cause.name, "InitiatorError");
      return true;
    });
    await controller.close();
  }
});

test("RemoteDisk rejects with the signal's reason, and leaves the buffer alone from then on", async () => {
  const held: FakeCall[] = [];
  const hook = (call: FakeCall) => call.command.name === "read" && held.push(call) === 1;
  const { disk, controller } = await openDisk({ hook });
  const abort = new AbortController();
  const target = new Uint8Array(512);
  const reading = disk.read(0, target, { signal: abort.signal });
  await settle();
  abort.abort(new Error("changed my mind"));
  await assert.rejects(reading, /changed my mind/);
  const { cid, queue } = held[0]!;
  queue.sendData(cid, new Uint8Array(512).fill(9));
  await settle();
  assert.deepEqual(target, new Uint8Array(512));
  await disk.read(0, target);
  const aborted = { signal: AbortSignal.abort(new Error("at once")) };
  await assert.rejects(disk.read(0, target, aborted), /at once/);
  assert.equal(held.length, 2);
  await controller.close();
});

test("RemoteDisk serves an R2T of an aborted write from a copy", async () => {
  const held: FakeCall[] = [];
  const hook = (call: FakeCall) => call.command.name === "write" && held.push(call) === 1;
  const { target, disk, controller } = await openDisk({ hook });
  const abort = new AbortController();
  const data = Buffer.from(pattern(16384));
  const writing = disk.write(0, data, { signal: abort.signal });
  await settle();
  abort.abort(new Error("stop"));
  await assert.rejects(writing, /stop/);
  data.fill(0xff);
  const { cid, command, queue } = held[0]!;
  queue.requestData(cid, command, 16384);
  await settle();
  assert.deepEqual(target.disk.subarray(0, 16384), pattern(16384));
  await controller.close();
});

test("RemoteDisk holds as many commands as the queue has room for, and runs all of them", async () => {
  let most = 0;
  const held: FakeCall[] = [];
  const hook = (call: FakeCall) => {
    if (call.command.name !== "read") return false;
    held.push(call);
    most = Math.max(most, held.length);
    return true;
  };
  const { controller } = await open({ hook }, { queueDepth: 8 });
  const disk = await controller.openNamespace(1);
  const reads = Array.from({ length: 50 }, () => disk.read(0, new Uint8Array(512)));
  let answered = 0;
  while (answered < 50) {
    await settle();
    for (const { cid, queue } of held.splice(0)) {
      const out: Uint8Array[] = [];
      const header = { cccid: cid, ttag: 0, datao: 0, last: true, success: true };
      appendData(out, queue.framing, "C2HData", header, new Uint8Array(512));
      queue.send(out);
      answered += 1;
    }
  }
  await Promise.all(reads);
  assert.equal(most, 7);
  await controller.close();
});

test("RemoteDisk reads back what any sequence of writes left, as memory would", async () => {
  const blocks = 64;
  const step = fc.record({
    kind: fc.constantFrom("write", "zero", "read"),
    at: fc.integer({ min: 0, max: blocks - 1 }),
    count: fc.integer({ min: 1, max: blocks }),
    seed: fc.nat(255),
  });
  const property = fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
    const sizeBytes = blocks * 512;
    const limits = { sizeBytes, mdts: 1, maxh2cdata: 4096, r2tBytes: 3000, c2hBytes: 1000 };
    const { disk, controller } = await openDisk({ ...limits, ioccsz: 4 });
    const model = new Uint8Array(sizeBytes);
    for (const { kind, at, count, seed } of steps) {
      const length = Math.min(count, blocks - at) * 512;
      if (kind === "write") {
        model.set(pattern(length, seed), at * 512);
        await disk.write(at * 512, pattern(length, seed));
      } else if (kind === "zero") {
        model.fill(0, at * 512, at * 512 + length);
        await disk.writeZeroes(at * 512, length);
      } else {
        const back = new Uint8Array(length);
        await disk.read(at * 512, back);
        assert.deepEqual(back, model.slice(at * 512, at * 512 + length));
      }
    }
    await controller.close();
  });
  await fc.assert(property, { seed: 20261123, numRuns: 60 });
});
