import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { test } from "node:test";
import { ConfiguredPsk } from "../nvme/index.ts";
import { connectController, discover } from "./index.ts";
import { type FakeOptions, FakeTarget } from "./testing/fake-target.ts";
import { pattern, subsystemNqn } from "./testing/open.ts";

/** A fake target on a free port of this machine. */
async function listen(behaviour: FakeOptions = {}) {
  const target = new FakeTarget(behaviour);
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    const far = target.accept({
      send: (chunk) => void socket.write(chunk),
      cut: () => void socket.destroy(),
    });
    socket.on("data", (chunk) => far.receive(chunk));
    socket.on("error", () => {});
    socket.on("close", () => sockets.delete(socket));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    target,
    sockets,
    address: { host: "127.0.0.1", port },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

test("connectController works over a socket, with large transfers both ways", async () => {
  await using server = await listen({ sizeBytes: 8 * 1024 * 1024, maxh2cdata: 4194304 });
  const { address, target, sockets } = server;
  const options = { subsystemNqn, ioQueues: 2, digests: { hdgst: true, ddgst: true } };
  {
    await using controller = await connectController({ ...address, ...options });
    await using disk = await controller.openNamespace(1);
    const data = pattern(6 * 1024 * 1024);
    await disk.write(1024 * 1024, data);
    assert.deepEqual(target.disk.subarray(1024 * 1024, 7 * 1024 * 1024), data);
    const back = new Uint8Array(data.length);
    await disk.read(1024 * 1024, back);
    assert.deepEqual(back, data);
  }
  assert.ok(target.isShutDown);
  for (const socket of sockets) if (!socket.destroyed) await once(socket, "close");
  assert.equal(sockets.size, 0);
});

test("discover works over a socket", async () => {
  await using server = await listen({ discovery: [{ subnqn: subsystemNqn, trsvcid: "4420" }] });
  const [entry] = await discover(server.address);
  assert.equal(entry?.subsystemNqn, subsystemNqn);
  assert.deepEqual(entry?.reached, server.address);
});

test("connectController names a port where nothing listens, and an address without a route", async () => {
  const server = await listen();
  await server[Symbol.asyncDispose]();
  const refused = connectController({ ...server.address, subsystemNqn });
  await assert.rejects(refused, { name: "InitiatorError", code: "connect-refused" });
  // The broadcast address: the kernel refuses it before any packet leaves.
  const nowhere = { host: "255.255.255.255", port: 4420, subsystemNqn };
  await assert.rejects(connectController(nowhere), { name: "InitiatorError", code: "unreachable" });
});

test("messages have IPv6 addresses in brackets", async () => {
  const address = { host: "::1", port: 1, subsystemNqn };
  const tls = { key: new ConfiguredPsk(new Uint8Array(32), "sha256").reveal() };
  for (const options of [{}, { tls }]) {
    const connecting = connectController({ ...address, ...options });
    await assert.rejects(connecting, { message: /Cannot connect to \[::1\]:1/ });
  }
});

test("connectController gives up a connection that never answers, by time and by signal", async () => {
  const server = createServer((socket) => void socket.resume());
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const options = { host: "127.0.0.1", port, subsystemNqn };
  const late = connectController({ ...options, connectTimeoutMs: 100 });
  await assert.rejects(late, { name: "InitiatorError", code: "timeout" });
  const abort = new AbortController();
  const aborted = connectController({ ...options, signal: abort.signal });
  setImmediate(() => abort.abort(new Error("enough")));
  await assert.rejects(aborted, /enough/);
  server.close();
  await once(server, "close");
});

test("a socket that breaks fails the calls under way", async () => {
  await using server = await listen({ hook: ({ command }) => command.name === "flush" });
  const controller = await connectController({ ...server.address, subsystemNqn });
  const disk = await controller.openNamespace(1);
  const flushing = disk.flush();
  setImmediate(() => {
    for (const socket of server.sockets) socket.resetAndDestroy();
  });
  await assert.rejects(flushing, { name: "BlockError", code: "gone" });
  await controller.close();
});
