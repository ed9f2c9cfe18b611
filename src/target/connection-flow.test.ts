/** What waits in a connection, what that costs, and when it goes on. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { MemoryDisk } from "../block/index.ts";
import { command } from "../nvme/index.ts";
import { pattern, TestQueue } from "./testing/host.ts";
import { makeTarget } from "./testing/make.ts";

const nsid = 1;

test("a connection tells that it has answered a lone command, and no other time", async () => {
  const { open } = makeTarget();
  const { admin, io } = await open();
  const queue = io[0]!;
  const { connection } = queue;
  void queue.send(command("read", { nsid, nlb: 8 }), { readBytes: 4096 });
  assert.ok(connection.hasAnsweredOne);
  void queue.send(command("write", { nsid, nlb: 32 }), { data: pattern(16384), inCapsule: false });
  assert.ok(!connection.hasAnsweredOne, "its data is to come");
  queue.connection.end("the test is over");
  assert.ok(!connection.hasAnsweredOne);
  await admin.send(command("keepAlive"));
  assert.ok(!admin.connection.hasAnsweredOne, "an admin queue");
});

for (const nlb of [8, 256, 2048]) {
  test(`a host that takes nothing costs one piece for sending: reads of ${nlb} blocks`, async () => {
    const { open } = makeTarget();
    const { io } = await open();
    const queue = io[0]!;
    queue.isStalled = true;
    const read = command("read", { nsid, nlb });
    const replies = Array.from({ length: 30 }, () => queue.send(read, { readBytes: nlb * 512 }));
    const late = Array.from({ length: 30 }, () => queue.send(read, { readBytes: nlb * 512 }));
    assert.ok(queue.bufferedBytes < 1100 * 1024, `${queue.bufferedBytes} bytes`);
    for (let turn = 0; turn < 200; turn++) queue.unstall();
    for (const reply of await Promise.all([...replies, ...late])) {
      assert.equal(reply.status, "success");
    }
  });
}

/** A disk whose direct reads take as long as told, and whose promises are kept when told. */
class SlowDisk extends MemoryDisk {
  clock: { nowMs: number } | undefined;
  tookMs = 0;
  readonly held: (() => void)[] = [];

  override readNow(...call: Parameters<MemoryDisk["readNow"]>): void {
    if (this.clock) this.clock.nowMs += this.tookMs;
    super.readNow(...call);
  }

  override async read(...call: Parameters<MemoryDisk["read"]>): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.held.push(resolve);
    await promise;
    await super.read(...call);
  }
}

for (const kind of ["read", "write"]) {
  test(`a ${kind} that waits for memory goes on, and leaves, without another command`, async () => {
    const disk = new SlowDisk({ sizeBytes: 8 * 2 ** 20 });
    const limits = { connectionBytesInFlightMax: 2 ** 19 };
    const { clock, open } = makeTarget(disk, {}, { limits });
    const { io } = await open();
    const queue = io[0]!;
    Object.assign(disk, { clock, tookMs: 50 });
    const small = command("read", { nsid, nlb: 8 });
    for (let n = 0; n < 4; n++) await queue.send(small, { readBytes: 4096 });
    disk.tookMs = 0;
    const read = command("read", { nsid, nlb: 1024 });
    const replies = [queue.send(read, { readBytes: 2 ** 19 })];
    const data = pattern(2 ** 19);
    const write = command("write", { nsid, nlb: 1024 });
    if (kind === "write") replies[1] = queue.send(write, { data, inCapsule: false });
    else replies[1] = queue.send(read, { readBytes: 2 ** 19 });
    assert.equal(disk.held.length, 1, "the second command waits for memory");
    // The medium is quick again: a second read is direct.
    clock.nowMs += 1000;
    disk.held[0]!();
    for (const reply of await Promise.all(replies)) assert.equal(reply.status, "success");
  });
}

test("a termination request of the host is not answered by one, however it is", () => {
  const { target, clock } = makeTarget();
  for (const plen of [8, 23, 24, 152, 153, 2 ** 31]) {
    const queue = new TestQueue(target, clock, "192.0.2.1");
    queue.initialize();
    const raw = Buffer.alloc(160);
    raw.set([2, 0, 24, 0]);
    raw.writeUInt32LE(plen, 4);
    queue.push(raw.subarray(0, Math.min(160, Math.max(plen, 8))));
    assert.ok(queue.isEnded, `PLEN ${plen}`);
    assert.equal(queue.pdus.at(-1)?.type, "ICResp", `PLEN ${plen}`);
  }
});
