import assert from "node:assert/strict";
import { test } from "node:test";
import {
  anaState,
  commands,
  encodeAnaLog,
  encodeCommandsSupported,
  errorLogEntry,
  firmwareSlotLog,
  logPage,
  smartLog,
} from "../nvme/index.ts";
import { watchBy } from "./discover.ts";
import { InitiatorError } from "./index.ts";
import type { FakeCall } from "./testing/fake-target.ts";
import { fake, open, settle, withTime } from "./testing/open.ts";

test("LogPages reads the pages as values, and any page as bytes", async () => {
  const { target, controller } = await open();
  const smart = smartLog.decode(new Uint8Array(512));
  target.pages.set(logPage.smart, smartLog.encode({ ...smart, temperature: 300, hostReads: 7n }));
  const error = errorLogEntry.decode(new Uint8Array(64));
  const errors = new Uint8Array(128 * 64);
  errorLogEntry.encodeInto({ ...error, errorCount: 2n, nsid: 1 }, errors, 0);
  errorLogEntry.encodeInto({ ...error, errorCount: 1n }, errors, 64);
  target.pages.set(logPage.errorInformation, errors);
  const admin = new Map([[commands.identify.opc, {}]]);
  const io = new Map([[commands.write.opc, { lbcc: true }]]);
  target.pages.set(logPage.commandsSupported, encodeCommandsSupported(admin, io));
  const slots = firmwareSlotLog.decode(new Uint8Array(512));
  const frs = ["1.0", "", "2.0     ", "", "", "", ""];
  const firmware = firmwareSlotLog.encode({ ...slots, afi: { active: 3, next: 0 }, frs });
  target.pages.set(logPage.firmwareSlot, firmware);

  const { temperature, hostReads } = await controller.logs.smart();
  assert.deepEqual([temperature, hostReads], [300, 7n]);
  const found = await controller.logs.errors();
  assert.deepEqual(
    found.map(({ errorCount, nsid }) => [errorCount, nsid]),
    [
      [2n, 1],
      [1n, 0],
    ],
  );
  const effects = await controller.logs.commands();
  assert.deepEqual(
    effects.admin.map(({ opc }) => opc),
    [commands.identify.opc],
  );
  assert.deepEqual(
    effects.io.map(({ opc, effect }) => [opc, effect.lbcc]),
    [[commands.write.opc, true]],
  );
  const { activeSlot, revisions } = await controller.logs.firmware();
  assert.deepEqual(
    [activeSlot, revisions[0], revisions[1], revisions[2]],
    [3, "1.0", undefined, "2.0"],
  );
  const raw = await controller.logs.read(logPage.errorInformation, 64, { offsetBytes: 64 });
  assert.deepEqual(raw, errors.slice(64, 128));
  await controller.close();
});

test("LogPages reads a page that a target sends as far as it goes; the rest is zeros", async () => {
  for (const usesSuccess of [false, true]) {
    const error = errorLogEntry.decode(new Uint8Array(64));
    const only = errorLogEntry.encode({ ...error, errorCount: 1n, nsid: 3 });
    const hook = ({ command, cid, queue }: FakeCall) => {
      if (command.name !== "getLogPage") return false;
      queue.sendData(cid, only);
      return true;
    };
    const { controller } = await open({ hook, usesSuccess });
    assert.deepEqual(
      (await controller.logs.errors()).map(({ errorCount, nsid }) => [errorCount, nsid]),
      [[1n, 3]],
    );
    await controller.close();
  }
});

test("LogPages reads a page in one piece: some controllers know no offsets", async () => {
  const { target, controller } = await open({ hasLogOffsets: false });
  const error = errorLogEntry.decode(new Uint8Array(64));
  const errors = new Uint8Array(128 * 64);
  for (let n = 0; n < 100; n++) {
    errorLogEntry.encodeInto({ ...error, errorCount: BigInt(100 - n) }, errors, n * 64);
  }
  target.pages.set(logPage.errorInformation, errors);
  const counts = (await controller.logs.errors()).map(({ errorCount }) => Number(errorCount));
  assert.deepEqual(
    counts,
    Array.from({ length: 100 }, (_, n) => 100 - n),
  );
  await controller.close();
});

test("LogPages reads a page in pieces where MDTS wants them", async () => {
  const { target, controller } = await open({ mdts: 1 });
  const error = errorLogEntry.decode(new Uint8Array(64));
  const errors = new Uint8Array(128 * 64);
  for (let n = 0; n < 128; n++) {
    errorLogEntry.encodeInto({ ...error, errorCount: BigInt(128 - n) }, errors, n * 64);
  }
  target.pages.set(logPage.errorInformation, errors);
  assert.equal((await controller.logs.errors()).length, 128);
  await controller.close();
});

test("LogPages.ana tells how each group is reached; a change is told with it", async () => {
  const { target, controller } = await open();
  const groups = [
    { anagrpid: 1, chgcnt: 1n, state: anaState.optimized, nsids: [1] },
    { anagrpid: 2, chgcnt: 1n, state: anaState.inaccessible, nsids: [] },
  ];
  target.pages.set(logPage.ana, encodeAnaLog({ chgcnt: 1n, groups }));
  assert.deepEqual(await controller.logs.ana(), groups);
  const told: unknown[] = [];
  controller.onEvent((event) => told.push(event));
  const changed = groups.map((group) => ({ ...group, chgcnt: 2n, state: anaState.nonOptimized }));
  target.pages.set(logPage.ana, encodeAnaLog({ chgcnt: 2n, groups: changed }));
  target.queues[0]?.raiseEvent(2, 3, logPage.ana);
  await settle();
  await settle();
  assert.deepEqual(told, [{ type: "ana-changed", groups: changed }]);
  const tooLong = encodeAnaLog({ chgcnt: 3n, groups: groups.slice(0, 1) });
  tooLong[20] = 0xff;
  tooLong[21] = 0xff;
  target.pages.set(logPage.ana, tooLong);
  await assert.rejects(controller.logs.ana(), { code: "protocol" });
  await controller.close();
});

test("Features are asked for and set, raw and by name", async () => {
  const { target, controller } = await open();
  const { features } = controller;
  await features.setVolatileWriteCache(true);
  assert.equal(await features.volatileWriteCache(), true);
  await features.setVolatileWriteCache(false);
  assert.equal(await features.volatileWriteCache(), false);
  for (const state of ["protected", "none", "until-power-cycle", "permanent"] as const) {
    await features.setWriteProtection(1, state);
    assert.equal(await features.writeProtection(1), state);
  }
  await features.set(0x84, { cdw11: 7, nsid: 1 });
  assert.equal(await features.writeProtection(1), undefined);
  assert.equal(await features.timestampMs(), 0x050403020100);
  assert.equal(await features.hostId(), "00010203-0405-0607-0809-0a0b0c0d0e0f");
  assert.equal(await features.set(0x04, { cdw11: 400 }), 0);
  assert.deepEqual((await features.get(0x04)).dw0, 400);
  const hook = ({ command: { name }, cid, queue }: FakeCall) => {
    if (name === "getFeatures") queue.fail(cid, "invalidField");
    return name === "getFeatures";
  };
  target.change({ hook });
  await assert.rejects(features.get(0x55), { code: "status", message: /getFeatures/ });
  await controller.close();
});

test("watchDiscovery gives the log now, after each change and after a reconnect, until it is left", async () => {
  const entry = (subnqn: string) => ({ subnqn, trtype: 3, adrfam: 1, subtype: 2, trsvcid: "1" });
  const { target, pipe } = fake({ discovery: [entry("a")] });
  const abort = new AbortController();
  const options = { clock: pipe.clock, signal: abort.signal };
  const reached = { host: "192.0.2.7", port: 8009 };
  const watch = watchBy(pipe, reached, options);
  const names = async () => {
    const { value } = await watch.next();
    return value?.map(({ subsystemNqn }: { subsystemNqn: string }) => subsystemNqn);
  };
  assert.deepEqual(await names(), ["a"]);
  const changed = names();
  await settle();
  target.change({ discovery: [entry("a"), entry("b")] });
  target.genctr += 1n;
  target.queues[0]?.raiseEvent(2, 0xf0, 0x70);
  assert.deepEqual(await changed, ["a", "b"]);
  const again = names();
  await settle();
  target.change({ discovery: [entry("b")] });
  target.genctr += 1n;
  target.cut();
  await settle();
  pipe.tick(250);
  assert.deepEqual(await again, ["b"]);
  const last = watch.next();
  last.catch(() => {});
  await settle();
  abort.abort(new Error("enough"));
  await assert.rejects(last, /enough/);
  assert.equal(pipe.openCount, 0);

  const refusing = fake({ discovery: [] });
  const other = watchBy(refusing.pipe, reached, { clock: refusing.pipe.clock });
  await other.next();
  const lost = other.next();
  lost.catch(() => {});
  await settle();
  const hook = ({ command: { name }, cid, queue }: FakeCall) => {
    if (name === "connect") queue.fail(cid, "connectInvalidHost");
    return true;
  };
  refusing.target.change({ hook });
  refusing.target.cut();
  for (let step = 0; step < 5; step++) {
    await settle();
    refusing.pipe.tick(250);
  }
  await assert.rejects(lost, (error) => error instanceof InitiatorError && error.code === "lost");
});

test("watchDiscovery reads a log later that changes all the time", async () => {
  let isBusy = false;
  const hook = ({ command: { name } }: FakeCall) => {
    if (isBusy && name === "getLogPage") target.genctr += 1n;
    return false;
  };
  const { target, pipe } = fake({ discovery: [], hook });
  const watch = watchBy(pipe, { host: "x", port: 1 }, { clock: pipe.clock });
  await watch.next();
  isBusy = true;
  const next = watch.next();
  next.catch(() => {});
  await settle();
  target.queues[0]?.raiseEvent(2, 0xf0, 0x70);
  for (let step = 0; step < 40; step++) {
    await settle();
    pipe.tick(250);
  }
  target.change({ discovery: [{ subnqn: "a", trtype: 3, adrfam: 1, subtype: 2, trsvcid: "1" }] });
  isBusy = false;
  const { value } = await withTime(pipe, 250, next);
  assert.equal(value?.length, 1);
  await watch.return(undefined);
});
