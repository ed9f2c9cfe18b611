/** Hosts that come from elsewhere: what each sends at connect, identify and shutdown. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { MemoryDisk } from "../block/index.ts";
import {
  type Command,
  cap,
  cns,
  command,
  decodeNamespaceDescriptors,
  decodeProperty,
  discoveryLogEntry,
  discoveryNqn,
  encodeCommand,
  encodeIcReq,
  feature,
  featuresSupportedLog,
  identifyController,
  identifyNamespace,
  logPage,
  numberOfQueues,
  property,
  refusedParameter,
  u64OfDwords,
} from "../nvme/index.ts";
import { enabled, pattern, TestHost, TestQueue } from "./testing/host.ts";
import { makeTarget, subnqn, uuid } from "./testing/make.ts";

const nsid = 1;
const everyNsid = 0xffffffff;

/** Sends commands one after the other, and says how each one ended. */
async function statuses(queue: TestQueue, steps: readonly (readonly [Command, number?])[]) {
  const found: string[] = [];
  for (const [value, readBytes = 0] of steps) {
    found.push((await queue.send(value, { readBytes })).status);
  }
  return found;
}

const getLog = (lid: number, bytes: number, id = everyNsid) =>
  [command("getLogPage", { lid, numd: bytes / 4, nsid: id }), bytes] as const;
const identify = (structure: number, id = 0, csi = 0) =>
  [command("identify", { cns: structure, nsid: id, csi }), 4096] as const;

test("SPDK's host is served: nvme identify, and perf with 128 KiB and both digests", async () => {
  const { target, clock } = makeTarget();
  const host = new TestHost(target, clock, {
    subnqn,
    katoMs: 10_000,
    dgst: { hdgst: true, ddgst: true },
  });
  host.admin = host.queue();
  const connected = await host.connect(host.admin, 0);
  assert.equal(connected.status, "success");
  host.cntlid = connected.completion.dw0 % 65536;
  // Registers first; it enables all command sets where CAP.CSS says that they are told apart.
  const wide = { ...command("propertyGet").attrib, size: 1 };
  const capReply = await host.admin.send(command("propertyGet", { ofst: 0, attrib: wide }));
  const { dw0, dw1 } = capReply.completion;
  const { features, mqes } = decodeProperty(cap, u64OfDwords(dw0, dw1));
  assert.deepEqual([mqes, features.css, features.crwms], [128, 0x41, true]);
  assert.equal(await host.property(property.vs.ofst), 0x20000);
  assert.equal(await host.property(property.cc.ofst), 0);
  await host.setConfiguration({ ...enabled(), css: 6 });
  assert.equal(await host.property(), 1);
  const features1 = [7, 11, 15].map((fid) => [command("getFeatures", { fid })] as const);
  const found = await statuses(host.admin, [
    identify(cns.controller),
    // It asks for zoned namespaces, and takes an answer of zeros for having them.
    identify(cns.commandSetController, 0, 2),
    [command("setFeatures", { fid: feature.asyncEventConfiguration, cdw11: 0x31f })],
    ...features1,
    [command("setFeatures", { fid: feature.numberOfQueues, cdw11: 0x007e007e })],
    identify(cns.activeNamespaces),
    identify(cns.namespace, nsid),
    identify(cns.namespaceDescriptors, nsid),
    identify(cns.commandSetNamespace, nsid),
    getLog(logPage.commandsSupported, 4096),
    getLog(logPage.ana, 16 + 32 + 1024 * 4, 0),
    getLog(logPage.errorInformation, 128 * 64),
    getLog(logPage.smart, 512),
    getLog(logPage.firmwareSlot, 512),
    [command("getFeatures", { fid: feature.arbitration })],
    [command("getFeatures", { fid: feature.powerManagement })],
    [command("getFeatures", { fid: feature.temperatureThreshold })],
  ]);
  assert.deepEqual(
    found.filter((status) => status !== "success"),
    ["commandSetNotSupported"],
  );
  for (let n = 0; n < 4; n++) void host.admin.send(command("asyncEventRequest"));
  const io = host.queue();
  assert.equal((await host.connect(io, 1, { sqsize: 128 })).status, "success");
  const data = pattern(131072, 7);
  const write = command("write", { nsid, nlb: 256 });
  assert.equal((await io.send(write, { data, inCapsule: false })).status, "success");
  const small = command("write", { nsid, slba: 512n, nlb: 16 });
  assert.equal((await io.send(small, { data: data.subarray(0, 8192) })).status, "success");
  const read = await io.send(command("read", { nsid, nlb: 256 }), { readBytes: data.length });
  assert.deepEqual(read.data, data);
  await host.setConfiguration({ ...enabled(), css: 6, shn: 1 });
  await new Promise<void>((done) => setImmediate(done));
  assert.equal(await host.property(), 1 + 8);
});

test("a host that follows the text of Base 2.2 is served: byte 1 cleared, a host identifier of 0", async () => {
  const { target, clock } = makeTarget();
  const host = await TestHost.open(target, clock, { subnqn }, 0);
  const raw = encodeCommand(command("propertyGet", { ofst: property.csts.ofst }), 900);
  raw[1] = 0;
  raw.fill(0, 24, 40);
  const reply = await host.admin.sendRaw(raw);
  assert.deepEqual([reply.completion.status, reply.completion.dw0], [0, 1]);
  const later = new TestHost(target, clock, { subnqn, hostid: 0 });
  later.cntlid = host.cntlid;
  const io = later.queue();
  assert.equal((await later.connect(io, 1)).status, "success");
  const disconnect = encodeCommand(command("disconnect"), 901);
  disconnect[1] = 0;
  assert.equal((await io.sendRaw(disconnect)).completion.status, 0);
  assert.ok(io.isEnded);
});

test("a host is told of each feature whether it is there, and Get Features agrees", async () => {
  const { open } = makeTarget();
  for (const options of [{}, { subnqn: discoveryNqn }]) {
    const { admin } = await open(options, 0);
    const [get, bytes] = getLog(logPage.featuresSupported, 1024, 0);
    const page = featuresSupportedLog.decode((await admin.send(get, { readBytes: bytes })).data);
    for (const [fid, { fsupp, fsp }] of page.fis.entries()) {
      const cdw11 = fid === feature.hostIdentifier ? 1 : 0;
      const readBytes = { [feature.hostIdentifier]: 16, [feature.hostBehavior]: 512 }[fid] ?? 0;
      const value = command("getFeatures", { fid, cdw11, nsid: fsp === 1 ? nsid : 0 });
      const { status } = await admin.send(value, { readBytes });
      assert.equal(status, fsupp ? "success" : "invalidField", `feature ${fid}`);
    }
  }
});

test("Host Behavior Support is given back as it was set, until a reset", async () => {
  const { open } = makeTarget();
  const host = await open({}, 0);
  const fid = feature.hostBehavior;
  const get = async () => {
    const { data } = await host.admin.send(command("getFeatures", { fid }), { readBytes: 512 });
    return data;
  };
  assert.deepEqual(await get(), new Uint8Array(512));
  const data = new Uint8Array(512).fill(1, 0, 3);
  assert.equal(
    (await host.admin.send(command("setFeatures", { fid }), { data })).status,
    "success",
  );
  assert.deepEqual(await get(), data);
  await host.enable({ en: false });
  await host.enable();
  assert.deepEqual(await get(), new Uint8Array(512));
});

test("Get Log Page refuses offsets by index, and keeps what it tells until the host has done", async () => {
  const { open, target } = makeTarget();
  const { admin } = await open();
  const { offset, specific } = command("getLogPage");
  const byIndex = command("getLogPage", {
    lid: logPage.smart,
    numd: 128,
    offset: { ...offset, ot: true },
  });
  assert.equal((await admin.send(byIndex, { readBytes: 512 })).status, "invalidField");
  const fid = feature.asyncEventConfiguration;
  await admin.send(command("setFeatures", { fid, cdw11: 0x100 }));
  target.subsystems.get(subnqn)!.namespaceChanged(nsid);
  const firstOf = async (rae: boolean) => {
    const value = command("getLogPage", {
      lid: logPage.changedNamespaces,
      numd: 1024,
      specific: { ...specific, rae },
    });
    return (await admin.send(value, { readBytes: 4096 })).data[0];
  };
  assert.deepEqual([await firstOf(true), await firstOf(false), await firstOf(false)], [1, 1, 0]);
});

test("Identify tells namespaces that are not active from ids that are none", async () => {
  const { open } = makeTarget();
  const { admin } = await open();
  for (const structure of [cns.namespace, cns.independentNamespace, cns.commandSetNamespace]) {
    const [value] = identify(structure, 7);
    const inactive = await admin.send(value, { readBytes: 4096 });
    assert.equal(inactive.status, "success", `CNS ${structure}`);
    assert.ok(inactive.data.every((byte) => byte === 0));
    const [none] = identify(structure, 5000);
    assert.equal((await admin.send(none, { readBytes: 4096 })).status, "invalidNamespace");
  }
  const [value] = identify(cns.namespace, nsid);
  const { dlfeat } = identifyNamespace.decode((await admin.send(value, { readBytes: 4096 })).data);
  // Linux asks Write Zeroes to deallocate where both are so.
  assert.deepEqual([dlfeat.readBehavior, dlfeat.writeZeroesDeallocate], [1, true]);
});

test("a read without a data pointer is refused, and one behind a lone fused Compare is done", async () => {
  const { open } = makeTarget();
  const { io } = await open();
  const queue = io[0]!;
  const bare = encodeCommand(command("read", { nsid, nlb: 1 }), 900);
  bare.fill(0, 24, 40);
  assert.equal((await queue.sendRaw(bare)).status, "sglInvalidData");
  const alone = queue.send(command("compare", { nsid, nlb: 1 }), { data: pattern(512), fused: 1 });
  const read = await queue.send(command("read", { nsid, nlb: 1 }), { readBytes: 512 });
  assert.equal(read.status, "success");
  assert.equal((await alone).status, "fusedMissing");
});

test("sizes and counts are what the limits say: MDTS, entries, in-capsule data, queues", async () => {
  const limits = {
    transferBytesMax: 131072,
    queueEntriesMax: 64,
    capsuleDataBytesMax: 4096,
    ioQueuesMax: 4,
  };
  const { open } = makeTarget(undefined, {}, { limits });
  const host = await open({}, 4);
  const [value] = identify(cns.controller);
  const found = identifyController.decode((await host.admin.send(value, { readBytes: 4096 })).data);
  assert.deepEqual([found.mdts, found.maxcmd, found.ioccsz], [5, 64, (64 + 4096) / 16]);
  const io = host.io[0]!;
  for (const [nlb, status] of [
    [256, "success"],
    [257, "invalidField"],
  ] as const) {
    const read = command("read", { nsid, nlb });
    assert.equal((await io.send(read, { readBytes: nlb * 512 })).status, status);
    const compare = command("compare", { nsid, nlb });
    const data = new Uint8Array(nlb * 512);
    assert.equal((await io.send(compare, { data, inCapsule: false })).status, status);
  }
  assert.equal((await host.connect(host.queue(), 5)).status, "connectInvalidParameters");
  const large = await host.connect(host.queue(), 1, { sqsize: 65 });
  assert.equal(large.status, "connectInvalidParameters");
});

test("limits that hosts could not be told of are refused when the target is made", () => {
  for (const limits of [
    { transferBytesMax: 100_000 },
    { transferBytesMax: 2048 },
    { capsuleDataBytesMax: 100 },
    { capsuleDataBytesMax: -16 },
    { queueEntriesMax: 1 },
    { queueEntriesMax: 65536 },
    { ioQueuesMax: 0 },
    { ioQueuesMax: 65535 },
    { connectionsMax: 0.5 },
  ]) {
    const [name] = Object.keys(limits);
    assert.throws(() => makeTarget(undefined, {}, { limits }), {
      name: "RangeError",
      message: new RegExp(`^Cannot make a target with ${name} `),
    });
  }
});

test("a host gets 128 I/O queues, and each one works", async () => {
  const { open } = makeTarget();
  const host = await open({}, 128);
  const cdw11 = 0x00ff00ff;
  const early = await open({}, 0);
  const set = command("setFeatures", { fid: feature.numberOfQueues, cdw11 });
  const { dw0 } = (await early.admin.send(set)).completion;
  const raw = new Uint8Array(new Uint32Array([dw0]).buffer);
  assert.deepEqual(numberOfQueues.decode(raw), { nsq: 128, ncq: 128 });
  for (const queue of host.io) {
    assert.equal((await queue.send(command("flush", { nsid }))).status, "success");
  }
  assert.equal((await host.connect(host.queue(), 129)).status, "connectInvalidParameters");
});

test("a discovery service has a name of its own beside the well-known one, and refers to others", async () => {
  const unique = "nqn.2026-11.org.example:discovery";
  const referrals = [{ address: "192.0.2.77", port: 8009 }];
  const { open, target } = makeTarget(undefined, {}, { discoveryNqn: unique, referrals });
  target.addListening({ host: "192.0.2.1", port: 8009, tls: "off", discoveryOnly: true });
  for (const name of [discoveryNqn, unique]) {
    const { admin } = await open({ subnqn: name, isDiscoveryOnly: true }, 0);
    const [value] = identify(cns.controller);
    const { subnqn: told, cntrltype } = identifyController.decode(
      (await admin.send(value, { readBytes: 4096 })).data,
    );
    assert.deepEqual([told, cntrltype], [unique, 2]);
    const [get, bytes] = getLog(logPage.discovery, 3072, 0);
    const { data } = await admin.send(get, { readBytes: bytes });
    const entries = [1, 2].map((n) => discoveryLogEntry.decode(data, n * 1024));
    assert.deepEqual(
      entries.map(({ subtype, subnqn: of, traddr, trsvcid }) => [subtype, of, traddr, trsvcid]),
      [
        [3, unique, "192.0.2.1", "8009"],
        [1, discoveryNqn, "192.0.2.77", "8009"],
      ],
    );
  }
});

test("an ICReq of a host that wants its data aligned to 128 bytes is answered", () => {
  const { target, clock } = makeTarget();
  const queue = new TestQueue(target, clock, "192.0.2.1");
  const dgst = { hdgst: false, ddgst: false };
  queue.push(encodeIcReq({ pfv: 0, hpda: 128, dgst, maxr2t: 64 }));
  const answer = queue.pdus.at(-1);
  assert.ok(answer?.type === "ICResp" && answer.cpda === 4 && answer.maxh2cdata % 4 === 0);
});

/** NGUID and EUI-64 as Identify Namespace has them, and what the descriptors are. */
async function namesOf(given: { nguid?: string; eui64?: string }) {
  const device = new MemoryDisk({ sizeBytes: 2 ** 20 });
  const { open } = makeTarget(device, { namespaces: [{ device, uuid, ...given }] });
  const { admin } = await open();
  const ask = async (structure: number) => {
    const [value, readBytes] = identify(structure, nsid);
    return (await admin.send(value, { readBytes })).data;
  };
  const found = identifyNamespace.decode(await ask(cns.namespace));
  const { eui64, nguid } = decodeNamespaceDescriptors(await ask(cns.namespaceDescriptors)) ?? {};
  const hex = (raw: Uint8Array) => Buffer.from(raw).toString("hex");
  return { nguid: hex(found.nguid), eui64: hex(found.eui64), described: { eui64, nguid } };
}

test("a namespace has an NGUID, which ESXi names disks by: its UUID's bytes unless told", async () => {
  const ofUuid = "12345678123442348234123456789abc";
  const none = { eui64: undefined, nguid: undefined };
  assert.deepEqual(await namesOf({}), {
    nguid: ofUuid,
    eui64: "0".repeat(16),
    described: { ...none, nguid: ofUuid },
  });
  const [nguid, eui64] = ["01".repeat(16), "02".repeat(8)];
  assert.deepEqual(await namesOf({ nguid }), {
    nguid,
    eui64: "0".repeat(16),
    described: { ...none, nguid },
  });
  assert.deepEqual(await namesOf({ eui64 }), {
    nguid: "0".repeat(32),
    eui64,
    described: { ...none, eui64 },
  });
});

test("a disk that is read-only, or that a host protects, is no drive that fails", async () => {
  const device = new MemoryDisk({ sizeBytes: 2 ** 20, readOnly: true });
  for (const made of [makeTarget(device), makeTarget()]) {
    const { admin } = await made.open();
    const protect = { fid: feature.namespaceWriteProtect, nsid, cdw11: 1 };
    const reply = await admin.send(command("setFeatures", protect));
    assert.equal(reply.status, made.device === device ? "featureNotChangeable" : "success");
    const get = command("getFeatures", { fid: feature.namespaceWriteProtect, nsid });
    // Of the states, NWPC says that there are none and this one.
    assert.equal((await admin.send(get)).completion.dw0, 1, "write protected");
    const [value, readBytes] = getLog(logPage.smart, 512);
    const { data } = await admin.send(value, { readBytes });
    assert.equal(data[0], 0, "Critical Warning");
  }
});

test("entry sizes are looked at when an I/O queue connects: a host may set them after CC.EN", async () => {
  const { open } = makeTarget();
  const host = await open({}, 0);
  await host.enable({ en: false });
  for (const wrong of [{ iosqes: 0, iocqes: 0 }, { iosqes: 5 }, { iocqes: 3 }]) {
    await host.enable(wrong);
    assert.equal(await host.property(), 1, "ready");
    const { status, completion } = await host.connect(host.queue(), 1);
    assert.equal(status, "connectInvalidParameters");
    assert.equal(refusedParameter(completion), "QID");
  }
  await host.enable();
  assert.equal((await host.connect(host.queue(), 1)).status, "success");
});
