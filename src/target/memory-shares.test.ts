/** Hosts that hold memory and do not go on: what they can take, and for how long. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { MemoryDisk } from "../block/index.ts";
import { type Command, command, feature, logPage } from "../nvme/index.ts";
import { enabled, hostnqn, pattern, type TestQueue } from "./testing/host.ts";
import { makeTarget } from "./testing/make.ts";

const nsid = 1;
const mebibyte = 2 ** 20;
const longWrite = command("write", { nsid, nlb: mebibyte / 512 });
const longRead = command("read", { nsid, nlb: mebibyte / 512 });

/** A host that asks for as many long writes as it may, and gives the data of none. */
async function openHoarder(open: ReturnType<typeof makeTarget>["open"], name: string) {
  const host = await open({ hostnqn: `${hostnqn}-${name}`, hostid: 5 }, 4);
  for (const queue of host.io) {
    queue.sendData = () => {};
    for (let n = 0; n < 4; n++) {
      void queue.send(longWrite, { data: new Uint8Array(mebibyte), inCapsule: false });
    }
  }
  return host;
}

/** Moves the clock in steps, as a driver does. */
function pass({ target, clock }: ReturnType<typeof makeTarget>, ms: number): void {
  for (let at = 0; at < ms; at += 250) {
    clock.nowMs += 250;
    target.tick(clock.nowMs);
  }
}

const isEnded = (queue: TestQueue) => queue.isEnded;

test("one host holds no more than half of the memory: another one's write goes through", async () => {
  const made = makeTarget();
  await openHoarder(made.open, "bad");
  assert.equal(made.target.statistics().bytesInFlight, 8 * mebibyte);
  const good = await made.open();
  const reply = await good.io[0]!.send(longWrite, { data: pattern(mebibyte), inCapsule: false });
  assert.equal(reply.status, "success");
});

test("writes whose data does not come end their connection, and others' go on", async () => {
  const made = makeTarget();
  const bad = [await openHoarder(made.open, "bad"), await openHoarder(made.open, "worse")];
  const good = await made.open();
  const reply = good.io[0]!.send(longWrite, { data: pattern(mebibyte), inCapsule: false });
  pass(made, 9_500);
  assert.ok(!bad.some(({ io }) => io.some(isEnded)), "not yet");
  pass(made, 1_000);
  assert.ok(bad.every(({ io }) => io.every(isEnded)));
  assert.equal((await reply).status, "success");
  assert.equal(made.target.statistics().bytesInFlight, 0);
  assert.ok(!good.io[0]!.isEnded);
  assert.ok(made.events.some(([, { reason }]) => /does not send the data/.test(`${reason}`)));
});

test("a write whose data comes slowly, but comes, keeps its connection", async () => {
  const made = makeTarget();
  const { io } = await made.open();
  const [queue] = io as [TestQueue];
  const sendData = queue.sendData.bind(queue);
  queue.sendData = () => {};
  const reply = queue.send(longWrite, { data: pattern(mebibyte), inCapsule: false });
  const r2t = queue.pdus.at(-1);
  assert.ok(r2t?.type === "R2T");
  const step = mebibyte / 16;
  const all = pattern(mebibyte);
  for (let at = 0; at < mebibyte; at += step) {
    pass(made, 8_000);
    const data = all.subarray(at, at + step);
    sendData(r2t.cccid, r2t.ttag, at, data, at + step === mebibyte);
  }
  assert.equal((await reply).status, "success");
});

test("one long H2CData that comes slowly keeps its connection", async () => {
  for (const ddgst of [false, true]) {
    const made = makeTarget();
    const { io } = await made.open({ dgst: { hdgst: false, ddgst } });
    const [queue] = io as [TestQueue];
    queue.h2cBytes = mebibyte;
    const push = queue.push.bind(queue);
    queue.push = (bytes) => {
      for (let at = 0; at < bytes.length; at += 100_000) {
        push(bytes.subarray(at, at + 100_000));
        if (bytes.length > 100_000) pass(made, 8_000);
      }
    };
    const reply = await queue.send(longWrite, { data: pattern(mebibyte), inCapsule: false });
    assert.equal(reply.status, "success");
  }
});

test("a host that takes nothing of what was read for it is ended while it holds memory", async () => {
  const disk = new MemoryDisk({ sizeBytes: 8 * mebibyte });
  const made = makeTarget(Object.assign(disk, { readNow: undefined }));
  const { io } = await made.open();
  const [queue] = io as [TestQueue];
  queue.isStalled = true;
  for (let n = 0; n < 4; n++) void queue.send(longRead, { readBytes: mebibyte });
  await queue.connection.settled();
  assert.ok(made.target.statistics().bytesInFlight > 0);
  pass(made, 9_000);
  assert.ok(!queue.isEnded);
  pass(made, 2_000);
  assert.ok(queue.isEnded);
  assert.equal(made.target.statistics().bytesInFlight, 0);
});

test("a host that takes a long piece slowly, but takes it, keeps its connection", async () => {
  const disk = new MemoryDisk({ sizeBytes: 8 * mebibyte });
  const made = makeTarget(Object.assign(disk, { readNow: undefined }));
  const { io } = await made.open();
  const [queue] = io as [TestQueue];
  queue.isStalled = true;
  const replies = [1, 2, 3].map(() => queue.send(longRead, { readBytes: mebibyte }));
  await queue.connection.settled();
  for (let n = 0; n < 30; n++) {
    queue.takenBytes += 1000;
    pass(made, 9_000);
  }
  assert.ok(!queue.isEnded);
  for (let turns = 0; turns < 20; turns++) queue.unstall();
  for (const reply of await Promise.all(replies)) assert.equal(reply.status, "success");
});

/** Commands that ask for much by little, on the queue that takes them. */
const greedy = [
  {
    name: "Get Log Page",
    qid: 0,
    value: command("getLogPage", { lid: logPage.smart, numd: 2 ** 18 }),
  },
  {
    name: "Reservation Report",
    qid: 1,
    value: command("reservationReport", { nsid, numd: 2 ** 18, structure: { eds: true } }),
  },
];

for (const { name, qid, value } of greedy) {
  test(`a host that takes nothing gets one answer at a time: ${name}`, async () => {
    const { open } = makeTarget();
    const { admin, io } = await open();
    const queue = qid === 0 ? admin : io[0]!;
    queue.isStalled = true;
    const chunks: Uint8Array[] = [];
    const push = queue.push.bind(queue);
    queue.push = (bytes) => void chunks.push(bytes);
    const ask = () => queue.send(value, { readBytes: mebibyte });
    const replies = Array.from({ length: 40 }, ask);
    push(Buffer.concat(chunks));
    await queue.connection.settled();
    assert.ok(queue.bufferedBytes < 2.5 * mebibyte, `${queue.bufferedBytes} bytes`);
    assert.ok(!queue.isReceiving);
    for (let turns = 0; turns < 100; turns++) queue.unstall();
    for (const reply of await Promise.all(replies)) assert.equal(reply.status, "success");
  });
}

test("commands that wait for the host to take data are aborted, refused after a reset, and counted", async () => {
  const { open, events } = makeTarget();
  const host = await open();
  const { admin } = host;
  const { value } = greedy[0]!;
  const ask = (cid: number) => admin.send(value, { cid, readBytes: mebibyte });
  admin.isStalled = true;
  void ask(100);
  const second = ask(101);
  const third = ask(102);
  assert.ok(admin.connection.abort(101));
  assert.ok(!admin.connection.abort(101), "it is aborted already");
  void host.setConfiguration({ ...enabled(), en: false });
  admin.unstall();
  assert.equal((await second).status, "abortRequested");
  assert.equal((await third).status, "commandSequence");
  admin.isStalled = true;
  await host.enable();
  for (let cid = 200; cid < 265; cid++) void ask(cid);
  assert.ok(!admin.isEnded, "one is being answered, and as many wait as may be under way");
  void ask(299);
  assert.ok(admin.isEnded);
  assert.ok(events.some(([, { detail }]) => /more commands at a time than 64/.test(`${detail}`)));
});

test("Get Features has data of a structure, not of any length", async () => {
  const { open } = makeTarget();
  const { admin } = await open();
  const get = command("getFeatures", { fid: feature.hostIdentifier, cdw11: 1 });
  assert.equal((await admin.send(get, { readBytes: 4096 })).data[15], 1);
  assert.equal((await admin.send(get, { readBytes: 8192 })).status, "sglInvalidData");
});

/** A disk at which every call that reads waits until told. */
class HeldDisk extends MemoryDisk {
  readonly held: (() => void)[] = [];
  callsMax = 0;

  override async read(...call: Parameters<MemoryDisk["read"]>): Promise<void> {
    await this.#hold();
    await super.read(...call);
  }

  override async writeZeroes(...call: Parameters<MemoryDisk["writeZeroes"]>): Promise<void> {
    await this.#hold();
    await super.writeZeroes(...call);
  }

  async #hold(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.held.push(resolve);
    this.callsMax = Math.max(this.callsMax, this.held.length);
    await promise;
  }
}

for (const name of ["verify", "writeZeroes", "compare"] as const) {
  test(`commands that take memory of their own run a few at a time: ${name}`, async () => {
    const disk = new HeldDisk({ sizeBytes: 8 * mebibyte });
    const { open } = makeTarget(disk);
    const { io, admin } = await open();
    const [queue] = io as [TestQueue];
    const value = { ...command(name, { nsid }), nlb: 8 } as Command;
    const options = name === "compare" ? { data: new Uint8Array(4096) } : {};
    const replies = Array.from({ length: 30 }, (_, n) => queue.send(value, { ...options, cid: n }));
    await turn();
    assert.equal(disk.held.length, 4);
    // One that waits is aborted at once.
    await admin.send(command("abort", { sqid: 1, abortCid: 20 }));
    assert.equal((await replies[20]!).status, "abortRequested");
    let isDone = false;
    const all = Promise.all(replies).finally(() => {
      isDone = true;
    });
    while (!isDone) {
      for (const release of disk.held.splice(0)) release();
      await turn();
    }
    const found = (await all).filter(({ status }) => status === "success");
    assert.equal(found.length, 29);
    assert.equal(disk.callsMax, 4);
  });
}
