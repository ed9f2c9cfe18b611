import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { appendData } from "../nvme/index.ts";
import { dialTcp, type RemoteDisk } from "./index.ts";
import type { FakeCall, FakeOptions, FakeQueue } from "./testing/fake-target.ts";
import { openLasting } from "./testing/lasting.ts";
import { open, pattern, settle } from "./testing/open.ts";

const lengthBytes = 256 * 1024;
/** What of a read's data is sent before it stalls. */
const firstBytes = 64 * 1024;

/** A C2HData with all data of a read, as bytes. */
function dataPdu(queue: FakeQueue, cid: number, data: Uint8Array): Uint8Array {
  const out: Uint8Array[] = [];
  const header = { cccid: cid, ttag: 0, datao: 0, last: true, success: false };
  appendData(out, queue.framing, "C2HData", header, data);
  return Buffer.concat(out);
}

/** A hook that sends the first part of the first read's data and keeps the rest. */
function stalling() {
  const held: { call: FakeCall; rest: Uint8Array }[] = [];
  const hook: NonNullable<FakeOptions["hook"]> = (call) => {
    if (call.command.name !== "read" || held.length > 0) return false;
    const { queue, cid } = call;
    const bytes = dataPdu(queue, cid, new Uint8Array(call.lengthBytes).fill(9));
    held.push({ call, rest: bytes.subarray(firstBytes) });
    queue.send([bytes.subarray(0, firstBytes)]);
    return true;
  };
  return { held, hook };
}

/** Begins a read that stalls within its data, and aborts it. */
async function abortStalled(disk: RemoteDisk, target: Uint8Array) {
  const abort = new AbortController();
  const state = { isSettled: false };
  const reading = disk.read(0, target, { signal: abort.signal }).finally(() => {
    state.isSettled = true;
  });
  reading.catch(() => {});
  await settle();
  abort.abort(new Error("enough"));
  await settle();
  return { reading, state };
}

for (const hdgst of [false, true]) {
  for (const ddgst of [false, true]) {
    const digests = `header digest ${hdgst}, data digest ${ddgst}`;
    test(`a read's data lands in the caller's buffer without a copy: ${digests}`, async () => {
      const { target, pipe, controller } = await open(
        { sizeBytes: 4 * 1024 * 1024 },
        { digests: { hdgst, ddgst } },
      );
      target.disk.set(pattern(target.disk.length));
      const disk = await controller.openNamespace(1);
      pipe.pieceBytes = 10_000;
      const found = new Uint8Array(3 * 1024 * 1024);
      await disk.read(512, found);
      assert.deepEqual(found, target.disk.slice(512, 512 + found.length));
      assert.ok(pipe.landedBytes > 0.9 * found.length, `${pipe.landedBytes}`);
      pipe.landedBytes = 0;
      await disk.read(0, new Uint8Array(16384));
      assert.equal(pipe.landedBytes, 0);
      await controller.close();
    });
  }
}

test("an aborted read settles once the transport has let go of its buffer, and not before", async () => {
  const { held, hook } = stalling();
  const { controller } = await open({ hook });
  const disk = await controller.openNamespace(1);
  const target = new Uint8Array(lengthBytes);
  const { reading, state } = await abortStalled(disk, target);
  assert.equal(state.isSettled, false);
  const [{ call, rest }] = held as [(typeof held)[number]];
  call.queue.send([rest.subarray(0, 1000)]);
  await assert.rejects(reading, /enough/);
  target.fill(0);
  call.queue.send([rest.subarray(1000)]);
  call.queue.respond(call.cid);
  await settle();
  assert.deepEqual(target, new Uint8Array(lengthBytes));
  await disk.read(0, target);
  await controller.close();
});

test("an aborted read whose data stalls ends the connection; the disk goes on over a new one", async () => {
  const { held, hook } = stalling();
  const { controller, disk, pass, types } = await openLasting({ hook });
  const target = new Uint8Array(lengthBytes);
  const { reading, state } = await abortStalled(disk, target);
  await pass(500);
  assert.equal(state.isSettled, false);
  await pass(2000);
  await assert.rejects(reading, /enough/);
  assert.equal(types().at(-1), "reconnected");
  target.fill(0);
  held[0]!.call.queue.send([held[0]!.rest]);
  await settle();
  assert.deepEqual(target, new Uint8Array(lengthBytes));
  await disk.read(0, target);
  await controller.close();
});

test("a socket that is ended puts nothing where it was to land, while it still sends", async () => {
  const server = createServer({ pauseOnConnect: true });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const accepted = once(server, "connection") as Promise<[Socket]>;
  const landing = new Uint8Array(1024);
  const came = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<void>();
  const handlers = {
    bytes: () => came.resolve(),
    landing: () => landing,
    writable: () => {},
    tick: () => {},
    ended: () => ended.resolve(),
  };
  const transport = await dialTcp({ host: "127.0.0.1", port }, 1000)(handlers, {});
  const [peer] = await accepted;
  peer.on("error", () => {});
  peer.write(new Uint8Array(10).fill(1));
  await came.promise;
  assert.deepEqual(landing.subarray(0, 11), Uint8Array.of(...new Array(10).fill(1), 0));
  // More than the kernel takes while the peer does not read: the socket is not closed at once.
  transport.send([new Uint8Array(64 * 1024 * 1024)]);
  transport.end();
  assert.ok(transport.bufferedBytes > 0);
  peer.write(new Uint8Array(100).fill(2));
  await sleep(100);
  assert.ok(transport.bufferedBytes > 0);
  assert.equal(landing.includes(2), false);
  peer.destroy();
  await ended.promise;
  server.close();
});
