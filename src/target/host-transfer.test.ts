import assert from "node:assert/strict";
import { test } from "node:test";
import { MemoryDisk } from "../block/index.ts";
import { command, decodeStatus, describeStatus } from "../nvme/index.ts";
import { pattern, type TestQueue } from "./testing/host.ts";
import { makeTarget } from "./testing/make.ts";

const mebibyte = 2 ** 20;
const write = command("write", { nsid: 1, slba: 0n, nlb: mebibyte / 512 });

async function open() {
  const medium = new MemoryDisk({ sizeBytes: 8 * mebibyte });
  const made = makeTarget(medium);
  const { io } = await made.open();
  return { ...made, medium, queue: io[0] as TestQueue };
}

/** Sends the commands of so many writes; the data is for the test to send. */
function ask(queue: TestQueue, writes: number): { cid: number; ttag: number }[] {
  return Array.from({ length: writes }, (_, n) => {
    const value = { ...write, slba: BigInt(n * 2048) };
    void queue.send(value, { data: pattern(mebibyte), inCapsule: false });
    const r2t = queue.pdus.at(-1);
    assert.ok(r2t?.type === "R2T" && r2t.r2tl === mebibyte);
    return { cid: r2t.cccid, ttag: r2t.ttag };
  });
}

for (const h2cBytes of [4096, 60_000, 131_072, mebibyte]) {
  for (const pieceBytes of [10_000, 150_000, Number.POSITIVE_INFINITY]) {
    test(`a long write arrives however it is cut: H2CData ${h2cBytes}, reads ${pieceBytes}`, async () => {
      const { target, medium, queue } = await open();
      Object.assign(queue, { h2cBytes, pieceBytes });
      const data = pattern(mebibyte, 3);
      assert.equal((await queue.send(write, { data, inCapsule: false })).status, "success");
      const found = new Uint8Array(mebibyte);
      await medium.read(0, found);
      assert.deepEqual(found, data);
      assert.equal(target.budget.usedBytes, 0);
    });
  }
}

test("transfers whose data comes by turns stay apart", async () => {
  const { target, medium, queue } = await open();
  const asked = ask(queue, 3);
  const all = asked.map((_, n) => pattern(mebibyte, n * 11));
  const step = 100_000;
  for (let at = 0; at < mebibyte; at += step) {
    for (const [n, { cid, ttag }] of asked.entries()) {
      const data = all[n]!.subarray(at, at + step);
      queue.sendData(cid, ttag, at, data, at + step >= mebibyte);
    }
  }
  queue.connection.end("the test is over");
  const found = new Uint8Array(3 * mebibyte);
  await medium.read(0, found);
  assert.deepEqual(Buffer.from(found), Buffer.concat(all));
  assert.equal(target.budget.usedBytes, 0);
});

test("a host that vanishes with transfers asked for and begun leaves no room taken", async () => {
  const { target, queue } = await open();
  const [, begun] = ask(queue, 3);
  queue.sendData(begun!.cid, begun!.ttag, 0, pattern(300_000), false);
  assert.equal(target.budget.usedBytes, 3 * mebibyte);
  queue.connection.end("the host vanished");
  assert.equal(target.budget.usedBytes, 0);
});

test("a transfer that is aborted in the middle is not written, and says so at its end", async () => {
  const { target, medium, queue } = await open();
  const [{ cid, ttag }] = ask(queue, 1) as [{ cid: number; ttag: number }];
  queue.sendData(cid, ttag, 0, pattern(300_000), false);
  queue.connection.abort(cid);
  queue.sendData(cid, ttag, 300_000, pattern(mebibyte - 300_000), true);
  const answer = queue.pdus.at(-1);
  assert.ok(answer?.type === "CapsuleResp" && answer.cqe.cid === cid);
  assert.equal(describeStatus(decodeStatus(answer.cqe.status)).name, "abortRequested");
  const found = new Uint8Array(mebibyte);
  await medium.read(0, found);
  assert.ok(found.every((byte) => byte === 0));
  assert.equal(target.budget.usedBytes, 0);
});
