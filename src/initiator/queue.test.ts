import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  appendCapsuleResp,
  appendData,
  appendR2t,
  command,
  encodeIcResp,
  encodeTermReq,
} from "../nvme/index.ts";
import { Queue, waitingMax } from "./queue.ts";
import type { QueueConfig } from "./queue-state.ts";
import type { QueueRequest } from "./transfer.ts";

const config: QueueConfig = {
  qid: 1,
  entries: 5,
  subnqn: "nqn.2026-11.org.example:disk",
  hostnqn: "nqn.2026-11.org.example:host",
  hostid: new Uint8Array(16),
  cntlid: 7,
  katoMs: 0,
  digests: { hdgst: false, ddgst: false },
  capsuleDataBytesMax: 0,
  connectTimeoutMs: 1000,
};
const framing = { hdgst: false, ddgst: false, alignmentBytes: 4 };
const icResp = encodeIcResp({ pfv: 0, cpda: 4, dgst: config.digests, maxh2cdata: 4096 });

function response(cid: number, status = 0): Uint8Array {
  const out: Uint8Array[] = [];
  appendCapsuleResp(out, framing, { dw0: 7, dw1: 0, sqhd: 0, sqid: 1, cid, status });
  return Buffer.concat(out);
}

function live(): Queue<QueueRequest> {
  const queue = new Queue<QueueRequest>(config);
  queue.start(0);
  queue.receive(icResp);
  queue.receive(response(0));
  const connected = { cntlid: 7, authentication: "none" };
  assert.deepEqual(queue.drain(0).events, [{ kind: "live", connected }]);
  return queue;
}

const flush: QueueRequest = {
  command: command("flush", { nsid: 1 }),
  transfer: { kind: "none" },
  timeoutMs: 500,
};
const writeOf = (length: number): QueueRequest => ({
  command: command("write", { nsid: 1 }),
  transfer: { kind: "out", data: new Uint8Array(length) },
  timeoutMs: 500,
});

/** The cids of the commands among buffers. */
const cidsOf = (send: readonly Uint8Array[]) =>
  send.filter((raw) => raw[0] === 4).map((raw) => raw[10]! + raw[11]! * 256);

test("Queue keeps requests back until it is live, and then within its entries", () => {
  const queue = new Queue<QueueRequest>(config);
  queue.start(0);
  const requests = Array.from({ length: 6 }, () => ({ ...flush }));
  for (const request of requests) assert.ok(queue.submit(request));
  assert.equal(queue.drain(1e6).send.length, 1);
  queue.receive(icResp);
  queue.receive(response(0));
  const first = cidsOf(queue.drain(1e6).send).filter((cid) => cid !== 0);
  assert.equal(first.length, 4);
  assert.equal(queue.load, 6);
  queue.receive(response(first[2]!));
  const next = queue.drain(1e6);
  assert.deepEqual(
    next.events.map((event) => event.kind),
    ["completed"],
  );
  const [cid] = cidsOf(next.send);
  assert.ok(cid !== undefined && !first.includes(cid), "a slot's cid differs from its last one");
});

test("Queue sends no more than its budget, and goes on where it stopped", () => {
  const queue = live();
  queue.submit(writeOf(16384));
  const [cid] = cidsOf(queue.drain(1e6).send);
  const ready: Uint8Array[] = [];
  appendR2t(ready, framing, { cccid: cid!, ttag: 9, r2to: 0, r2tl: 16384 });
  queue.receive(Buffer.concat(ready));
  queue.submit(flush);
  assert.deepEqual(queue.drain(0).send, []);
  const offsets: number[] = [];
  for (let round = 0; round < 4; round++) {
    const { send } = queue.drain(1);
    assert.equal(send.length, 2);
    assert.equal(send[1]?.length, 4096);
    offsets.push(new DataView(send[0]!.buffer, send[0]!.byteOffset).getUint32(12, true));
  }
  assert.deepEqual(offsets, [0, 4096, 8192, 12288]);
  assert.equal(cidsOf(queue.drain(1).send).length, 1);
});

test("Queue ends when a command is late, and tells each request once", () => {
  const queue = live();
  const requests = Array.from({ length: 6 }, () => ({ ...flush }));
  for (const request of requests) queue.submit(request);
  queue.drain(1e6);
  queue.abandon(requests[0]!);
  queue.abandon(requests[5]!);
  queue.tick(499);
  assert.deepEqual(queue.drain(1e6).events, []);
  queue.tick(500);
  queue.tick(501);
  const { events } = queue.drain(1e6);
  assert.equal(events.length, 1);
  assert.ok(events[0]?.kind === "ended" && events[0].failure.code === "timeout");
  assert.deepEqual(new Set(events[0].requests), new Set(requests.slice(1, 5)));
  assert.equal(queue.submit(flush), false);
});

test("Queue refuses requests beyond what may wait", () => {
  const queue = new Queue<QueueRequest>(config);
  for (let count = 0; count < waitingMax; count++) assert.ok(queue.submit({ ...flush }));
  assert.equal(queue.submit({ ...flush }), false);
});

test("Queue takes any stream of a controller: it never throws, and reports each request once", () => {
  const pdu = fc.oneof(
    fc.integer({ min: 0, max: 0xffff }).map((cid) => response(cid)),
    fc
      .tuple(fc.nat(4), fc.constantFrom(0, 4))
      .map(([slot, status]) => response(4096 + slot, status)),
    fc.record({ cccid: fc.nat(4), datao: fc.nat(1), last: fc.boolean() }).map((value) => {
      const out: Uint8Array[] = [];
      const header = { ...value, cccid: 4096 + value.cccid, datao: value.datao * 512, ttag: 0 };
      appendData(out, framing, "C2HData", header, new Uint8Array(512));
      return Buffer.concat(out);
    }),
    fc.record({ cccid: fc.nat(4), r2tl: fc.nat(2048) }).map((value) => {
      const out: Uint8Array[] = [];
      appendR2t(out, framing, { ...value, cccid: 4096 + value.cccid, ttag: 1, r2to: 0 });
      return Buffer.concat(out);
    }),
    fc.constant(encodeTermReq("C2HTermReq", { fes: 1, fei: 0, header: new Uint8Array(8) })),
    fc.uint8Array({ maxLength: 40 }),
  );
  const property = fc.property(
    fc.array(pdu, { maxLength: 12 }),
    fc.integer({ min: 1, max: 99 }),
    (pdus, step) => {
      const queue = live();
      const read = command("read", { nsid: 1 });
      const requests: QueueRequest[] = [
        { ...flush },
        { command: read, transfer: { kind: "in", target: new Uint8Array(1024) }, timeoutMs: 500 },
        writeOf(2048),
        { ...flush },
      ];
      for (const request of requests) queue.submit(request);
      const told: QueueRequest[] = [];
      const note = () => {
        for (const event of queue.drain(1e6).events) {
          if (event.kind === "completed") told.push(event.request);
          if (event.kind === "ended") told.push(...event.requests);
        }
      };
      note();
      const bytes = Buffer.concat(pdus);
      for (let at = 0; at < bytes.length; at += step) {
        queue.receive(bytes.subarray(at, at + step));
        note();
      }
      queue.tick(1000);
      note();
      assert.equal(queue.state.name === "ended" || told.length === 4, true);
      assert.equal(told.length, 4);
      assert.equal(new Set(told).size, 4);
    },
  );
  fc.assert(property, { seed: 20261123, numRuns: 1500 });
});
