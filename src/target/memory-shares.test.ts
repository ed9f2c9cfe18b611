/** Hosts that hold memory and do not go on: what they can take, and for how long. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { MemoryDisk } from "../block/index.ts";
import { command } from "../nvme/index.ts";
import { hostnqn, pattern, type TestQueue } from "./testing/host.ts";
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
