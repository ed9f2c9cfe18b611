/** The driver of a target over real sockets, where time plays a part. */
import assert from "node:assert/strict";
import { connect, type Socket } from "node:net";
import { performance } from "node:perf_hooks";
import { test } from "node:test";
import { setTimeout as sleep, setImmediate as turn } from "node:timers/promises";
import { MemoryDisk } from "../block/index.ts";
import {
  anyController,
  appendCapsuleCmd,
  type Command,
  cc,
  command,
  connectData,
  encodeCommand,
  encodeIcReq,
  encodeProperty,
  property,
} from "../nvme/index.ts";
import { createTarget } from "./driver-listener.ts";
import { enabled, hostnqn } from "./testing/host.ts";
import { subnqn, uuid } from "./testing/make.ts";

/** A command as bytes. */
function capsule(value: Command, cid: number, data?: Uint8Array): Uint8Array {
  const out: Uint8Array[] = [];
  const framing = { hdgst: false, ddgst: false, alignmentBytes: 4 };
  const pointer = { placement: data ? "capsule" : "transport", lengthBytes: data?.length ?? 0 };
  appendCapsuleCmd(out, framing, encodeCommand(value, cid, pointer as never), data);
  return Buffer.concat(out);
}

/** A host with an admin queue that is enabled. */
async function open(port: number, katoMs: number): Promise<Socket> {
  const socket = connect({ port, host: "127.0.0.1" });
  let receivedBytes = 0;
  socket.on("data", (chunk: Buffer) => {
    receivedBytes += chunk.length;
  });
  const dgst = { hdgst: false, ddgst: false };
  const data = connectData.encode({
    hostid: new Uint8Array(16).fill(1),
    cntlid: anyController,
    subnqn,
    hostnqn,
  });
  socket.write(encodeIcReq({ pfv: 0, hpda: 4, dgst, maxr2t: 1 }));
  socket.write(capsule(command("connect", { sqsize: 32, kato: katoMs }), 1, data));
  while (receivedBytes < 128 + 24) await sleep(5);
  const value = encodeProperty(cc, { bits: enabled() });
  socket.write(capsule(command("propertySet", { ofst: property.cc.ofst, value }), 2));
  while (receivedBytes < 128 + 24 + 24) await sleep(5);
  return socket;
}

test("a target that stood still reads what came meanwhile before it judges who was silent", async (t) => {
  const device = new MemoryDisk({ sizeBytes: 2 ** 20 });
  const namespaces = [{ device, uuid }];
  await using running = createTarget({
    subsystems: [{ nqn: subnqn, serial: "42", hosts: "any", namespaces }],
  });
  const { port } = await running.listen({ port: 0 });
  const socket = await open(port, 2000);
  let isClosed = false;
  socket.on("close", () => {
    isClosed = true;
  });
  // The host's Keep Alive lies in the socket when the event loop goes on, a minute late and with
  // its timers.
  await turn();
  socket.write(capsule(command("keepAlive"), 3));
  const now = performance.now.bind(performance);
  t.mock.method(performance, "now", () => now() + 60_000);
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 600);
  await sleep(400);
  assert.ok(!isClosed);
  assert.equal(running.target.connectionCount, 1);
  t.mock.method(performance, "now", () => now() + 120_000);
  while (!isClosed) await sleep(10);
});
