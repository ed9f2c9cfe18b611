import assert from "node:assert/strict";
import { test } from "node:test";
import { faultyDisk, MemoryDisk } from "../block/index.ts";
import {
  appendCapsuleCmd,
  broadcastNsid,
  command,
  datasetRange,
  encodeCommand,
  fuse,
} from "../nvme/index.ts";
import { hostnqn, pattern, type Reply, type TestQueue } from "./testing/host.ts";
import { makeTarget } from "./testing/make.ts";

const nsid = 1;
const control = command("write").control;

async function readBlocks(queue: TestQueue, slba: number, nlb: number) {
  const read = command("read", { nsid, slba: BigInt(slba), nlb });
  return queue.send(read, { readBytes: nlb * 512 });
}

const digestPairs = [
  { hdgst: false, ddgst: false },
  { hdgst: true, ddgst: false },
  { hdgst: false, ddgst: true },
  { hdgst: true, ddgst: true },
];

for (const dgst of digestPairs) {
  const name = `header digest ${dgst.hdgst}, data digest ${dgst.ddgst}`;
  test(`a target gives back what was written, in capsules and by R2T: ${name}`, async () => {
    const { open } = makeTarget();
    for (const hpda of [4, 64]) {
      const { io } = await open({ dgst, hpda });
      const [queue] = io as [TestQueue];
      for (const nlb of [1, 8, 16, 256, 2048]) {
        const data = pattern(nlb * 512, nlb);
        const write = command("write", { nsid, slba: 5n, nlb });
        const inCapsule = data.length <= 8192;
        assert.equal((await queue.send(write, { data, inCapsule })).status, "success");
        const reply = await readBlocks(queue, 5, nlb);
        assert.equal(reply.status, "success");
        assert.deepEqual(reply.data, data);
      }
    }
  });
}

test("a target ends reads by SUCCESS when the host switched flow control off", async () => {
  const { open } = makeTarget();
  const { io } = await open({ withoutFlowControl: true });
  const [queue] = io as [TestQueue];
  assert.equal((await readBlocks(queue, 0, 8)).status, "success");
  const types = queue.pdus.map(({ type }) => type);
  assert.deepEqual(types, ["ICResp", "CapsuleResp", "C2HData"]);
  const write = command("write", { nsid, nlb: 1 });
  assert.equal((await queue.send(write, { data: pattern(512) })).completion.sqhd, 0xffff);
});

test("a target reports the head of the submission queue, modulo its entries", async () => {
  const { open } = makeTarget();
  const { io } = await open();
  const [queue] = io as [TestQueue];
  const heads: number[] = [];
  for (let turn = 0; turn < 33; turn++) {
    heads.push((await queue.send(command("flush", { nsid }))).completion.sqhd);
  }
  assert.deepEqual(heads.slice(0, 2), [2, 3]);
  assert.deepEqual(heads.slice(29), [31, 0, 1, 2]);
});

const refusals = [
  {
    name: "a namespace that is not there",
    value: command("read", { nsid: 9, nlb: 1 }),
    bytes: 512,
    status: "invalidNamespace",
  },
  {
    name: "the broadcast namespace",
    value: command("read", { nsid: broadcastNsid, nlb: 1 }),
    bytes: 512,
    status: "invalidNamespace",
  },
  {
    name: "a block past the end",
    value: command("read", { nsid, slba: 16384n, nlb: 1 }),
    bytes: 512,
    status: "lbaOutOfRange",
  },
  {
    name: "a range over the end",
    value: command("read", { nsid, slba: 16383n, nlb: 2 }),
    bytes: 1024,
    status: "lbaOutOfRange",
  },
  {
    name: "the last block of all",
    value: command("read", { nsid, slba: 2n ** 64n - 1n, nlb: 1 }),
    bytes: 512,
    status: "lbaOutOfRange",
  },
  {
    name: "more than MDTS",
    value: command("read", { nsid, nlb: 2049 }),
    bytes: 2049 * 512,
    status: "invalidField",
  },
  {
    name: "an SGL that is too short",
    value: command("read", { nsid, nlb: 2 }),
    bytes: 512,
    status: "sglInvalidData",
  },
  {
    name: "an SGL that is too long",
    value: command("read", { nsid, nlb: 1 }),
    bytes: 1024,
    status: "sglInvalidData",
  },
  {
    name: "protection information",
    value: command("read", { nsid, nlb: 1, control: { ...control, prinfo: 8 } }),
    bytes: 512,
    status: "invalidProtection",
  },
  {
    name: "verify past the end",
    value: command("verify", { nsid, slba: 16384n, nlb: 1 }),
    bytes: 0,
    status: "lbaOutOfRange",
  },
  {
    name: "flush of no namespace",
    value: command("flush", { nsid: 7 }),
    bytes: 0,
    status: "invalidNamespace",
  },
] as const;

for (const { name, value, bytes, status } of refusals) {
  test(`a target refuses ${name} with ${status}, for good`, async () => {
    const { open } = makeTarget();
    const { io } = await open();
    const reply = await io[0]!.send(value, { readBytes: bytes });
    assert.deepEqual({ status: reply.status, dnr: reply.dnr }, { status, dnr: true });
    assert.equal((await readBlocks(io[0]!, 0, 1)).status, "success");
  });
}

test("a target takes a write that it refuses out of the stream, and goes on", async () => {
  const { open } = makeTarget();
  const { io } = await open();
  const [queue] = io as [TestQueue];
  const past = command("write", { nsid, slba: 99999n, nlb: 2 });
  assert.equal((await queue.send(past, { data: pattern(1024) })).status, "lbaOutOfRange");
  const short = command("write", { nsid, nlb: 2 });
  assert.equal((await queue.send(short, { data: pattern(512) })).status, "sglInvalidData");
  assert.equal((await readBlocks(queue, 0, 1)).status, "success");
});

test("a target writes zeroes, deallocates, compares and verifies", async () => {
  const { open, device } = makeTarget();
  const { io } = await open();
  const [queue] = io as [TestQueue];
  const data = pattern(4096);
  await device.write(0, data);
  const compare = command("compare", { nsid, nlb: 8 });
  assert.equal((await queue.send(compare, { data })).status, "success");
  assert.equal((await queue.send(command("verify", { nsid, nlb: 8 }))).status, "success");
  const zeroes = command("writeZeroes", { nsid, slba: 1n, nlb: 2 });
  assert.equal((await queue.send(zeroes)).status, "success");
  data.fill(0, 512, 1536);
  assert.deepEqual((await readBlocks(queue, 0, 8)).data, data);
  const range = datasetRange.encode({ cattr: 0, slba: 4n, nlb: 2 });
  const { attributes } = command("datasetManagement");
  const trim = command("datasetManagement", {
    nsid,
    nr: 1,
    attributes: { ...attributes, ad: true },
  });
  assert.equal((await queue.send(trim, { data: range })).status, "success");
  data.fill(0, 2048, 3072);
  assert.deepEqual((await readBlocks(queue, 0, 8)).data, data);
  assert.equal((await queue.send(compare, { data: pattern(4096) })).status, "compareFailure");
  // Linux brings a list of full length, and says with NR how much of it counts.
  const padded = new Uint8Array(4096).fill(0xff);
  padded.set(datasetRange.encode({ cattr: 0, slba: 6n, nlb: 1 }));
  assert.equal((await queue.send(trim, { data: padded })).status, "success");
  data.fill(0, 3072, 3584);
  assert.deepEqual((await readBlocks(queue, 0, 8)).data, data);
  const far = datasetRange.encode({ cattr: 0, slba: 2n ** 40n, nlb: 2 });
  assert.equal((await queue.send(trim, { data: far })).status, "lbaOutOfRange");
});

test("a target keeps in-capsule data whose digest comes by another read", async () => {
  const { open, device } = makeTarget();
  const { io } = await open({ dgst: { hdgst: false, ddgst: true } });
  const [queue] = io as [TestQueue];
  const data = pattern(512, 9);
  // A capsule of 72 bytes with its data; the digest is cut off.
  queue.pieceBytes = 72 + data.length;
  const write = command("write", { nsid, slba: 3n, nlb: 1 });
  assert.equal((await queue.send(write, { data })).status, "success");
  const found = new Uint8Array(512);
  await device.read(3 * 512, found);
  assert.deepEqual(found, data);
});

test("a target carries a fused Compare and Write out as one, or not at all", async () => {
  const { open, device } = makeTarget();
  const { io } = await open();
  const [queue] = io as [TestQueue];
  const was = pattern(512, 1);
  const wanted = pattern(512, 2);
  await device.write(0, was);
  const compare = command("compare", { nsid, nlb: 1 });
  const write = command("write", { nsid, nlb: 1 });
  const pair = async (expected: Uint8Array, data: Uint8Array) => {
    const first = queue.send(compare, { data: expected, fused: fuse.first });
    const second = queue.send(write, { data, fused: fuse.second });
    return [(await first).status, (await second).status];
  };
  assert.deepEqual(await pair(was, wanted), ["success", "success"]);
  assert.deepEqual((await readBlocks(queue, 0, 1)).data, wanted);
  assert.deepEqual(await pair(was, was), ["compareFailure", "fusedFailed"]);
  assert.deepEqual((await readBlocks(queue, 0, 1)).data, wanted);
  const alone = queue.send(compare, { data: was, fused: fuse.first });
  assert.equal((await queue.send(command("flush", { nsid }))).status, "success");
  assert.equal((await alone).status, "fusedMissing");
  const late = await queue.send(write, { data: was, fused: fuse.second });
  assert.equal(late.status, "fusedMissing");
  assert.deepEqual((await readBlocks(queue, 0, 1)).data, wanted);
});

const faults = [
  { code: "medium", read: "unrecoveredRead", write: "writeFault" },
  { code: "gone", read: "namespaceNotReady", write: "namespaceNotReady" },
  { code: "no-space", read: "capacityExceeded", write: "capacityExceeded" },
] as const;

for (const { code, read, write } of faults) {
  test(`a target tells a host of a medium's fault ${code}`, async () => {
    const disk = faultyDisk(new MemoryDisk({ sizeBytes: 2 ** 20 }), { kind: "fail", code });
    const { open } = makeTarget(disk);
    const { io } = await open();
    const [queue] = io as [TestQueue];
    assert.equal((await readBlocks(queue, 0, 1)).status, read);
    const reply = await queue.send(command("write", { nsid, nlb: 1 }), { data: pattern(512) });
    assert.equal(reply.status, write);
    assert.equal((await queue.send(command("flush", { nsid }))).status, write);
  });
}

test("a target refuses writes to a read-only namespace, and by hosts that may only read", async () => {
  const write = command("write", { nsid, nlb: 1 });
  const readOnlyDisk = new MemoryDisk({ sizeBytes: 2 ** 20, readOnly: true });
  const host = "nqn.2026-11.org.example:reader";
  const cases = [
    makeTarget(readOnlyDisk),
    makeTarget(undefined, { hosts: new Map([[host, { readOnly: true }]]) }),
  ];
  for (const { open } of cases) {
    const { io } = await open({ hostnqn: host });
    for (const inCapsule of [true, false]) {
      const reply = await io[0]!.send(write, { data: pattern(512), inCapsule });
      assert.equal(reply.status, "namespaceWriteProtected");
    }
    const zeroes = await io[0]!.send(command("writeZeroes", { nsid, nlb: 1 }));
    assert.equal(zeroes.status, "namespaceWriteProtected");
    assert.equal((await readBlocks(io[0]!, 0, 1)).status, "success");
  }
});

test("a durable write is flushed before it is answered", async () => {
  const disk = faultyDisk(new MemoryDisk({ sizeBytes: 2 ** 20 }), {
    kind: "fail",
    code: "medium",
    on: ["flush"],
  });
  const { open } = makeTarget(disk);
  const { io } = await open();
  const plain = command("write", { nsid, nlb: 1 });
  const durable = { ...plain, control: { ...control, fua: true } };
  assert.equal((await io[0]!.send(plain, { data: pattern(512) })).status, "success");
  assert.equal((await io[0]!.send(durable, { data: pattern(512) })).status, "writeFault");
});

test("a target that cannot send holds reads back, and goes on when it can", async () => {
  const { open, target } = makeTarget();
  const { io } = await open();
  const [queue] = io as [TestQueue];
  queue.isStalled = true;
  const reads = Array.from({ length: 16 }, (_, n) => readBlocks(queue, n, 2048));
  assert.ok(queue.bufferedBytes < 2 * 2 ** 20, `${queue.bufferedBytes} bytes with the socket`);
  assert.ok(!queue.isReceiving);
  queue.unstall();
  for (const reply of await Promise.all(reads)) assert.equal(reply.status, "success");
  assert.ok(queue.isReceiving);
  assert.equal(target.budget.usedBytes, 0);
});

test("a target goes on receiving while all its memory waits for data of the host", async () => {
  const limits = { connectionBytesInFlightMax: 2 ** 20 };
  const { open, target } = makeTarget(undefined, {}, { limits });
  const { io } = await open();
  const [queue] = io as [TestQueue];
  const large = Array.from({ length: 4 }, (_, n) => {
    const write = command("write", { nsid, slba: BigInt(n * 512), nlb: 512 });
    return queue.send(write, { data: pattern(2 ** 18, n), inCapsule: false });
  });
  // All that was asked for is to come behind this capsule, of which a part is here.
  const capsule: Uint8Array[] = [];
  const small = encodeCommand(command("write", { nsid, slba: 4096n, nlb: 8 }), 99, {
    placement: "capsule",
    lengthBytes: 4096,
  });
  appendCapsuleCmd(capsule, queue.framing, small, pattern(4096));
  const bytes = Buffer.concat(capsule);
  queue.push(bytes.subarray(0, 1000));
  assert.ok(queue.isReceiving);
  assert.equal(target.budget.usedBytes, 2 ** 20 + 4096);
  const { promise, resolve } = Promise.withResolvers<Reply>();
  const none = new Uint8Array(0);
  queue.waiting.set(99, { isFabrics: false, data: none, read: none, done: resolve });
  queue.push(bytes.subarray(1000));
  for (const reply of await Promise.all([...large, promise])) {
    assert.equal(reply.status, "success");
  }
  assert.equal(target.budget.usedBytes, 0);
});

test("hosts that share little memory all come to their turn, and give it all back", async () => {
  const inner = new MemoryDisk({ sizeBytes: 8 * 2 ** 20 });
  const disk = faultyDisk(inner, {
    kind: "slow",
    until: () => new Promise((done) => setImmediate(done)),
  });
  const limits = { bytesInFlightMax: 2 ** 20, connectionBytesInFlightMax: 2 ** 19 };
  const { open, target } = makeTarget(disk, {}, { limits });
  const hosts = await Promise.all([1, 2, 3, 4].map((hostid) => open({ hostid })));
  const replies = hosts.flatMap(({ io }, host) =>
    Array.from({ length: 24 }, (_, n) => {
      const data = pattern(65536, host);
      const slba = BigInt(host * 4096 + n * 128);
      const write = command("write", { nsid, slba, nlb: 128 });
      if (n % 2 === 0) return io[0]!.send(write, { data, inCapsule: false });
      return readBlocks(io[0]!, Number(slba), 128);
    }),
  );
  for (const { status } of await Promise.all(replies)) assert.equal(status, "success");
  assert.equal(target.budget.usedBytes, 0);
  for (const [host, { io }] of hosts.entries()) {
    const { data } = await readBlocks(io[0]!, host * 4096, 128);
    assert.deepEqual(data, pattern(65536, host));
  }
});

test("a connection that ends with commands under way leaves no memory behind", async () => {
  const gate = Promise.withResolvers<void>();
  const disk = faultyDisk(new MemoryDisk({ sizeBytes: 2 ** 20 }), {
    kind: "slow",
    until: () => gate.promise,
  });
  const { open, target } = makeTarget(disk);
  const { io } = await open();
  const [queue] = io as [TestQueue];
  for (let n = 0; n < 8; n++) {
    void readBlocks(queue, n, 64);
    void queue.send(command("write", { nsid, nlb: 64 }), {
      data: pattern(32768),
      inCapsule: false,
    });
    void queue.send(command("write", { nsid, nlb: 1 }), { data: pattern(512) });
  }
  await new Promise<void>((done) => setImmediate(done));
  assert.ok(target.budget.usedBytes > 0);
  queue.connection.end("cut");
  gate.resolve();
  await target.settled();
  assert.equal(target.budget.usedBytes, 0);
});

test("operations are counted for their host and namespace, those other than reads and writes too", async () => {
  const { open, target } = makeTarget();
  const { io } = await open();
  const [queue] = io as [TestQueue];
  const data = pattern(1024);
  await queue.send(command("write", { nsid, nlb: 2 }), { data });
  await readBlocks(queue, 0, 1);
  await queue.send(command("compare", { nsid, nlb: 2 }), { data });
  await queue.send(command("compare", { nsid, nlb: 2 }), { data: pattern(1024, 9) });
  await queue.send(command("writeZeroes", { nsid, slba: 8n, nlb: 4 }));
  await queue.send(command("flush", { nsid }));
  const { hosts, namespaces } = target.statistics();
  for (const counts of [hosts.get(hostnqn)!, namespaces[0]!.counts]) {
    const { read, write, other } = counts;
    const shape = ({ operations, bytes, failures }: typeof read) => [operations, bytes, failures];
    assert.deepEqual([read, write, other].map(shape), [
      [1, 512, 0],
      [1, 1024, 0],
      [3, 1024 + 2048, 1],
    ]);
    assert.equal(
      other.latencyUs.reduce((sum, count) => sum + count, 0),
      3,
    );
  }
});
