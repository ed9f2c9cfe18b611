/** The host and the target of this repository against each other, over loopback. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { blockDeviceContract, faultyDisk, type MakeDisk, MemoryDisk } from "../src/block/index.ts";
import {
  type AuthenticationOptions,
  type Controller,
  type ControllerEvent,
  type ControllerOptions,
  connectController,
  discover,
  readReservation,
  watchDiscovery,
} from "../src/initiator/index.ts";
import {
  acquireAction,
  type Command,
  ConfiguredPsk,
  command,
  DhchapSecret,
  dhchapGroups,
  dhchapHashes,
  registerAction,
  reservationAcquireData,
  reservationRegisterData,
  reservationType,
} from "../src/nvme/index.ts";
import {
  createTarget,
  type HostAccess,
  type ListenOptions,
  type NamespaceOptions,
} from "../src/target/index.ts";

const nqn = "nqn.2026-11.org.example:disk";
const hostNqn = "nqn.2026-11.org.example:host";
const uuid = "12345678-1234-4234-8234-123456789abc";
const sizeBytes = 4 * 1024 * 1024;

/** A target with one subsystem with one disk, listening on loopback. */
async function serve(
  namespace: Partial<NamespaceOptions> = {},
  hosts: "any" | ReadonlyMap<string, HostAccess> = "any",
  listen: ListenOptions = {},
) {
  const device = namespace.device ?? new MemoryDisk({ sizeBytes });
  const namespaces = [{ device, uuid, ...namespace }];
  const running = createTarget({ subsystems: [{ nqn, serial: "S1", hosts, namespaces }] });
  const { port } = await running.listen({ port: 0, ...listen });
  const address = { host: "127.0.0.1", port };
  const connect = (options: Partial<ControllerOptions> = {}) =>
    connectController({ ...address, subsystemNqn: nqn, hostNqn, ...options });
  return { running, device, address, connect, [Symbol.asyncDispose]: () => running.close() };
}

/** The next event of a type. */
function next(controller: Controller, type: ControllerEvent["type"]): Promise<ControllerEvent> {
  return new Promise((resolve) => {
    const stop = controller.onEvent((event) => {
      if (event.type !== type) return;
      stop();
      resolve(event);
    });
  });
}

const make: MakeDisk = async ({ readOnly, ...wanted }) => {
  const server = await serve({ device: new MemoryDisk(wanted), readOnly });
  const controller = await server.connect({ ioQueues: 2 });
  const disk = await controller.openNamespace(1);
  const dispose = disk[Symbol.asyncDispose].bind(disk);
  disk[Symbol.asyncDispose] = async () => {
    await dispose();
    await controller.close();
    await server.running.close();
  };
  return disk;
};
for (const { title, run } of blockDeviceContract) {
  test(`RemoteDisk on the target ${title}`, () => run(make));
}

test("every digest combination carries reads and writes of every size", async () => {
  await using server = await serve();
  for (const hdgst of [false, true]) {
    for (const ddgst of [false, true]) {
      await using controller = await server.connect({ digests: { hdgst, ddgst }, ioQueues: 3 });
      await using disk = await controller.openNamespace(1);
      for (const length of [512, 4096, 8192, 16384, 131072, 3 * 1024 * 1024]) {
        const data = Buffer.alloc(length, `${hdgst}${ddgst}${length}`);
        await disk.write(512, data);
        assert.equal(await disk.compare(512, data), true);
        const back = Buffer.alloc(length);
        await disk.read(512, back);
        assert.ok(back.equals(data), `${length}`);
      }
      await disk.deallocate(4096, 8192);
      await disk.verify(0, sizeBytes);
      await disk.flush();
    }
  }
});

test("a host authenticates in every hash and group, both ways, and wrong keys are refused", async () => {
  const secret = new DhchapSecret(new Uint8Array(32).fill(1), "sha256").reveal();
  const controllerSecret = new DhchapSecret(new Uint8Array(32).fill(2), "none").reveal();
  const hosts = new Map([[hostNqn, { secret, controllerSecret }]]);
  await using server = await serve({}, hosts);
  for (const hash of dhchapHashes) {
    for (const group of dhchapGroups) {
      for (const keys of [{ secret }, { secret, controllerSecret }]) {
        const authentication = { ...keys, hashes: [hash], groups: [group] };
        await using controller = await server.connect({ authentication });
        await using disk = await controller.openNamespace(1);
        await disk.read(0, new Uint8Array(512));
      }
    }
  }
  const wrong = new DhchapSecret(new Uint8Array(32).fill(9), "none").reveal();
  const group = { groups: ["null"] as const };
  for (const keys of [{ secret: wrong }, { secret, controllerSecret: wrong }]) {
    await assert.rejects(server.connect({ authentication: { ...keys, ...group } }), {
      code: "authentication-failed",
    });
  }
  await assert.rejects(server.connect(), { code: "unsupported" });
  await assert.rejects(server.connect({ hostNqn: "nqn.2026-11.org.example:other" }), {
    code: "status",
  });
});

test("a host authenticates in the hashes and groups that its access has, and in no other", async () => {
  const secret = new DhchapSecret(new Uint8Array(32).fill(1), "none").reveal();
  const hashes = ["sha384", "sha256"] as const;
  const groups = ["ffdhe2048", "null"] as const;
  const events: [string, Readonly<Record<string, unknown>>][] = [];
  const subsystem = { nqn, serial: "S1", hosts: new Map([[hostNqn, { secret, hashes, groups }]]) };
  await using running = createTarget({
    subsystems: [subsystem],
    log: (event, fields) => events.push([event, fields]),
  });
  const { host, port } = await running.listen({ port: 0 });
  const authenticate = async (offer: Partial<AuthenticationOptions>) => {
    const authentication = { secret, ...offer };
    const wanted = { host, port, subsystemNqn: nqn, hostNqn, ioQueues: 1, authentication };
    const controller = await connectController(wanted);
    await controller.close();
    const [, facts] = events.findLast(([event]) => event === "host-authenticated")!;
    return [facts.hash, facts.group];
  };
  assert.deepEqual(await authenticate({}), ["sha384", "ffdhe2048"], "the target's preference");
  for (const hash of hashes) {
    for (const group of groups) {
      const found = await authenticate({ hashes: [hash], groups: [group] });
      assert.deepEqual(found, [hash, group]);
    }
  }
  const failing = [
    { offer: { hashes: ["sha512"] }, why: /hash in common \(this host offers sha512\)/ },
    { offer: { groups: ["ffdhe3072"] }, why: /group in common \(this host offers ffdhe3072\)/ },
  ] as const;
  for (const { offer, why } of failing) {
    await assert.rejects(authenticate(offer), { code: "authentication-failed", message: why });
  }
  const refused = events.filter(([event]) => event === "host-refused");
  assert.deepEqual(
    refused.map(([, { reason, allowed }]) => [reason, allowed]),
    [
      ["authentication: hashNotUsable", hashes],
      ["authentication: groupNotUsable", groups],
    ],
  );
  for (const nothing of [{ hashes: [] }, { groups: [] }]) {
    const hosts = new Map([[hostNqn, { secret, ...nothing }]]);
    assert.throws(() => running.target.addSubsystem({ ...subsystem, nqn: `${nqn}2`, hosts }), {
      name: "RangeError",
      message: /is empty/,
    });
  }
});

test("TLS carries data with both identity versions, and a wrong key is refused", async () => {
  const key = new ConfiguredPsk(new Uint8Array(32).fill(7), "sha256").reveal();
  const tls = { policy: "required", keys: [{ key }] } as const;
  await using server = await serve({}, "any", { tls });
  for (const identityVersion of [undefined, 0, 1] as const) {
    const version = identityVersion === undefined ? {} : { identityVersion };
    await using controller = await server.connect({ tls: { key, ...version }, ioQueues: 2 });
    await using disk = await controller.openNamespace(1);
    const data = Buffer.alloc(1024 * 1024, "tls");
    await disk.write(0, data);
    assert.equal(await disk.compare(0, data), true);
  }
  const other = new ConfiguredPsk(new Uint8Array(32).fill(8), "sha256").reveal();
  await assert.rejects(server.connect({ tls: { key: other } }), { code: "authentication-failed" });
  await assert.rejects(server.connect(), { name: "InitiatorError" });
});

test("a disk outlives a restart of its target, and a flush tells what may be lost", async () => {
  const device = new MemoryDisk({ sizeBytes });
  const server = await serve({ device });
  const reconnect = { firstDelayMs: 20, delayMsMax: 100 };
  await using controller = await server.connect({ reconnect, ioQueues: 2 });
  await using disk = await controller.openNamespace(1);
  await disk.write(0, Buffer.alloc(65536, "a"));
  await disk.flush();
  await disk.write(65536, Buffer.alloc(65536, "b"));
  const { port } = server.address;
  const back = next(controller, "reconnected");
  await server.running.close();
  const writing = disk.write(131072, Buffer.alloc(65536, "c"));
  await using _second = await serve({ device }, "any", { port });
  await Promise.all([writing, back]);
  await assert.rejects(disk.flush(), { code: "medium" });
  await disk.write(65536, Buffer.alloc(65536, "b"));
  await disk.flush();
  const found = Buffer.alloc(3 * 65536);
  await device.read(0, found);
  assert.equal(
    found.toString("latin1"),
    "abc".replace(/./g, (letter) => letter.repeat(65536)),
  );
});

test("another disk after a restart is not touched", async () => {
  const server = await serve();
  const reconnect = { firstDelayMs: 20, delayMsMax: 100 };
  await using controller = await server.connect({ reconnect });
  await using disk = await controller.openNamespace(1);
  const { port } = server.address;
  const lost = next(controller, "namespace-lost");
  await server.running.close();
  const device = new MemoryDisk({ sizeBytes, contents: Buffer.alloc(4096, "precious") });
  const writing = disk.write(0, Buffer.alloc(512, "x"));
  writing.catch(() => {});
  await using _second = await serve(
    { device, uuid: "00000000-0000-4000-8000-000000000002" },
    "any",
    { port },
  );
  await lost;
  await assert.rejects(writing, { code: "gone", message: /is not the one that was opened/ });
  const found = Buffer.alloc(4096);
  await device.read(0, found);
  assert.ok(found.equals(Buffer.alloc(4096, "precious")));
});

test("faults below the target have their code above it", async () => {
  const device = faultyDisk(new MemoryDisk({ sizeBytes }));
  await using server = await serve({ device });
  await using controller = await server.connect();
  await using disk = await controller.openNamespace(1);
  for (const code of ["medium", "no-space"] as const) {
    device.inject({ kind: "fail", code, times: 1 });
    await assert.rejects(disk.write(0, Buffer.alloc(4096)), { code });
  }
  device.inject({ kind: "fail", code: "medium", on: ["read"], firstLba: 8, lastLba: 8 });
  await assert.rejects(disk.read(0, Buffer.alloc(65536)), { code: "medium" });
  device.heal();
  await disk.read(0, Buffer.alloc(65536));
});

test("the discovery service lists the subsystem, and tells of a change", async () => {
  await using server = await serve();
  const [entry] = (await discover({ ...server.address, hostNqn })).filter(
    ({ subject }) => subject === "subsystem",
  );
  assert.equal(entry?.subsystemNqn, nqn);
  assert.deepEqual(entry?.advertised, server.address);
  const watch = watchDiscovery({ ...server.address, hostNqn });
  const count = async () => {
    const { value } = await watch.next();
    const entries: { readonly subject: string }[] = value ?? [];
    return entries.filter(({ subject }) => subject === "subsystem").length;
  };
  assert.equal(await count(), 1);
  const changed = count();
  const second = { nqn: `${nqn}2`, serial: "S2", hosts: "any" } as const;
  server.running.target.addSubsystem(second);
  assert.equal(await changed, 2);
  await watch.return(undefined);
});

test("readReservation tells of which type a reservation is, and which hosts hold it", async () => {
  await using server = await serve();
  const hostId = "99999999-1234-4234-8234-123456789abc";
  await using holder = await server.connect({ hostId });
  await using looking = await server.connect();
  assert.equal(await readReservation(looking, 1), undefined);
  const send = (io: Command, data: Uint8Array) =>
    holder.executeIo(io, { transfer: { kind: "out", data } });
  const action = { rrega: registerAction.register, iekey: false, cptpl: 0 };
  await send(
    command("reservationRegister", { nsid: 1, action }),
    reservationRegisterData.encode({ crkey: 0n, nrkey: 1n }),
  );
  assert.equal(await readReservation(looking, 1), undefined, "registered, and nothing reserved");
  await send(
    command("reservationAcquire", {
      nsid: 1,
      action: { racqa: acquireAction.acquire, iekey: false },
      rtype: reservationType.exclusiveAccess,
    }),
    reservationAcquireData.encode({ crkey: 1n, prkey: 0n }),
  );
  const found = { type: "exclusiveAccess", holders: [hostId] };
  assert.deepEqual(await readReservation(looking, 1), found);
});
