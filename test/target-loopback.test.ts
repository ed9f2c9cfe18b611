/** Our host and our target over loopback sockets: what each says, the other understands. */

import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm, stat, truncate, writeFile } from "node:fs/promises";
import { type AddressInfo, connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { connect as connectTls } from "node:tls";
import { type BlockDevice, FileDisk, MemoryDisk, OverlayDisk } from "../src/block/index.ts";
import { connectController, discover } from "../src/initiator/index.ts";
import { ConfiguredPsk } from "../src/nvme/index.ts";
import { createTarget, type ListenOptions, type SubsystemOptions } from "../src/target/index.ts";

const subsystemNqn = "nqn.2026-11.org.example:disk";
const hostNqn = "nqn.2026-11.org.example:host";
const uuid = "12345678-1234-4234-8234-123456789abc";
const mebibyte = 2 ** 20;

const folder = await mkdtemp(join(tmpdir(), "diskomator-target-"));
after(() => rm(folder, { recursive: true }));

/** A target over `device` that listens on a free port. */
async function serve(
  device: BlockDevice,
  subsystem: Partial<SubsystemOptions> = {},
  listen: ListenOptions = {},
) {
  const running = createTarget({
    subsystems: [
      {
        nqn: subsystemNqn,
        serial: "42",
        hosts: "any",
        namespaces: [{ device, uuid }],
        ...subsystem,
      },
    ],
  });
  const { host, port } = await running.listen({ port: 0, ...listen });
  return {
    target: running.target,
    address: { host, port },
    [Symbol.asyncDispose]: () => running.close(),
  };
}

function pattern(length: number, seed: number): Uint8Array {
  return Uint8Array.from(
    { length },
    (_, index) => (index * 31 + seed + Math.floor(index / 256)) % 256,
  );
}

const options = { subsystemNqn, hostNqn };

for (const digests of [
  { hdgst: false, ddgst: false },
  { hdgst: true, ddgst: false },
  { hdgst: false, ddgst: true },
  { hdgst: true, ddgst: true },
]) {
  test(`data of every size comes back as it was written: ${JSON.stringify(digests)}`, async () => {
    const path = join(folder, `disk-${digests.hdgst}-${digests.ddgst}`);
    await using device = await FileDisk.open(path, { createBytes: 16 * mebibyte });
    await using server = await serve(device);
    await using controller = await connectController({
      ...server.address,
      ...options,
      digests,
      ioQueues: 3,
    });
    await using disk = await controller.openNamespace(1);
    assert.equal(disk.sizeBytes, 16 * mebibyte);
    const sizes = [512, 4096, 8192, 16384, 16896, 65536, 131072, mebibyte, 5 * mebibyte];
    for (const [seed, size] of sizes.entries()) {
      const data = pattern(size, seed);
      await disk.write(mebibyte, data);
      const found = new Uint8Array(size);
      await disk.read(mebibyte, found);
      assert.deepEqual(found, data, `${size} bytes`);
    }
    await disk.writeZeroes(mebibyte, mebibyte);
    await disk.flush();
    const found = new Uint8Array(mebibyte).fill(1);
    await device.read(mebibyte, found);
    assert.ok(found.every((byte) => byte === 0));
  });
}

test("zeros that may deallocate free what a file takes, and read as zeros", async (t) => {
  if (process.platform !== "linux") return t.skip("only Linux has fallocate");
  const path = join(folder, "freed");
  await writeFile(path, pattern(8 * mebibyte, 5));
  await using device = await FileDisk.open(path);
  await using server = await serve(device);
  await using controller = await connectController({ ...server.address, ...options });
  await using disk = await controller.openNamespace(1);
  const before = (await stat(path)).blocks;
  await disk.writeZeroes(mebibyte, 4 * mebibyte);
  const found = new Uint8Array(8 * mebibyte);
  await disk.read(0, found);
  const wanted = pattern(8 * mebibyte, 5);
  wanted.fill(0, mebibyte, 5 * mebibyte);
  assert.ok(Buffer.from(found.buffer).equals(wanted));
  const { blocks } = await stat(path);
  assert.ok(blocks <= before - (4 * mebibyte) / 512, `${blocks} of ${before} blocks`);
});

test("many reads and writes at a time, over several queues, stay apart", async () => {
  const device = new MemoryDisk({ sizeBytes: 64 * mebibyte });
  await using server = await serve(device);
  await using controller = await connectController({ ...server.address, ...options, ioQueues: 4 });
  await using disk = await controller.openNamespace(1);
  const pieces = Array.from({ length: 256 }, (_, index) => pattern(65536, index));
  await Promise.all(pieces.map((data, index) => disk.write(index * 65536, data)));
  const found = pieces.map(() => new Uint8Array(65536));
  await Promise.all(found.map((buffer, index) => disk.read(index * 65536, buffer)));
  for (const [index, buffer] of found.entries()) assert.deepEqual(buffer, pieces[index]);
  assert.equal(server.target.statistics().bytesInFlight, 0);
});

test("a disk that is only read through promises is served as well", async () => {
  const below = new MemoryDisk({ sizeBytes: 8 * mebibyte, contents: pattern(mebibyte, 3) });
  await using device = new OverlayDisk({ below });
  await using server = await serve(device);
  await using controller = await connectController({ ...server.address, ...options });
  await using disk = await controller.openNamespace(1);
  const found = new Uint8Array(2 * mebibyte);
  await disk.write(mebibyte, pattern(mebibyte, 4));
  await disk.read(0, found);
  assert.deepEqual(found.subarray(0, mebibyte), pattern(mebibyte, 3));
  assert.deepEqual(found.subarray(mebibyte), pattern(mebibyte, 4));
});

test("discovery names the address that the host came to, and what is new", async () => {
  await using server = await serve(
    new MemoryDisk({ sizeBytes: mebibyte }),
    {},
    { host: "0.0.0.0" },
  );
  const address = { host: "127.0.0.1", port: server.address.port };
  const entries = await discover({ ...address, hostNqn });
  const subsystems = entries.filter(({ subject }) => subject === "subsystem");
  assert.deepEqual(
    subsystems.map((entry) => entry.advertised),
    [address],
  );
  assert.deepEqual(
    subsystems.map((entry) => entry.subsystemNqn),
    [subsystemNqn],
  );
});

test("a file that grows, and a namespace that comes and goes, are seen by the host", async () => {
  const path = join(folder, "growing");
  await writeFile(path, new Uint8Array(mebibyte));
  await using device = await FileDisk.open(path);
  await using server = await serve(device);
  await using controller = await connectController({ ...server.address, ...options });
  await using disk = await controller.openNamespace(1);
  const changed = () =>
    new Promise<void>((done) => {
      const end = controller.onEvent(({ type }) => {
        if (type !== "namespaces-changed") return;
        end();
        done();
      });
    });
  let event = changed();
  await truncate(path, 2 * mebibyte);
  await device.refreshSize();
  const subsystem = server.target.subsystems.get(subsystemNqn)!;
  subsystem.namespaceChanged(1);
  await event;
  assert.equal(disk.sizeBytes, 2 * mebibyte);
  await disk.write(mebibyte, pattern(4096, 1));
  event = changed();
  const other = "22345678-1234-4234-8234-123456789abc";
  subsystem.addNamespace({ device: new MemoryDisk({ sizeBytes: mebibyte }), uuid: other });
  await event;
  assert.deepEqual(
    (await controller.namespaces()).map(({ nsid }) => nsid),
    [1, 2],
  );
  event = changed();
  subsystem.removeNamespace(2);
  await event;
  assert.deepEqual(
    (await controller.namespaces()).map(({ nsid }) => nsid),
    [1],
  );
});

const secret = "DHHC-1:00:ia6zGodOr4SEG0Zzaw398rpY0wqipUWj4jWjUh4HWUz6aQ2n:";
const controllerSecret = "DHHC-1:00:ia6zGodOr4SEG0Zzaw398rpY0wqipUWj4jWjUh4HWUz6aQ2n:";

test("DH-HMAC-CHAP lets a host in that has the secret, both ways, and no other", async () => {
  const hosts = new Map([[hostNqn, { secret, controllerSecret }]]);
  await using server = await serve(new MemoryDisk({ sizeBytes: mebibyte }), { hosts });
  for (const authentication of [{ secret }, { secret, controllerSecret }]) {
    const wanted = { ...server.address, ...options, authentication };
    await using controller = await connectController(wanted);
    await using disk = await controller.openNamespace(1);
    await disk.write(0, pattern(4096, 1));
  }
  await assert.rejects(connectController({ ...server.address, ...options }));
  const wrong = "DHHC-1:00:ia6zGodOr4SEG0Zzaw398rpY0wqipUWj4jWjUh4HWUxXtS0A:";
  const attempt = { ...server.address, ...options, authentication: { secret: wrong } };
  await assert.rejects(connectController(attempt));
});

const key = "NVMeTLSkey-1:01:VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwNf9LrZ:";

for (const policy of ["required", "optional"] as const) {
  test(`TLS that is ${policy} carries data, and lets no host in with another key`, async () => {
    const device = new MemoryDisk({ sizeBytes: 8 * mebibyte });
    await using server = await serve(device, {}, { tls: { policy, keys: [{ key }] } });
    await using controller = await connectController({
      ...server.address,
      ...options,
      tls: { key },
    });
    await using disk = await controller.openNamespace(1);
    const data = pattern(3 * mebibyte, 9);
    await disk.write(0, data);
    const found = new Uint8Array(data.length);
    await disk.read(0, found);
    assert.deepEqual(found, data);
    const wrong = "NVMeTLSkey-1:01:MDAxMTIyMzM0NDU1NjY3Nzg4OTlhYWJiY2NkZGVlZmZwJEiQ:";
    const stranger = { ...server.address, ...options, tls: { key: wrong } };
    await assert.rejects(connectController(stranger));
    const plain = connectController({ ...server.address, ...options });
    if (policy === "optional") await (await plain).close();
    else await assert.rejects(plain);
  });
}

test("a target sends nothing but data after a TLS handshake", async () => {
  const device = new MemoryDisk({ sizeBytes: mebibyte });
  await using server = await serve(device, {}, { tls: { policy: "required", keys: [{ key }] } });
  const parsed = ConfiguredPsk.parse(key);
  assert.ok(parsed.ok);
  const parties = { hostnqn: hostNqn, subnqn: subsystemNqn };
  const { identity, key: psk } = parsed.psk.retain(hostNqn).tlsPsk(parties);
  const socket = connectTls({
    ...server.address,
    minVersion: "TLSv1.3",
    ciphers: "TLS_AES_128_GCM_SHA256",
    pskCallback: () => ({ psk, identity }),
    checkServerIdentity: () => undefined,
  });
  let tickets = 0;
  socket.on("session", () => tickets++);
  await once(socket, "secureConnect");
  const request = Buffer.alloc(128);
  request.set([0, 0, 128, 0, 128]);
  socket.write(request);
  const [answer] = await once(socket, "data");
  assert.equal(answer.length, 128);
  assert.equal(tickets, 0);
  socket.destroy();
});

test("silence, garbage and giant lengths on many connections keep no host from its work", async () => {
  const device = new MemoryDisk({ sizeBytes: 8 * mebibyte });
  const namespaces = [{ device, uuid }];
  await using running = createTarget({
    subsystems: [{ nqn: subsystemNqn, serial: "42", hosts: "any", namespaces }],
    limits: { halfOpenMax: 32, halfOpenBurstMax: 32 },
  });
  const { host, port } = await running.listen({ port: 0 });
  await using controller = await connectController({ host, port, ...options, ioQueues: 2 });
  await using disk = await controller.openNamespace(1);
  const honest = running.target.connectionCount;
  // A CapsuleCmd that claims 4 GiB; bytes of chance; nothing at all.
  const giant = Buffer.alloc(72);
  giant.write("04004800ffffffff", "hex");
  const openings = [giant, Buffer.alloc(70_000, "garbage"), Buffer.alloc(0)];
  const ended: Promise<unknown>[] = [];
  const sockets = Array.from({ length: 300 }, (_, n) => {
    const socket = connect({ host, port });
    ended.push(new Promise((done) => socket.once("close", done)));
    socket.on("error", () => {});
    socket.on("data", () => {});
    socket.once("connect", () => socket.write(openings[n % openings.length]!));
    return socket;
  });
  try {
    for (let turn = 0; turn < 20; turn++) {
      const data = Buffer.alloc(mebibyte, `turn ${turn}`);
      await disk.write(0, data);
      const found = Buffer.alloc(mebibyte);
      await disk.read(0, found);
      assert.ok(found.equals(data));
      assert.ok(running.target.connectionCount <= honest + 32);
    }
    // All but the last 32 that said nothing are gone, and the honest host's are not.
    await Promise.all(ended.filter((_, n) => n % openings.length < 2));
    assert.ok(running.target.connectionCount >= honest);
    assert.equal(running.target.statistics().bytesInFlight, 0);
    await disk.flush();
  } finally {
    for (const socket of sockets) socket.destroy();
  }
});

for (const policy of ["required", "optional"] as const) {
  test(`connections that never come to TLS are bounded, and end with their listener: ${policy}`, async () => {
    const device = new MemoryDisk({ sizeBytes: mebibyte });
    const namespaces = [{ device, uuid }];
    const running = createTarget({
      subsystems: [{ nqn: subsystemNqn, serial: "42", hosts: "any", namespaces }],
      limits: { halfOpenMax: 8, halfOpenBurstMax: 8, halfOpenMs: 600_000 },
    });
    const tls = { policy, keys: [{ key }] };
    const { host, port } = await running.listen({ port: 0, tls });
    let open = 0;
    const few = Promise.withResolvers<void>();
    const none = Promise.withResolvers<void>();
    for (let n = 0; n < 40; n++) {
      open += 1;
      const socket = connect({ host, port });
      socket.on("error", () => {});
      // The start of a handshake that does not go on, or nothing.
      socket.once("connect", () => n % 2 === 0 && socket.write(Buffer.from("160301", "hex")));
      socket.resume();
      socket.once("close", () => {
        open -= 1;
        if (open === 8) few.resolve();
        if (open === 0) none.resolve();
      });
    }
    await few.promise;
    const controller = await connectController({ host, port, ...options, tls: { key } });
    await using disk = await controller.openNamespace(1);
    await disk.write(0, pattern(4096, 1));
    await controller.close();
    await running.close();
    await none.promise;
  });
}

test("a target that is closed frees its port and its hosts", async () => {
  const server = await serve(new MemoryDisk({ sizeBytes: mebibyte }));
  const controller = await connectController({ ...server.address, ...options });
  await server[Symbol.asyncDispose]();
  await assert.rejects(controller.namespaces());
  await controller.close();
  const again = createServer();
  await new Promise<void>((done) => again.listen(server.address.port, "127.0.0.1", done));
  await new Promise<void>((done) => again.close(() => done()));
});

test("a host that still sends when a target is closed sees an end, and no reset", async (t) => {
  const server = await serve(new MemoryDisk({ sizeBytes: mebibyte }));
  const ends: Promise<unknown>[] = [];
  // Carries a host's connections, and goes on sending when the target has sent its end.
  const between = createServer({ allowHalfOpen: true }, (host) => {
    const target = connect({ ...server.address, allowHalfOpen: true });
    host.on("error", () => {});
    host.on("data", (chunk) => target.write(chunk));
    target.on("data", (chunk) => host.write(chunk));
    const closed = Promise.withResolvers<void>();
    target.once("error", closed.reject).once("close", closed.resolve);
    target.once("end", async () => {
      for (let n = 0; n < 10; n++) {
        target.write(pattern(4096, n));
        await sleep(20);
      }
      target.end();
      host.destroy();
    });
    ends.push(closed.promise);
  });
  between.listen(0, "127.0.0.1");
  t.after(() => between.close());
  await once(between, "listening");
  const { port } = between.address() as AddressInfo;
  await using controller = await connectController({
    host: "127.0.0.1",
    port,
    ...options,
    ioQueues: 2,
  });
  assert.equal(controller.ioQueues, 2);
  await server[Symbol.asyncDispose]();
  await Promise.all(ends);
  assert.equal(ends.length, 3);
});
