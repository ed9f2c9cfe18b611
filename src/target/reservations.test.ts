import assert from "node:assert/strict";
import { test } from "node:test";
import { faultyDisk, MemoryDisk } from "../block/index.ts";
import {
  acquireAction,
  broadcastNsid,
  type Command,
  command,
  datasetRange,
  decodeAsyncEvent,
  decodeReservationStatus,
  feature,
  logPage,
  registerAction,
  releaseAction,
  reservationAcquireData,
  reservationNotification,
  reservationRegisterData,
  reservationReleaseData,
  reservationType,
} from "../nvme/index.ts";
import { pattern, type TestHost, type TestQueue } from "./testing/host.ts";
import { makeTarget } from "./testing/make.ts";

const nsid = 1;
type Host = TestHost & { readonly io: TestQueue[] };

async function register(
  { io }: Host,
  nrkey: bigint,
  { rrega = registerAction.register as number, crkey = 0n, iekey = false, cptpl = 0 } = {},
) {
  const value = command("reservationRegister", { nsid, action: { rrega, iekey, cptpl } });
  const data = reservationRegisterData.encode({ crkey, nrkey });
  return (await io[0]!.send(value, { data })).status;
}

async function acquire(
  { io }: Host,
  rtype: number,
  crkey: bigint,
  { racqa = acquireAction.acquire as number, prkey = 0n } = {},
) {
  const value = command("reservationAcquire", { nsid, action: { racqa, iekey: false }, rtype });
  const data = reservationAcquireData.encode({ crkey, prkey });
  return (await io[0]!.send(value, { data })).status;
}

async function release(
  { io }: Host,
  rtype: number,
  crkey: bigint,
  rrela: number = releaseAction.release,
) {
  const value = command("reservationRelease", { nsid, action: { rrela, iekey: false }, rtype });
  return (await io[0]!.send(value, { data: reservationReleaseData.encode({ crkey }) })).status;
}

/** Types, numbers and name spaces of the notifications that a host has, in order. */
async function notices({ admin }: Host) {
  const found: number[][] = [];
  for (;;) {
    const get = command("getLogPage", {
      lid: logPage.reservationNotification,
      numd: 16,
      nsid: broadcastNsid,
    });
    const { data } = await admin.send(get, { readBytes: 64 });
    const { type, nalp, nsid: of, lpc } = reservationNotification.decode(data);
    if (type === 0) return found;
    found.push([type, nalp, of, Number(lpc)]);
  }
}

/** What a host may do: commands of the read and of the write group, by how they end. */
async function access({ io }: Host) {
  const queue = io[0]!;
  const { attributes } = command("datasetManagement");
  const data = new Uint8Array(512);
  const ranges = datasetRange.encode({ cattr: 0, slba: 0n, nlb: 1 });
  const trim = command("datasetManagement", {
    nsid,
    nr: 1,
    attributes: { ...attributes, ad: true },
  });
  const groups: readonly (readonly [Command, object])[][] = [
    [
      [command("read", { nsid, nlb: 1 }), { readBytes: 512 }],
      [command("compare", { nsid, nlb: 1 }), { data }],
      [command("verify", { nsid, nlb: 1 }), {}],
    ],
    [
      [command("write", { nsid, nlb: 1 }), { data }],
      [command("writeZeroes", { nsid, nlb: 1 }), {}],
      [trim, { data: ranges }],
      [command("flush", { nsid }), {}],
      [command("flush", { nsid: broadcastNsid }), {}],
    ],
  ];
  let may = "";
  for (const [index, group] of groups.entries()) {
    const ends: string[] = [];
    for (const [value, options] of group) ends.push((await queue.send(value, options)).status);
    const [end] = ends;
    assert.ok(
      ends.every((other) => other === end),
      `all of a group alike: ${ends}`,
    );
    if (end === "success") may += index === 0 ? "R" : "W";
    else assert.equal(end, "reservationConflict");
  }
  return may;
}

// Base 2.1 figures 645 and 646.
const matrix = [
  { type: "writeExclusive", holder: "RW", registrant: "R", other: "R" },
  { type: "exclusiveAccess", holder: "RW", registrant: "", other: "" },
  { type: "writeExclusiveRegistrantsOnly", holder: "RW", registrant: "RW", other: "R" },
  { type: "exclusiveAccessRegistrantsOnly", holder: "RW", registrant: "RW", other: "" },
  { type: "writeExclusiveAllRegistrants", holder: "RW", registrant: "RW", other: "R" },
  { type: "exclusiveAccessAllRegistrants", holder: "RW", registrant: "RW", other: "" },
] as const;

for (const { type, holder, registrant, other } of matrix) {
  test(`a reservation ${type} lets every host do what the specification's matrix has`, async () => {
    const { open } = makeTarget();
    const hosts = await Promise.all([1, 2, 3].map((hostid) => open({ hostid })));
    const [first, second, third] = hosts as [Host, Host, Host];
    await register(first, 1n);
    await register(second, 2n);
    assert.equal(await acquire(first, reservationType[type], 1n), "success");
    const found = { holder: await access(first), registrant: await access(second) };
    assert.deepEqual({ ...found, other: await access(third) }, { holder, registrant, other });
    const report = command("reservationReport", { nsid, numd: 1024, structure: { eds: true } });
    const { data } = await third.io[0]!.send(report, { readBytes: 4096 });
    const { rtype, registrants, gen } = decodeReservationStatus(data)!;
    const isForAll = type.endsWith("AllRegistrants");
    assert.deepEqual([rtype, gen], [reservationType[type], 2]);
    assert.deepEqual(
      registrants.map(({ rcsts }) => rcsts.holder),
      [true, isForAll],
    );
    assert.equal(await release(first, reservationType[type], 1n), "success");
    assert.equal(await access(third), "RW");
    const told = type.endsWith("Registrants") || type.endsWith("RegistrantsOnly");
    const wanted = told ? [[2, 0, nsid, 1]] : [];
    assert.deepEqual(await notices(second), wanted, "reservation released");
  });
}

test("Reservation Report has the controllers that hosts have now, and FFFFh for hosts without one", async () => {
  const { open } = makeTarget();
  const [first, second] = [await open({ hostid: 1 }), await open({ hostid: 2 })];
  await register(first, 1n);
  await register(second, 2n);
  const cntlids = async () => {
    const report = command("reservationReport", { nsid, numd: 1024, structure: { eds: true } });
    const { data } = await second.io[0]!.send(report, { readBytes: 4096 });
    return decodeReservationStatus(data)!.registrants.map(({ cntlid }) => cntlid);
  };
  assert.deepEqual(await cntlids(), [first.cntlid, second.cntlid]);
  first.admin.connection.end("the cable was pulled");
  assert.deepEqual(await cntlids(), [0xffff, second.cntlid]);
  const again = await open({ hostid: 1 });
  assert.deepEqual(await cntlids(), [again.cntlid, second.cntlid]);
});

test("who preempts and aborts is answered once nothing of the other host comes any more", async () => {
  const gate = Promise.withResolvers<void>();
  const inner = new MemoryDisk({ sizeBytes: 2 ** 20 });
  const disk = faultyDisk(inner, { kind: "slow", until: () => gate.promise });
  const { open } = makeTarget(disk);
  const [first, second] = [await open({ hostid: 1 }), await open({ hostid: 2 })];
  await register(first, 1n);
  await register(second, 2n);
  await acquire(first, reservationType.writeExclusive, 1n);
  const write = command("write", { nsid, nlb: 1 });
  const begun = first.io[0]!.send(write, { data: pattern(512) });
  const read = first.io[0]!.send(command("read", { nsid, nlb: 1 }), { readBytes: 512 });
  let isAnswered = false;
  const taking = acquire(second, reservationType.writeExclusive, 2n, {
    racqa: acquireAction.preemptAndAbort,
    prkey: 1n,
  }).then((status) => {
    isAnswered = true;
    return status;
  });
  assert.equal((await read).status, "preempted");
  await new Promise<void>((done) => setImmediate(done));
  assert.ok(!isAnswered, "a write of the other host is still with the medium");
  gate.resolve();
  assert.equal(await taking, "success");
  assert.equal((await begun).status, "abortRequested");
  const late = await first.io[0]!.send(write, { data: pattern(512, 2) });
  assert.equal(late.status, "reservationConflict");
});

test("keys are registered, replaced and given up as the actions say", async () => {
  const { open } = makeTarget();
  const [first, second] = [await open({ hostid: 1 }), await open({ hostid: 2 })];
  const { register: enter, unregister, replace } = registerAction;
  assert.equal(await register(first, 0n), "invalidField", "a key of 0 is none");
  assert.equal(await register(await open({ hostid: 0 }), 1n), "hostIdNotSet");
  assert.equal(await register(first, 1n), "success");
  assert.equal(await register(first, 1n), "success", "the same key again");
  assert.equal(await register(first, 9n), "reservationConflict", "another key");
  assert.equal(await register(first, 3n, { rrega: replace, crkey: 2n }), "reservationConflict");
  assert.equal(await register(first, 3n, { rrega: replace, crkey: 1n }), "success");
  assert.equal(await register(second, 4n, { rrega: replace, iekey: true }), "success");
  assert.equal(await register(second, 5n, { rrega: 5 }), "invalidField");
  // Linux asks for it in any case, without a look at RESCAP.
  assert.equal(await register(second, 4n, { rrega: enter, cptpl: 3 }), "success", "CPTPL");
  const type = reservationType.writeExclusive;
  assert.equal(await acquire(first, type, 1n), "reservationConflict", "the key of before");
  assert.equal(await acquire(first, 9, 3n), "invalidField");
  assert.equal(await acquire(first, type, 3n), "success");
  assert.equal(await acquire(first, reservationType.exclusiveAccess, 3n), "reservationConflict");
  assert.equal(await release(first, reservationType.exclusiveAccess, 3n), "invalidField");
  assert.equal(await release(second, type, 4n), "success", "who holds nothing");
  const wrong = { racqa: acquireAction.preempt, prkey: 77n };
  assert.equal(await acquire(second, type, 4n, wrong), "reservationConflict");
  assert.equal(await register(first, 0n, { rrega: unregister, crkey: 3n }), "success");
  assert.equal(await access(second), "RW", "the reservation went with its holder");
});

test("hosts are told of what others did to their reservations, unless they mute it", async () => {
  const { open } = makeTarget();
  const [first, second] = [await open({ hostid: 1 }), await open({ hostid: 2 })];
  await register(first, 1n);
  await register(second, 2n);
  const event = second.admin.send(command("asyncEventRequest"));
  assert.equal(await release(first, 0, 1n, releaseAction.clear), "success");
  assert.equal(decodeAsyncEvent((await event).completion.dw0).name, "reservation");
  assert.deepEqual(await notices(second), [[3, 0, nsid, 1]], "reservation preempted");
  await register(first, 1n);
  await register(second, 2n);
  const fid = feature.reservationMask;
  await second.admin.send(command("setFeatures", { fid, nsid, cdw11: 2 }));
  const racqa = acquireAction.preempt;
  const type = reservationType.writeExclusive;
  assert.equal(await acquire(first, type, 1n, { racqa, prkey: 2n }), "success");
  assert.deepEqual(await notices(second), [], "registration preempted is muted");
});
