import assert from "node:assert/strict";
import { test } from "node:test";
import { faultyDisk, MemoryDisk } from "../block/index.ts";
import {
  command,
  discoveryNqn,
  encodeIcReq,
  fes,
  property,
  refusedParameter,
} from "../nvme/index.ts";
import { hostnqn, pattern, TestHost, TestQueue } from "./testing/host.ts";
import { makeTarget, subnqn } from "./testing/make.ts";

const nsid = 1;
const dgst = { hdgst: false, ddgst: false };

test("a target ends a connection that breaks the protocol with the right C2HTermReq", async () => {
  const { target, clock, open } = makeTarget();
  const cases: { name: string; fes: number; run: (queue: TestQueue) => void }[] = [
    {
      name: "unknown type",
      fes: fes.invalidHeaderField,
      run: (q) => q.push(new Uint8Array(8).fill(9)),
    },
    {
      name: "two ICReqs",
      fes: fes.sequence,
      run: (q) => q.push(encodeIcReq({ pfv: 0, hpda: 4, dgst, maxr2t: 1 })),
    },
    {
      name: "unknown TTAG",
      fes: fes.invalidHeaderField,
      run: (q) => q.sendData(1, 7, 0, pattern(4), true),
    },
  ];
  for (const { name, fes: wanted, run } of cases) {
    const queue = new TestQueue(target, clock, "192.0.2.1");
    queue.initialize();
    run(queue);
    const last = queue.pdus.at(-1);
    assert.ok(last?.type === "C2HTermReq" && last.fes === wanted, name);
    assert.ok(queue.isEnded, name);
  }
  const { io } = await open();
  assert.equal((await io[0]!.send(command("flush", { nsid }))).status, "success");
});

test("a target refuses commands before ICReq, and an ICReq of another version", () => {
  const { target, clock } = makeTarget();
  const early = new TestQueue(target, clock, "192.0.2.1");
  early.sendData(1, 1, 0, pattern(4), true);
  const first = early.pdus.at(-1);
  assert.ok(first?.type === "C2HTermReq" && first.fes === fes.sequence);
  const odd = new TestQueue(target, clock, "192.0.2.1");
  odd.push(encodeIcReq({ pfv: 1, hpda: 4, dgst, maxr2t: 1 }));
  const last = odd.pdus.at(-1);
  assert.ok(last?.type === "C2HTermReq" && last.fes === fes.unsupportedParameter);
  assert.equal(target.connectionCount, 0);
});

test("H2CData out of order, beyond its transfer or of another command ends the connection", async () => {
  const { open } = makeTarget();
  const data = pattern(16384);
  const write = command("write", { nsid, nlb: 32 });
  const wrongs: ((queue: TestQueue, cid: number, ttag: number) => void)[] = [
    (queue, cid, ttag) => queue.sendData(cid, ttag, 512, data.subarray(0, 512), false),
    (queue, cid, ttag) => queue.sendData(cid, ttag, 0, pattern(16388), true),
    (queue, cid, ttag) => queue.sendData(cid + 1, ttag, 0, data, true),
    (queue, cid, ttag) => queue.sendData(cid, ttag, 0, data.subarray(0, 512), true),
    (queue, cid, ttag) => queue.sendData(cid, ttag, 0, data, false),
  ];
  for (const [index, wrong] of wrongs.entries()) {
    const { io } = await open();
    const queue = io[0]!;
    void queue.send(write, { data, inCapsule: false });
    const r2t = queue.pdus.at(-1);
    assert.ok(r2t?.type === "R2T" && r2t.r2tl === data.length);
    wrong(queue, r2t.cccid, r2t.ttag);
    assert.equal(queue.pdus.at(-1)?.type, "C2HTermReq", `case ${index}`);
    assert.ok(queue.isEnded, `case ${index}`);
  }
});

test("Connect names the field that it is refused for", async () => {
  const { target, clock } = makeTarget();
  const cases = [
    { name: "SUBNQN", qid: 0, given: { subnqn: "nqn.2026-11.org.example:other" } },
    { name: "HOSTNQN", qid: 0, given: { hostnqn: "no name" } },
    { name: "CNTLID", qid: 0, given: { cntlid: 3 } },
    { name: "SQSIZE", qid: 0, given: { sqsize: 1 } },
    { name: "SQSIZE", qid: 0, given: { sqsize: 4096 } },
    { name: "CNTLID", qid: 1, given: { cntlid: 77 } },
  ];
  for (const { name, qid, given } of cases) {
    const host = new TestHost(target, clock, { subnqn });
    const reply = await host.connect(host.queue(), qid, given);
    assert.equal(reply.status, "connectInvalidParameters", name);
    assert.equal(refusedParameter(reply.completion), name);
    assert.ok(reply.dnr, name);
  }
});

test("Connect takes its data by R2T too, as old hosts send it", async () => {
  const { target, clock } = makeTarget();
  const host = new TestHost(target, clock, { subnqn });
  const queue = host.queue();
  const send = queue.send.bind(queue);
  queue.send = (value, options) => send(value, { ...options, inCapsule: false });
  assert.equal((await host.connect(queue, 0)).status, "success");
});

test("controllers have ids of their own, not used again at once, up to as many as may be", async () => {
  const { open, target, clock } = makeTarget(undefined, {}, { limits: { controllersMax: 2 } });
  const [first, second] = [await open({}, 0), await open({ hostid: 2 }, 0)];
  const host = new TestHost(target, clock, { subnqn });
  const refused = await host.connect(host.queue(), 0);
  assert.deepEqual([refused.status, refused.dnr], ["connectControllerBusy", false]);
  first.admin.connection.end("cut");
  const third = await open({}, 0);
  const ids = [first, second, third].map(({ cntlid }) => cntlid);
  assert.equal(new Set(ids).size, 3, `${ids}`);
  await open({ subnqn: discoveryNqn }, 0);
});

test("a host has no more controllers than one host may, and others have theirs all the same", async () => {
  const { open, target, clock } = makeTarget(undefined, {}, { limits: { hostControllersMax: 1 } });
  const first = await open({}, 0);
  const refused = async () => {
    const host = new TestHost(target, clock, { subnqn });
    return (await host.connect(host.queue(), 0)).status;
  };
  assert.equal(await refused(), "connectControllerBusy");
  await open({ hostnqn: "nqn.2026-11.org.example:other" }, 0);
  first.admin.connection.end("cut");
  await open({}, 0);
  assert.equal(await refused(), "connectControllerBusy");
});

test("an I/O queue connects only to a controller of its host that is ready", async () => {
  const { target, clock, open } = makeTarget();
  const host = await open({}, 0);
  const stranger = new TestHost(target, clock, { subnqn, hostid: 9 });
  const foreign = await stranger.connect(stranger.queue(), 1, { cntlid: host.cntlid });
  assert.equal(foreign.status, "connectInvalidParameters");
  await host.enable({ en: false });
  assert.equal((await host.connect(host.queue(), 1)).status, "commandSequence");
  await host.enable();
  assert.equal((await host.connect(host.queue(), 500)).status, "connectInvalidParameters");
  assert.equal((await host.connect(host.queue(), 1)).status, "success");
});

test("commands before Connect and before CC.EN are out of sequence", async () => {
  const { target, clock, open } = makeTarget();
  const host = new TestHost(target, clock, { subnqn });
  const queue = host.queue();
  assert.equal((await queue.send(command("keepAlive"))).status, "commandSequence");
  const ready = await open();
  await ready.enable({ en: false });
  assert.ok(ready.io[0]!.isEnded, "a reset ends the I/O queues");
  const identify = command("identify", { cns: 1 });
  const reply = await ready.admin.send(identify, { readBytes: 4096 });
  assert.equal(reply.status, "commandSequence");
});

test("CC with settings that do not fit makes the controller fail", async () => {
  const { open } = makeTarget();
  for (const wrong of [{ mps: 1 }, { ams: 1 }, { css: 1 }]) {
    const host = await open({}, 0);
    await host.enable({ en: false });
    await host.enable(wrong);
    assert.equal(await host.property(), 2, JSON.stringify(wrong));
  }
});

test("a shutdown flushes before CSTS says that it is complete", async () => {
  const gate = Promise.withResolvers<void>();
  const disk = faultyDisk(new MemoryDisk({ sizeBytes: 2 ** 20 }), {
    kind: "slow",
    on: ["flush"],
    until: () => gate.promise,
  });
  const { open } = makeTarget(disk);
  const host = await open();
  assert.equal(await host.property(), 1);
  await host.enable({ shn: 1 });
  assert.equal(await host.property(), 1 + 4);
  gate.resolve();
  await host.admin.connection.settled();
  await new Promise<void>((done) => setImmediate(done));
  assert.equal(await host.property(), 1 + 8);
});

test("properties are read and set at their width only", async () => {
  const { open } = makeTarget();
  const { admin } = await open();
  const narrow = { ...command("propertyGet").attrib, size: 0 };
  const wide = { ...narrow, size: 1 };
  const get = (ofst: number, attrib: typeof wide) =>
    admin.send(command("propertyGet", { ofst, attrib }));
  assert.equal((await get(property.cap.ofst, wide)).status, "success");
  assert.equal((await get(property.cap.ofst, narrow)).status, "invalidField");
  assert.equal((await get(property.vs.ofst, wide)).status, "invalidField");
  assert.equal((await get(0x30, narrow)).status, "invalidField");
  const set = command("propertySet", { ofst: property.csts.ofst, value: 1n });
  assert.equal((await admin.send(set)).status, "invalidField");
});

test("the death of the admin queue ends its I/O queues; that of an I/O queue only itself", async () => {
  const { open, target } = makeTarget();
  const host = await open({}, 3);
  host.io[1]!.connection.end("cut");
  assert.deepEqual(
    host.io.map(({ isEnded }) => isEnded),
    [false, true, false],
  );
  host.admin.connection.end("cut");
  assert.ok(host.io.every(({ isEnded }) => isEnded));
  assert.equal(target.subsystems.get(subnqn)!.controllers.size, 0);
  assert.equal(target.connectionCount, 0);
});

test("a queue that is connected again replaces its old connection, once that is at rest", async () => {
  const gate = Promise.withResolvers<void>();
  const disk = faultyDisk(new MemoryDisk({ sizeBytes: 2 ** 20 }), {
    kind: "slow",
    on: ["write"],
    until: () => gate.promise,
  });
  const { open } = makeTarget(disk);
  const host = await open();
  void host.io[0]!.send(command("write", { nsid, nlb: 1 }), { data: pattern(512) });
  let isConnected = false;
  const again = host.queue();
  const connecting = host.connect(again, 1).then((reply) => {
    isConnected = true;
    return reply;
  });
  await new Promise<void>((done) => setImmediate(done));
  assert.ok(host.io[0]!.isEnded);
  assert.ok(!isConnected, "the old write is still under way");
  gate.resolve();
  assert.equal((await connecting).status, "success");
  assert.equal((await again.send(command("flush", { nsid }))).status, "success");
});

test("a host that is silent for longer than KATO, twice, is disconnected; any command keeps it", async () => {
  const { open, target, clock } = makeTarget();
  const host = await open({ katoMs: 1500 });
  for (let turn = 0; turn < 5; turn++) {
    clock.nowMs += 3900;
    target.tick(clock.nowMs);
    const queue = turn % 2 === 0 ? host.admin : host.io[0]!;
    const value = turn % 2 === 0 ? command("keepAlive") : command("flush", { nsid });
    assert.equal((await queue.send(value)).status, "success");
  }
  clock.nowMs += 3900;
  const another = host.queue();
  assert.equal((await host.connect(another, 2)).status, "success");
  clock.nowMs += 3900;
  target.tick(clock.nowMs);
  assert.ok(!host.admin.isEnded, "a queue that connects is heard of too");
  clock.nowMs += 200;
  target.tick(clock.nowMs);
  assert.ok(host.admin.isEnded && host.io[0]!.isEnded && another.isEnded);
});

test("a discovery controller without KATO has one of its own", async () => {
  const { open, target, clock } = makeTarget();
  const host = await open({ subnqn: discoveryNqn }, 0);
  clock.nowMs += 239_000;
  target.tick(clock.nowMs);
  assert.ok(!host.admin.isEnded);
  clock.nowMs += 2000;
  target.tick(clock.nowMs);
  assert.ok(host.admin.isEnded);
});

test("a connection without a finished Connect is closed in time; too many push the oldest out", async () => {
  const { target, clock, open } = makeTarget(
    undefined,
    {},
    { limits: { halfOpenMax: 2, halfOpenBurstMax: 2 } },
  );
  const live = await open();
  const first = new TestQueue(target, clock, "192.0.2.1");
  const second = new TestQueue(target, clock, "192.0.2.1");
  second.initialize();
  const third = new TestQueue(target, clock, "192.0.2.1");
  assert.deepEqual([first.isEnded, second.isEnded, third.isEnded], [true, false, false]);
  clock.nowMs += 10_000;
  target.tick(clock.nowMs);
  assert.ok(second.isEnded && third.isEnded && !live.admin.isEnded);
});

test("a target takes so many connections and no more", async () => {
  const { open } = makeTarget(undefined, {}, { limits: { connectionsMax: 2 } });
  await open();
  await assert.rejects(open(), /refused the connection/);
});

test("where only discovery is, no subsystem can be reached", async () => {
  const { open } = makeTarget();
  await open({ isDiscoveryOnly: true, subnqn: discoveryNqn }, 0);
  await assert.rejects(open({ isDiscoveryOnly: true }), /connectInvalidParameters/);
});

test("a host whose TLS key is for others may not connect", async () => {
  const { open } = makeTarget();
  await open({ tls: { hostnqn, subnqn, isGenerated: false } });
  const other = "nqn.2026-11.org.example:other";
  await assert.rejects(
    open({ tls: { hostnqn: other, subnqn, isGenerated: false } }),
    /connectInvalidHost/,
  );
  await assert.rejects(
    open({ tls: { hostnqn, subnqn: other, isGenerated: false } }),
    /connectInvalidHost/,
  );
});

test("damaged data fails its command, which may be sent again; the connection goes on", async () => {
  const { open, device } = makeTarget();
  const { io } = await open({ dgst: { hdgst: false, ddgst: true } });
  const queue = io[0]!;
  const write = command("write", { nsid, nlb: 1 });
  const data = pattern(512);
  const receive = queue.connection.receive.bind(queue.connection);
  queue.connection.receive = (chunk) => {
    const damaged = Uint8Array.from(chunk);
    damaged[chunk.length - 9]! ^= 1;
    receive(damaged);
  };
  const reply = await queue.send(write, { data });
  assert.deepEqual([reply.status, reply.dnr], ["transientTransport", false]);
  queue.connection.receive = receive;
  const found = new Uint8Array(512);
  await device.read(0, found);
  assert.ok(found.every((byte) => byte === 0));
  assert.equal((await queue.send(write, { data })).status, "success");
});

test("a host that does not take its data is disconnected, and no memory stays with it", async () => {
  const { open, target, clock } = makeTarget();
  const { io } = await open();
  io[0]!.isStalled = true;
  void io[0]!.send(command("read", { nsid, nlb: 2048 }), { readBytes: 2 ** 20 });
  target.tick(clock.nowMs);
  clock.nowMs += 61_000;
  target.tick(clock.nowMs);
  assert.ok(io[0]!.isEnded);
  assert.equal(target.budget.usedBytes, 0);
});

test("a second command with a cid that is under way is refused", async () => {
  const { open } = makeTarget();
  const { io } = await open();
  const queue = io[0]!;
  const data = pattern(16384);
  const write = queue.send(command("write", { nsid, nlb: 32 }), { data, inCapsule: false, cid: 5 });
  const transfer = queue.waiting.get(5)!;
  const conflict = queue.send(command("flush", { nsid }), { cid: 5 });
  queue.waiting.set(5, transfer);
  assert.equal((await conflict).status, "commandIdConflict");
  assert.equal((await write).status, "success");
});

test("more commands at a time than the queue can have end the connection", async () => {
  const disk = faultyDisk(new MemoryDisk({ sizeBytes: 2 ** 20 }), {
    kind: "slow",
    until: () => new Promise(() => {}),
  });
  const { open } = makeTarget(disk);
  const { io } = await open();
  for (let n = 0; n < 70 && !io[0]!.isEnded; n++) void io[0]!.send(command("flush", { nsid }));
  const last = io[0]!.pdus.at(-1);
  assert.ok(last?.type === "C2HTermReq" && last.fes === fes.limitExceeded);
});

test("only hosts on the list may connect, and discovery shows them what they may see", async () => {
  const { open, target } = makeTarget(undefined, { hosts: new Map([[hostnqn, {}]]) });
  target.addListening({ host: "0.0.0.0", port: 4420, tls: "off", discoveryOnly: false });
  const other = "nqn.2026-11.org.example:other";
  await open();
  await assert.rejects(open({ hostnqn: other }), /connectInvalidHost/);
  for (const [name, entries] of [
    [hostnqn, 2],
    [other, 1],
  ] as const) {
    const host = await open({ subnqn: discoveryNqn, hostnqn: name }, 0);
    const get = command("getLogPage", { lid: 0x70, numd: 256 });
    const { data } = await host.admin.send(get, { readBytes: 1024 });
    assert.equal(data[8], entries, name);
  }
});

test("a subsystem that is removed takes its hosts' queues along, and is not found any more", async () => {
  const { open, target } = makeTarget();
  const host = await open({}, 2);
  const discovery = await open({ subnqn: discoveryNqn }, 0);
  assert.ok(target.removeSubsystem(subnqn));
  assert.ok(host.admin.isEnded && host.io.every(({ isEnded }) => isEnded));
  assert.ok(!discovery.admin.isEnded);
  await assert.rejects(open(), /connectInvalidParameters/);
  assert.ok(!target.removeSubsystem(subnqn));
});

test("Disconnect ends an I/O queue after its answer, and is not for the admin queue", async () => {
  const { open, events } = makeTarget();
  const host = await open({}, 2);
  const refused = await host.admin.send(command("disconnect"));
  assert.equal(refused.status, "disconnectInvalidQueueType");
  assert.equal((await host.io[0]!.send(command("disconnect"))).status, "success");
  assert.deepEqual([host.io[0]!.isEnded, host.io[1]!.isEnded], [true, false]);
  const ended = events.find(([event]) => event === "connection-ended");
  assert.match(String(ended?.[1].reason), /disconnected/);
});

test("a host that waits for its old writes gets what holds when they are done", async () => {
  const gates = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  let waits = 0;
  const disk = faultyDisk(new MemoryDisk({ sizeBytes: 2 ** 20 }), {
    kind: "slow",
    on: ["write"],
    until: () => gates[waits++]!.promise,
  });
  const { open, target } = makeTarget(disk);
  const leaveWriting = async () => {
    const host = await open();
    void host.io[0]!.send(command("write", { nsid, nlb: 1 }), { data: pattern(512) });
    host.admin.connection.end("cut");
  };
  await leaveWriting();
  const refused = open();
  target.setHosts(subnqn, new Map());
  gates[0]!.resolve();
  await assert.rejects(refused, /connectInvalidHost/);
  target.setHosts(subnqn, "any");
  await leaveWriting();
  const late = open();
  target.removeSubsystem(subnqn);
  gates[1]!.resolve();
  await assert.rejects(late, /connectInvalidParameters/);
});

test("hosts that may no longer come are disconnected, and discovery tells the others", async () => {
  const { open, target } = makeTarget();
  target.addListening({ host: "192.0.2.1", port: 4420, tls: "off", discoveryOnly: false });
  const other = "nqn.2026-11.org.example:other";
  const [stays, changes, goes] = [
    await open(),
    await open({ hostnqn: other }),
    await open({ hostnqn: `${other}2` }),
  ];
  const { admin } = await open({ subnqn: discoveryNqn, hostnqn: `${other}2` }, 0);
  await admin.send(command("setFeatures", { fid: 0x0b, cdw11: 0x80000000 }));
  const event = admin.send(command("asyncEventRequest"));
  const access = new Map([
    [hostnqn, {}],
    [other, { readOnly: true }],
  ]);
  assert.ok(target.setHosts(subnqn, access));
  access.clear();
  assert.deepEqual(
    [stays, changes, goes].map(({ io }) => io[0]!.isEnded),
    [false, true, true],
  );
  assert.equal((await event).status, "success");
  const get = command("getLogPage", { lid: 0x70, numd: 256 });
  assert.equal((await admin.send(get, { readBytes: 1024 })).data[8], 1, "none but the service");
  const { io } = await open({ hostnqn: other });
  const write = command("write", { nsid, nlb: 1 });
  const reply = await io[0]!.send(write, { data: pattern(512) });
  assert.equal(reply.status, "namespaceWriteProtected");
  await assert.rejects(open({ hostnqn: `${other}2` }), /connectInvalidHost/);
  assert.throws(() => target.setHosts(subnqn, new Map([[other, { secret: "none" }]])), RangeError);
  assert.ok(!target.setHosts(`${subnqn}2`, "any"));
});
