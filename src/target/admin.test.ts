import assert from "node:assert/strict";
import { test } from "node:test";
import { faultyDisk, MemoryDisk } from "../block/index.ts";
import {
  acquireAction,
  broadcastNsid,
  cns,
  command,
  csi,
  decodeAsyncEvent,
  decodeNamespaceDescriptors,
  decodeNamespaceList,
  decodeReservationStatus,
  discoveryNqn,
  errorLogEntry,
  feature,
  identifyController,
  identifyNamespace,
  logPage,
  registerAction,
  releaseAction,
  reservationAcquireData,
  reservationRegisterData,
  reservationReleaseData,
  reservationType,
  smartLog,
} from "../nvme/index.ts";
import { pattern, type TestQueue } from "./testing/host.ts";
import { makeTarget, subnqn, uuid } from "./testing/make.ts";

const nsid = 1;

function identify(queue: TestQueue, structure: number, id = 0, set = 0) {
  const value = command("identify", { cns: structure, nsid: id, csi: set });
  return queue.send(value, { readBytes: 4096 });
}

function log(queue: TestQueue, lid: number, bytes: number, id = broadcastNsid, lpo = 0n) {
  const value = command("getLogPage", { lid, numd: bytes / 4, nsid: id, lpo });
  return queue.send(value, { readBytes: bytes });
}

test("Identify Controller says what hosts insist on", async () => {
  const { open } = makeTarget();
  const { admin, cntlid } = await open();
  const found = identifyController.decode((await identify(admin, cns.controller)).data);
  const { kas, ioccsz, iorcsz, icdoff, maxcmd, mdts, subnqn: name, sn, ver } = found;
  assert.deepEqual(
    { cntlid: found.cntlid, kas, ioccsz, iorcsz, icdoff, maxcmd, mdts, name, sn, ver },
    {
      cntlid,
      kas: 10,
      ioccsz: 1028,
      iorcsz: 1,
      icdoff: 0,
      maxcmd: 128,
      mdts: 8,
      name: subnqn,
      sn: "42",
      ver: 0x20000,
    },
  );
  assert.equal(found.sgls.support, 1);
  assert.ok(found.cmic.multiController && found.vwc.present && found.oncs.compare);
});

test("Identify answers every structure that a host asks for, and refuses the others", async () => {
  const { open } = makeTarget();
  const { admin } = await open();
  const cases: [structure: number, id: number, status: string, set?: number][] = [
    [cns.namespace, nsid, "success"],
    [cns.namespace, broadcastNsid, "success"],
    [cns.namespace, 0, "invalidNamespace"],
    [cns.activeNamespaces, 0, "success"],
    [cns.activeNamespaces, broadcastNsid - 1, "invalidNamespace"],
    [cns.activeNamespaces, broadcastNsid, "invalidNamespace"],
    [cns.namespaceDescriptors, nsid, "success"],
    [cns.namespaceDescriptors, 5, "invalidNamespace"],
    [cns.commandSetNamespace, nsid, "success"],
    [cns.commandSetNamespace, nsid, "commandSetNotSupported", 2],
    [cns.commandSetController, 0, "success"],
    [cns.commandSetActiveNamespaces, 0, "success"],
    [cns.independentNamespace, nsid, "success"],
    [cns.allocatedNamespaces, 0, "success"],
    [cns.allocatedNamespace, nsid, "success"],
    [cns.namespaceControllers, nsid, "success"],
    [cns.controllers, 0, "success"],
    [cns.commandSets, 0, "success"],
    [0x40, 0, "invalidField"],
  ];
  for (const [structure, id, status, set] of cases) {
    assert.equal((await identify(admin, structure, id, set)).status, status, `${structure} ${id}`);
  }
  const unused = await identify(admin, cns.namespace, 7);
  assert.ok(unused.data.every((byte) => byte === 0));
  const list = decodeNamespaceList((await identify(admin, cns.activeNamespaces)).data);
  assert.deepEqual(list, [nsid]);
  const { data } = await identify(admin, cns.namespaceDescriptors, nsid);
  const nguid = uuid.replaceAll("-", "");
  assert.deepEqual(decodeNamespaceDescriptors(data), { uuid, nguid, csi: 0 });
});

test("Identify Namespace reports size, block size, hints and write protection", async () => {
  const device = new MemoryDisk({ sizeBytes: 2 ** 20, blockSizeBytes: 4096, readOnly: true });
  const hints = { physicalBlockSizeBytes: 16384, optimalIoBytes: 65536 };
  const { open } = makeTarget(device, { namespaces: [{ device, uuid, ...hints }] });
  const { admin } = await open();
  const found = identifyNamespace.decode((await identify(admin, cns.namespace, nsid)).data);
  assert.deepEqual([found.nsze, found.lbaf[0]!.lbads], [256n, 12]);
  assert.deepEqual([found.npwg, found.nows, found.nsfeat.optperf], [4, 16, true]);
  assert.ok(found.nsattr.writeProtected);
});

test("Commands Supported and Effects has I/O commands of the NVM command set only", async () => {
  const { open } = makeTarget();
  const { admin } = await open();
  const ask = async (set: number) => {
    const lid = logPage.commandsSupported;
    const get = command("getLogPage", { lid, numd: 1024, nsid: broadcastNsid, csi: set });
    const { data, status } = await admin.send(get, { readBytes: 4096 });
    assert.equal(status, "success");
    const has = (from: number) => data.subarray(from, from + 1024).some((byte) => byte !== 0);
    return { admin: has(0), io: has(1024) };
  };
  assert.deepEqual(await ask(csi.nvm), { admin: true, io: true });
  assert.deepEqual(await ask(csi.zoned), { admin: true, io: false });
});

test("Get Log Page answers any dword-aligned part, and refuses what is past the end", async () => {
  const { open } = makeTarget();
  const { admin } = await open();
  const pages: [lid: number, bytes: number][] = [
    [logPage.supportedLogPages, 1024],
    [logPage.errorInformation, 64],
    [logPage.smart, 512],
    [logPage.firmwareSlot, 512],
    [logPage.changedNamespaces, 4096],
    [logPage.commandsSupported, 4096],
    [logPage.ana, 64],
    [logPage.reservationNotification, 64],
  ];
  for (const [lid, bytes] of pages) {
    assert.equal((await log(admin, lid, bytes)).status, "success", `page ${lid}`);
  }
  assert.equal((await log(admin, logPage.discovery, 1024)).status, "invalidLogPage");
  assert.equal((await log(admin, logPage.smart, 4, broadcastNsid, 512n)).status, "success");
  assert.equal((await log(admin, logPage.smart, 4, broadcastNsid, 516n)).status, "invalidField");
  assert.equal(
    (await log(admin, logPage.smart, 4, broadcastNsid, 2n ** 60n)).status,
    "invalidField",
  );
  assert.equal((await log(admin, logPage.smart, 4, broadcastNsid, 2n)).status, "invalidField");
  assert.equal((await log(admin, logPage.smart, 512, 9)).status, "invalidNamespace");
});

test("the error log holds what was refused, and SMART counts it", async () => {
  const { open } = makeTarget();
  const { admin, io } = await open();
  await io[0]!.send(command("read", { nsid, slba: 99_999n, nlb: 1 }), { readBytes: 512, cid: 77 });
  await io[0]!.send(command("read", { nsid, nlb: 4 }), { readBytes: 2048 });
  const entry = errorLogEntry.decode((await log(admin, logPage.errorInformation, 64)).data);
  const { errorCount, sqid, cid, lba, opc } = entry;
  assert.deepEqual(
    { errorCount, sqid, cid, lba, opc },
    { errorCount: 1n, sqid: 1, cid: 77, lba: 99_999n, opc: 2 },
  );
  const smart = smartLog.decode((await log(admin, logPage.smart, 512)).data);
  const { errorLogEntries, hostReads, dataUnitsRead } = smart;
  assert.deepEqual(
    { errorLogEntries, hostReads, dataUnitsRead },
    { errorLogEntries: 1n, hostReads: 1n, dataUnitsRead: 1n },
  );
});

test("features are read and set as their rules say", async () => {
  const { open } = makeTarget();
  const { admin } = await open();
  const get = (fid: number, cdw11 = 0, readBytes = 0, id = 0) =>
    admin.send(command("getFeatures", { fid, cdw11, nsid: id }), { readBytes });
  const set = (fid: number, cdw11: number, id = 0) =>
    admin.send(command("setFeatures", { fid, cdw11, nsid: id }));
  assert.equal((await get(feature.volatileWriteCache)).completion.dw0, 1);
  assert.equal((await set(feature.volatileWriteCache, 0)).status, "success");
  assert.equal((await get(feature.volatileWriteCache)).completion.dw0, 0);
  assert.equal((await set(feature.keepAliveTimer, 1500)).status, "success");
  assert.equal((await get(feature.keepAliveTimer)).completion.dw0, 2000);
  assert.deepEqual((await get(feature.hostIdentifier, 1, 16)).data, new Uint8Array(16).fill(1));
  assert.equal((await get(feature.hostIdentifier, 0, 8)).status, "invalidField");
  assert.equal((await set(feature.hostIdentifier, 1)).status, "commandSequence");
  assert.equal((await get(0xc5)).status, "invalidField");
  assert.equal((await set(feature.namespaceWriteProtect, 3, nsid)).status, "invalidField");
  const { save } = command("setFeatures");
  const saved = command("setFeatures", {
    fid: feature.keepAliveTimer,
    save: { ...save, sv: true },
  });
  assert.equal((await admin.send(saved)).status, "featureNotSaveable");
});

test("Namespace Write Protect holds for every host until it is cleared", async () => {
  const { open } = makeTarget();
  const first = await open();
  const second = await open({ hostid: 2 });
  const fid = feature.namespaceWriteProtect;
  const write = () =>
    second.io[0]!.send(command("write", { nsid, nlb: 1 }), { data: pattern(512) });
  await first.admin.send(command("setFeatures", { fid, cdw11: 1, nsid }));
  assert.equal((await write()).status, "namespaceWriteProtected");
  await second.admin.send(command("setFeatures", { fid, cdw11: 0, nsid }));
  assert.equal((await write()).status, "success");
});

test("an event is told once until its page is read, and only to hosts that asked", async () => {
  const { open, target } = makeTarget();
  const { admin } = await open();
  const subsystem = target.subsystems.get(subnqn)!;
  const told: string[] = [];
  const ask = () =>
    void admin.send(command("asyncEventRequest")).then(({ completion, status }) => {
      told.push(status === "success" ? decodeAsyncEvent(completion.dw0).name : status);
    });
  const settle = () => new Promise<void>((done) => setImmediate(done));
  ask();
  subsystem.namespaceChanged(1);
  await settle();
  assert.deepEqual(told, []);
  const fid = feature.asyncEventConfiguration;
  await admin.send(command("setFeatures", { fid, cdw11: 0x100 }));
  subsystem.namespaceChanged(1);
  ask();
  subsystem.namespaceChanged(1);
  await settle();
  assert.deepEqual(told, ["namespaceAttribute"]);
  assert.deepEqual(
    decodeNamespaceList((await log(admin, logPage.changedNamespaces, 4096)).data),
    [1],
  );
  await settle();
  assert.deepEqual(told, ["namespaceAttribute", "namespaceAttribute"]);
  for (let n = 0; n < 5; n++) ask();
  await settle();
  assert.equal(told.at(-1), "asyncEventLimit");
});

test("Abort ends event requests and reads under way, and says what it could not", async () => {
  const disk = faultyDisk(new MemoryDisk({ sizeBytes: 2 ** 20 }), {
    kind: "slow",
    until: () => new Promise(() => {}),
  });
  const { open } = makeTarget(disk);
  const { admin, io } = await open();
  const event = admin.send(command("asyncEventRequest"), { cid: 40 });
  const read = io[0]!.send(command("read", { nsid, nlb: 1 }), { readBytes: 512, cid: 41 });
  void io[0]!.send(command("write", { nsid, nlb: 1 }), { data: pattern(512), cid: 42 });
  const abort = async (sqid: number, abortCid: number) =>
    (await admin.send(command("abort", { sqid, abortCid }))).completion.dw0;
  assert.equal(await abort(0, 40), 0);
  assert.equal(await abort(1, 41), 0);
  assert.equal((await event).status, "abortRequested");
  assert.equal((await read).status, "abortRequested");
  assert.equal(await abort(1, 42), 1, "a write that the medium has begun");
  assert.equal(await abort(1, 43), 1, "a command that is none");
  assert.equal(await abort(77, 43), 1, "a queue that is none");
  const nowhere = await admin.send(command("abort", { sqid: 77, abortCid: 43 }));
  assert.equal(nowhere.status, "success");
});

test("a reservation keeps other hosts from writing, and is told of and reported", async () => {
  const { open } = makeTarget();
  const first = await open({ hostid: 1 });
  const second = await open({ hostid: 2 });
  const register = (queue: TestQueue, nrkey: bigint) =>
    queue.send(
      command("reservationRegister", {
        nsid,
        action: { rrega: registerAction.register, iekey: false, cptpl: 0 },
      }),
      { data: reservationRegisterData.encode({ crkey: 0n, nrkey }) },
    );
  const acquire = (queue: TestQueue, racqa: number, crkey: bigint, prkey = 0n) =>
    queue.send(
      command("reservationAcquire", {
        nsid,
        action: { racqa, iekey: false },
        rtype: reservationType.writeExclusive,
      }),
      { data: reservationAcquireData.encode({ crkey, prkey }) },
    );
  const write = (queue: TestQueue, inCapsule = true) =>
    queue.send(command("write", { nsid, nlb: 1 }), { data: pattern(512), inCapsule });
  const [one, two] = [first.io[0]!, second.io[0]!];
  assert.equal((await acquire(one, acquireAction.acquire, 1n)).status, "reservationConflict");
  assert.equal((await register(one, 1n)).status, "success");
  assert.equal((await register(two, 2n)).status, "success");
  assert.equal((await acquire(one, acquireAction.acquire, 1n)).status, "success");
  assert.equal((await acquire(two, acquireAction.acquire, 2n)).status, "reservationConflict");
  assert.equal((await write(one)).status, "success");
  for (const inCapsule of [true, false]) {
    assert.equal((await write(two, inCapsule)).status, "reservationConflict");
  }
  const read = await two.send(command("read", { nsid, nlb: 1 }), { readBytes: 512 });
  assert.equal(read.status, "success");
  assert.equal((await acquire(two, acquireAction.preempt, 2n, 1n)).status, "success");
  assert.equal((await write(two)).status, "success");
  assert.equal((await write(one)).status, "reservationConflict");
  const report = command("reservationReport", { nsid, numd: 1024, structure: { eds: true } });
  const status = decodeReservationStatus((await one.send(report, { readBytes: 4096 })).data)!;
  assert.deepEqual(
    status.registrants.map(({ rkey, rcsts }) => [rkey, rcsts.holder]),
    [[2n, true]],
  );
  const notice = await log(first.admin, logPage.reservationNotification, 64);
  assert.equal(notice.data[8], 1, "registration preempted");
  const release = command("reservationRelease", {
    nsid,
    action: { rrela: releaseAction.release, iekey: false },
    rtype: reservationType.writeExclusive,
  });
  const released = await two.send(release, { data: reservationReleaseData.encode({ crkey: 2n }) });
  assert.equal(released.status, "success");
  assert.equal((await write(one)).status, "success");
});

test("a discovery controller answers discovery, and refuses what is for namespaces", async () => {
  const { open, target } = makeTarget();
  target.addListening({ host: "0.0.0.0", port: 4420, tls: "off", discoveryOnly: false });
  const host = await open({ subnqn: discoveryNqn }, 0);
  const { admin } = host;
  const page = await log(admin, logPage.discovery, 4096, 0);
  assert.equal(page.status, "success");
  assert.ok(Buffer.from(page.data).includes("192.0.2.1"), "the address that the host came to");
  assert.equal((await log(admin, logPage.discovery, 4, 0, 65536n)).status, "invalidField");
  assert.equal((await log(admin, logPage.ana, 16, 0)).status, "invalidLogPage");
  assert.equal((await identify(admin, cns.activeNamespaces)).status, "invalidField");
  assert.equal((await log(admin, logPage.smart, 512, 0)).status, "success");
  assert.equal((await host.connect(host.queue(), 1)).status, "connectInvalidParameters");
  const fid = feature.asyncEventConfiguration;
  await admin.send(command("setFeatures", { fid, cdw11: 0x80000000 }));
  const event = admin.send(command("asyncEventRequest"));
  const before = Buffer.from(page.data).readBigUInt64LE(0);
  target.addSubsystem({ nqn: `${subnqn}2`, serial: "43", hosts: "any" });
  assert.equal(decodeAsyncEvent((await event).completion.dw0).name, "discoveryLog");
  const after = await log(admin, logPage.discovery, 4096, 0);
  assert.notEqual(Buffer.from(after.data).readBigUInt64LE(0), before);
  assert.equal(Buffer.from(after.data).readBigUInt64LE(8), 3n);
});
