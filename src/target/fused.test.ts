/** Fused pairs of which one half is missing, late, aborted or damaged. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { MemoryDisk } from "../block/index.ts";
import {
  acquireAction,
  command,
  fuse,
  registerAction,
  reservationAcquireData,
  reservationRegisterData,
} from "../nvme/index.ts";
import { hostnqn, pattern, type Reply, type TestQueue } from "./testing/host.ts";
import { makeTarget } from "./testing/make.ts";

const nsid = 1;
const compare = command("compare", { nsid, nlb: 1 });
const write = command("write", { nsid, nlb: 1 });
const was = new Uint8Array(512);
const data = pattern(512);

/** What a promise comes to within some turns of the event loop. */
async function soon<T>(promise: Promise<T>): Promise<T | "never"> {
  let found: T | "never" = "never";
  void promise.then((value) => {
    found = value;
  });
  for (let n = 0; n < 20 && found === "never"; n++) await turn();
  return found;
}

const statusOf = async (reply: Promise<Reply>) => (await reply).status;

/** Sends a Write that is the second half, and leaves its data out. */
function sendWithoutData(queue: TestQueue): Promise<Reply> {
  queue.sendData = () => {};
  return queue.send(write, { data, fused: fuse.second, inCapsule: false });
}

test("a connection that ends between the halves of a fused pair lets its host come back", async () => {
  for (const hasWrite of [false, true]) {
    const { open, target } = makeTarget();
    const host = await open();
    const [queue] = host.io as [TestQueue];
    void queue.send(compare, { data: was, fused: fuse.first });
    if (hasWrite) void sendWithoutData(queue);
    queue.connection.end("the cable was pulled");
    host.admin.connection.end("the cable was pulled");
    assert.notEqual(await soon(open()), "never", `with the Write: ${hasWrite}`);
    assert.equal(target.statistics().bytesInFlight, 0);
  }
});

test("Preempt and Abort is answered though the host that is preempted has a fused pair open", async () => {
  for (const hasWrite of [false, true]) {
    const { open, device } = makeTarget();
    const holder = await open({ hostid: 1 });
    const other = await open({ hostid: 2, hostnqn: `${hostnqn}-2` });
    for (const [host, nrkey] of [
      [holder, 1n],
      [other, 2n],
    ] as const) {
      const action = { rrega: registerAction.register, iekey: false, cptpl: 0 };
      const key = reservationRegisterData.encode({ crkey: 0n, nrkey });
      await host.io[0]!.send(command("reservationRegister", { nsid, action }), { data: key });
    }
    const [queue] = holder.io as [TestQueue];
    const sendData = queue.sendData.bind(queue);
    const first = queue.send(compare, { data: was, fused: fuse.first });
    const second = hasWrite ? sendWithoutData(queue) : undefined;
    const action = { racqa: acquireAction.preemptAndAbort, iekey: false };
    const key = reservationAcquireData.encode({ crkey: 2n, prkey: 1n });
    const preempt = command("reservationAcquire", { nsid, action, rtype: 1 });
    assert.equal(await soon(statusOf(other.io[0]!.send(preempt, { data: key }))), "success");
    assert.ok(["abortRequested", "fusedFailed"].includes(`${await soon(statusOf(first))}`));
    // What comes late changes nothing.
    const r2t = queue.pdus.findLast(({ type }) => type === "R2T");
    if (r2t?.type === "R2T") sendData(r2t.cccid, r2t.ttag, 0, data, true);
    const late = second ?? queue.send(write, { data, fused: fuse.second });
    assert.notEqual(await soon(statusOf(late)), "success");
    const found = new Uint8Array(512);
    await device.read(0, found);
    assert.deepEqual(found, was);
  }
});

test("a half of a fused pair whose data is damaged fails the other half too", async () => {
  const { open, device } = makeTarget();
  const { io } = await open({ dgst: { hdgst: false, ddgst: true } });
  const [queue] = io as [TestQueue];
  for (const damaged of ["compare", "write"] as const) {
    const push = queue.push.bind(queue);
    const send = (name: "compare" | "write") => {
      queue.push = (bytes) => {
        const raw = Uint8Array.from(bytes);
        if (name === damaged) raw[raw.length - 1]! ^= 0xff;
        push(raw);
      };
      const half = name === "compare" ? { data: was, fused: fuse.first } : { data, fused: 2 };
      return queue.send(name === "compare" ? compare : write, half);
    };
    const replies = [send("compare"), send("write")].map((reply) => soon(statusOf(reply)));
    queue.push = push;
    const [first, second] = await Promise.all(replies);
    const wanted = { compare: "transientTransport", write: "fusedFailed" };
    if (damaged === "write")
      Object.assign(wanted, { compare: "fusedFailed", write: wanted.compare });
    assert.deepEqual({ compare: first, write: second }, wanted);
  }
  const found = new Uint8Array(512);
  await device.read(0, found);
  assert.deepEqual(found, was);
});

test("a fused Write that waits for memory and is aborted fails its Compare", async () => {
  const disk = new MemoryDisk({ sizeBytes: 2 ** 20 });
  const limits = { connectionBytesInFlightMax: 4096, bytesInFlightMax: 8192 };
  const { open } = makeTarget(disk, {}, { limits });
  const { admin, io } = await open();
  const [queue] = io as [TestQueue];
  queue.sendData = () => {};
  void queue.send(write, { data, inCapsule: false });
  const first = queue.send(compare, { data: was, fused: fuse.first });
  const second = queue.send(write, { data, cid: 77, fused: fuse.second, inCapsule: false });
  await admin.send(command("abort", { sqid: 1, abortCid: 77 }));
  assert.equal(await soon(statusOf(second)), "abortRequested");
  assert.equal(await soon(statusOf(first)), "fusedFailed");
});

test("a broken pair is not carried out by a Write that comes after all", async () => {
  const { open, device } = makeTarget();
  const { admin, io } = await open();
  const [queue] = io as [TestQueue];
  const first = queue.send(compare, { data: was, cid: 70, fused: fuse.first });
  await admin.send(command("abort", { sqid: 1, abortCid: 70 }));
  assert.equal(await soon(statusOf(first)), "abortRequested");
  const second = statusOf(queue.send(write, { data, fused: fuse.second }));
  assert.equal(await soon(second), "fusedFailed");
  const found = new Uint8Array(512);
  await device.read(0, found);
  assert.deepEqual(found, was);
});
