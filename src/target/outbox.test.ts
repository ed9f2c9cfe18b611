import assert from "node:assert/strict";
import { test } from "node:test";
import { appendCapsuleResp, appendData, appendR2t, type SendFraming } from "../nvme/index.ts";
import { dataPduBytesMax, Outbox } from "./outbox.ts";
import { BufferPool } from "./pool.ts";
import { pattern } from "./testing/host.ts";

const framings: SendFraming[] = [4, 16, 128].flatMap((alignmentBytes) =>
  [false, true].flatMap((hdgst) =>
    [false, true].map((ddgst) => ({ hdgst, ddgst, alignmentBytes })),
  ),
);

function outbox(pool = new BufferPool()) {
  const sent: Uint8Array[] = [];
  const releases: (() => void)[] = [];
  const box = new Outbox(pool, (chunk, release) => {
    sent.push(Uint8Array.from(chunk));
    releases.push(release);
  });
  return { box, sent, releases };
}

for (const framing of framings) {
  test(`Outbox writes what the encoders of nvme write: ${JSON.stringify(framing)}`, () => {
    const { box, sent } = outbox();
    box.framing = framing;
    const wanted: Uint8Array[] = [];
    const cqe = { cid: 5, status: 0x4002, sqhd: 7, sqid: 2, dw0: 0x12345678, dw1: 0x9abcdef0 };
    box.response(cqe.cid, cqe.status, cqe.sqhd, cqe.sqid, cqe.dw0, cqe.dw1);
    appendCapsuleResp(wanted, framing, cqe);
    box.readyToTransfer(5, 9, 512, 70000);
    appendR2t(wanted, framing, { cccid: 5, ttag: 9, r2to: 512, r2tl: 70000 });
    const data = pattern(777);
    const place = box.openData(6, 512, data.length, true, true);
    place.bytes.set(data, place.at);
    box.closeData();
    const header = { cccid: 6, ttag: 0, datao: 512, last: true, success: true };
    appendData(wanted, framing, "C2HData", header, data);
    box.openData(8, 0, 100, true, false);
    box.dropData();
    box.response(cqe.cid, 0, 0, 0);
    appendCapsuleResp(wanted, framing, { ...cqe, status: 0, sqhd: 0, sqid: 0, dw0: 0, dw1: 0 });
    box.flush();
    assert.deepEqual(Buffer.concat(sent), Buffer.concat(wanted));
  });
}

test("Outbox does not touch what the transport holds, and uses memory again once it may", () => {
  const { box, sent, releases } = outbox();
  for (let turn = 0; turn < 5; turn++) {
    box.data(turn, pattern(dataPduBytesMax * 2 + 100, turn));
    box.flush();
  }
  const total = sent.reduce((sum, { length }) => sum + length, 0);
  assert.equal(total, 5 * (dataPduBytesMax * 2 + 100 + 3 * 24));
  assert.equal(sent.length, 5, "one call for each");
  for (const release of releases.splice(0)) release();
  box.response(1, 0, 0, 0);
  box.flush();
  box.close();
  for (const release of releases) release();
});

test("Outbox sends long reads by few calls, and by more of them where memory is short", () => {
  const counts = [0, 12].map((mebibytesInUse) => {
    const pool = new BufferPool();
    for (let n = 0; n < mebibytesInUse; n++) pool.take(2 ** 20);
    const { box, sent } = outbox(pool);
    box.data(1, pattern(8 * dataPduBytesMax, 1));
    box.flush();
    assert.equal(Buffer.concat(sent).length, 8 * (dataPduBytesMax + 24));
    return sent.length;
  });
  assert.deepEqual(counts, [1, 4]);
});
