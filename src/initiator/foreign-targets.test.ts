/** Targets that come from elsewhere, scripted by what each of them does and limits. */

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  appendData,
  appendR2t,
  type Command,
  cap,
  cns,
  command,
  controllerType,
  dwordOf,
  encodeProperty,
  encodeStatus,
  type IdentifyController,
  identifyController,
  identifyControllerNvm,
  numberOfQueues,
  property,
  type StatusName,
  statusOf,
} from "../nvme/index.ts";
import { connectControllerOver, discoverOver } from "./index.ts";
import type { FakeCall, FakeOptions } from "./testing/fake-target.ts";
import { fake, open, pattern, settle, subsystemNqn, withTime } from "./testing/open.ts";

type Hook = NonNullable<FakeOptions["hook"]>;

/** What a controller says of itself, in place of what the fake one does. */
function reporting(values: Partial<IdentifyController>, mqes = 128): Hook {
  const identify = {
    ...identifyController.decode(new Uint8Array(4096)),
    sn: "1",
    mn: "Foreign",
    fr: "1",
    cntlid: 7,
    kas: 10,
    iorcsz: 1,
    ioccsz: 4,
    oaes: 0x100,
    sgls: { support: 1, keyed: false },
    vwc: { present: true, flushBehavior: 0 },
    ...values,
  };
  const zero = cap.decode(new Uint8Array(8));
  const capabilities = encodeProperty(cap, {
    ...zero,
    mqes,
    to: 4,
    features: { ...zero.features, css: 1 },
  });
  return ({ command, cid, queue }) => {
    if (command.name === "identify" && command.cns === cns.controller) {
      queue.sendData(cid, identifyController.encode(identify));
      return true;
    }
    if (command.name === "propertyGet" && command.ofst === property.cap.ofst) {
      const half = 2n ** 32n;
      queue.respond(cid, { dw0: Number(capabilities % half), dw1: Number(capabilities / half) });
      return true;
    }
    return false;
  };
}

/** What the commands for data were like. */
class Tally {
  longest = 0;
  #underWay = 0;
  mostUnderWay = 0;
  readonly sqsizes: number[] = [];

  /** Shortest write that did not go with its command. */
  shortestFetched = Number.POSITIVE_INFINITY;

  readonly hook: Hook = ({ command, lengthBytes, queue }) => {
    if (command.name === "connect" && command.qid > 0) {
      this.sqsizes.push(command.sqsize);
      const request = queue.requestData.bind(queue);
      queue.requestData = (cid, write, bytes) => {
        this.shortestFetched = Math.min(this.shortestFetched, bytes);
        request(cid, write, bytes);
      };
    }
    if (isData(command)) this.longest = Math.max(this.longest, lengthBytes);
    return false;
  };

  begin(): void {
    this.#underWay += 1;
    this.mostUnderWay = Math.max(this.mostUnderWay, this.#underWay);
  }

  end(): void {
    this.#underWay -= 1;
  }
}

/** PDU type of H2CData. */
const h2cDataType = 0x06;

function isData({ name }: Command): boolean {
  return name === "read" || name === "write";
}

function either(...hooks: readonly Hook[]): Hook {
  return (call) => hooks.some((hook) => hook(call));
}

interface Kind {
  readonly name: string;
  readonly says: Partial<IdentifyController>;
  readonly mqes?: number;
  readonly behaviour: FakeOptions;
  /** Longest transfer, by MDTS or by our own limit. */
  readonly longest: number;
  readonly entries: number;
  /** Of the sizes written, the first that does not fit in a capsule. */
  readonly shortestFetched: number;
}

const kinds: readonly Kind[] = [
  {
    name: "SPDK: 4 KiB in capsules, 128 KiB at a time, SUCCESS without being asked for it",
    says: { mdts: 5, ioccsz: (64 + 4096) / 16, maxcmd: 128, ver: 0x20000, aerl: 4 },
    behaviour: { usesSuccess: true, maxh2cdata: 131072 },
    longest: 131072,
    entries: 128,
    shortestFetched: 4608,
  },
  {
    name: "SPDK with 8 KiB in capsules and data in many PDUs",
    says: { mdts: 5, ioccsz: (64 + 8192) / 16, maxcmd: 64 },
    behaviour: { usesSuccess: true, c2hBytes: 8192, maxh2cdata: 131072 },
    longest: 131072,
    entries: 64,
    shortestFetched: 131072,
  },
  {
    name: "FreeBSD: nothing in capsules, several R2Ts for each command",
    says: { mdts: 0, ioccsz: 4, maxcmd: 0 },
    mqes: 64,
    behaviour: { r2tBytes: 65536, maxh2cdata: 32768, c2hBytes: 65536 },
    longest: 1024 * 1024,
    entries: 64,
    shortestFetched: 512,
  },
  {
    name: "an array with little: 8 KiB at a time, two commands, wide alignment",
    says: { mdts: 1, ioccsz: (64 + 512) / 16, maxcmd: 3 },
    mqes: 16,
    behaviour: { cpda: 128, r2tBytes: 4096, maxh2cdata: 4096, c2hBytes: 4096 },
    longest: 8192,
    entries: 3,
    shortestFetched: 4096,
  },
];

for (const { name, says, mqes, behaviour, ...wanted } of kinds) {
  test(`a target is served within its limits: ${name}`, async () => {
    for (const digests of [{}, { hdgst: true, ddgst: true }]) {
      const record = new Tally();
      const hook = either(record.hook, reporting(says, mqes));
      const sizeBytes = 4 * 1024 * 1024;
      const { target, pipe } = fake({ sizeBytes, ...behaviour, hook });
      const controller = await connectControllerOver(pipe.dial, "fake", { subsystemNqn, digests });
      const disk = await controller.openNamespace(1);
      const sizes = [512, 4096, 4608, 8192, 131072, 1536 * 1024];
      for (const [seed, size] of sizes.entries()) {
        const data = pattern(size, seed);
        await disk.write(1024, data);
        assert.deepEqual(target.disk.subarray(1024, 1024 + size), data);
        const back = new Uint8Array(size);
        await disk.read(1024, back);
        assert.deepEqual(back, data);
      }
      await disk.flush();
      await controller.close();
      const { longest, shortestFetched, sqsizes } = record;
      assert.deepEqual({ longest, entries: sqsizes[0], shortestFetched }, wanted);
      assert.deepEqual(target.terminations, []);
    }
  });
}

test("a target with a queue of few entries never has more commands than it has places", async () => {
  const record = new Tally();
  const held: FakeCall[] = [];
  const hold: Hook = (call) => {
    if (call.command.name !== "read") return false;
    record.begin();
    held.push(call);
    return true;
  };
  const says = { mdts: 1, maxcmd: 4 };
  const { target, controller } = await open({ hook: either(hold, reporting(says)) });
  const disk = await controller.openNamespace(1);
  target.disk.set(pattern(65536));
  const back = Array.from({ length: 16 }, () => new Uint8Array(512));
  const reading = Promise.all(back.map((buffer, n) => disk.read(n * 512, buffer)));
  for (let answered = 0; answered < back.length; ) {
    await settle();
    // The last one first, as a target is free to.
    for (const { command, cid, queue } of held.splice(0).reverse()) {
      if (command.name !== "read") continue;
      const at = Number(command.slba) * 512;
      record.end();
      queue.sendData(cid, target.disk.slice(at, at + 512));
      answered += 1;
    }
  }
  await reading;
  assert.equal(record.mostUnderWay, 3, "one entry of a submission queue is always free");
  for (const [n, buffer] of back.entries()) {
    assert.deepEqual(buffer, pattern(65536).subarray(n * 512, n * 512 + 512));
  }
  await controller.close();
});

test("data of several reads comes in turns, and their responses in any order", async () => {
  const held: FakeCall[] = [];
  const hold: Hook = (call) => call.command.name === "read" && held.push(call) > 0;
  const { target, controller } = await open({ hook: hold }, { digests: { ddgst: true } });
  target.disk.set(pattern(65536, 3));
  const disk = await controller.openNamespace(1);
  const back = [0, 1, 2].map(() => new Uint8Array(16384));
  const reading = Promise.all(back.map((buffer, n) => disk.read(n * 16384, buffer)));
  await settle();
  assert.equal(held.length, 3);
  for (let datao = 0; datao < 16384; datao += 4096) {
    for (const { command, cid, queue } of held) {
      if (command.name !== "read") continue;
      const at = Number(command.slba) * 512 + datao;
      const out: Uint8Array[] = [];
      const header = { cccid: cid, ttag: 0, datao, last: datao === 12288 };
      appendData(out, queue.framing, "C2HData", header, target.disk.subarray(at, at + 4096));
      queue.send(out);
    }
  }
  for (const { cid, queue } of held.toReversed()) queue.respond(cid);
  await reading;
  assert.deepEqual(Buffer.concat(back), Buffer.from(pattern(65536, 3).subarray(0, 49152)));
  await controller.close();
});

test("writes are fetched in turns, each by several requests", async () => {
  const held: FakeCall[] = [];
  const hold: Hook = (call) => call.command.name === "write" && held.push(call) > 0;
  const { controller } = await open({ hook: hold, ioccsz: 4, r2tBytes: 4096, maxh2cdata: 4096 });
  const disk = await controller.openNamespace(1);
  const data = [0, 1, 2].map((n) => pattern(16384, n));
  const writing = Promise.all(data.map((piece, n) => disk.write(n * 16384, piece)));
  await settle();
  // The last command's data is asked for first; each request follows when the one before is met.
  for (const { cid, command, lengthBytes, queue } of held.toReversed()) {
    queue.requestData(cid, command, lengthBytes);
  }
  await writing;
  const back = new Uint8Array(49152);
  await disk.read(0, back);
  assert.deepEqual(Buffer.from(back), Buffer.concat(data));
  await controller.close();
});

test("a target that refuses a write whose data it has asked for is believed", async () => {
  const refuse: Hook = ({ command, cid, queue }) => {
    if (command.name !== "write") return false;
    const out: Uint8Array[] = [];
    appendR2t(out, queue.framing, { cccid: cid, ttag: 9, r2to: 0, r2tl: 512 });
    queue.send(out);
    queue.fail(cid, "writeFault");
    // Data may be on its way already, and belongs to nothing any more.
    const receive = queue.receive.bind(queue);
    queue.receive = (chunk) => {
      if (chunk[0] !== h2cDataType) receive(chunk);
    };
    return true;
  };
  const { target, controller } = await open({ hook: refuse, ioccsz: 4 });
  const disk = await controller.openNamespace(1);
  await assert.rejects(disk.write(0, pattern(65536)), { code: "medium" });
  await disk.flush();
  assert.deepEqual(target.terminations, []);
  await controller.close();
});

test("a discovery service with a name of its own, and a controller without I/O, are connected to", async () => {
  for (const cntrltype of [controllerType.discovery, controllerType.administrative]) {
    const says = { cntrltype, ioccsz: 0, iorcsz: 0, kas: 0, oaes: 0x80000000 };
    const { controller, target } = await open({ hook: reporting(says) });
    assert.equal(controller.ioQueues, 0);
    assert.equal(target.queues.length, 1);
    await assert.rejects(controller.executeIo(command("flush", { nsid: 1 })), {
      code: "unsupported",
    });
    await controller.close();
  }
});

test("commands without data are as long as the NVM command set's Identify Controller says", async () => {
  const zero = identifyControllerNvm.decode(new Uint8Array(4096));
  const limits = identifyControllerNvm.encode({ ...zero, wzsl: 2, vsl: 3 });
  const longest = new Map<string, number>();
  const nvm: Hook = ({ command: found, cid, queue }) => {
    if ("nlb" in found) longest.set(found.name, Math.max(longest.get(found.name) ?? 0, found.nlb));
    if (found.name !== "identify" || found.cns !== cns.commandSetController) return false;
    queue.sendData(cid, limits);
    return true;
  };
  const { oncs } = identifyController.decode(new Uint8Array(4096));
  const says = { ver: 0x20000, oncs: { ...oncs, writeZeroes: true, verify: true } };
  const { controller } = await open({ hook: either(nvm, reporting(says)), hasAllCommands: true });
  const disk = await controller.openNamespace(1);
  await disk.writeZeroes(0, 262144);
  await disk.verify(0, 262144);
  assert.deepEqual([...longest.entries()].sort(), [
    ["verify", 32768 / 512],
    ["writeZeroes", 16384 / 512],
  ]);
  await controller.close();
});

/** Fails the first reads with a status, and counts them all. */
function failing(times: number, status: number): { readonly hook: Hook; reads: number } {
  const counted = {
    reads: 0,
    hook: ({ command, cid, queue }: FakeCall) => {
      if (command.name !== "read") return false;
      counted.reads += 1;
      if (counted.reads > times) return false;
      queue.respond(cid, { status });
      return true;
    },
  };
  return counted;
}

const inTransition = encodeStatus(statusOf("anaTransition"));
const interrupted = encodeStatus({ ...statusOf("commandInterrupted"), crd: 2 });
const inaccessible = encodeStatus(statusOf("anaInaccessible"));
const pathError = encodeStatus(statusOf("controllerPathError"));
const disabled = encodeStatus({ ...statusOf("internalPathError"), crd: 2 });
const unnamed = encodeStatus({ ...statusOf("success"), sct: 7, sc: 0x42, crd: 2 });
const waits = [
  ["paths that change over, as long as ANATT says", { anatt: 4 }, inTransition, 6, 8],
  ["a path that does not lead there now", { anatt: 4 }, inaccessible, 6, 8],
  ["a controller that has lost its path", { anatt: 4 }, pathError, 6, 8],
  ["a command that is to be repeated later, by CRD", { crdt2: 20 }, interrupted, 3, 3],
  ["a namespace that is disabled, by CRD", { crdt2: 20 }, disabled, 3, 3],
  ["what a vendor says passes, by CRD", { crdt2: 20 }, unnamed, 3, 3],
] as const;

for (const [what, says, status, passes, repeated] of waits) {
  test(`a host waits for ${what}`, async () => {
    const reads = async (times: number) => {
      const record = failing(times, status);
      const { pipe } = fake({ hook: either(record.hook, reporting(says)) });
      const options = { subsystemNqn, clock: pipe.clock };
      const controller = await connectControllerOver(pipe.dial, "fake", options);
      const disk = await controller.openNamespace(1);
      const startMs = pipe.clock.nowMs();
      const reading = disk.read(0, new Uint8Array(512));
      const outcome = await withTime(pipe, 100, reading).then(
        () => "read",
        ({ code }) => code,
      );
      const tookMs = pipe.clock.nowMs() - startMs;
      await withTime(pipe, 100, controller.close());
      return { outcome, reads: record.reads, isAtOnce: tookMs < passes * 400 };
    };
    assert.deepEqual(await reads(passes), { outcome: "read", reads: passes + 1, isAtOnce: false });
    const { outcome, reads: tries } = await reads(Number.POSITIVE_INFINITY);
    assert.notEqual(outcome, "read");
    assert.equal(tries, repeated + 1);
  });
}

const repeats: readonly (readonly [StatusName, number])[] = [
  ["abortedQueueDeleted", 4],
  ["internalError", 4],
  ["dataTransferError", 4],
  ["namespaceNotReady", 4],
  ["internalPathError", 4],
  ["unrecoveredRead", 1],
  ["accessDenied", 1],
  ["compareFailure", 1],
  ["lbaOutOfRange", 1],
  ["invalidField", 1],
  ["reservationConflict", 1],
  ["anaPersistentLoss", 1],
  ["commandSizeExceeded", 1],
];

test("a command is repeated where that may help, and not where a controller says that it does not", async () => {
  for (const [name, times] of repeats) {
    for (const dnr of [false, true]) {
      const record = failing(Number.POSITIVE_INFINITY, encodeStatus(statusOf(name, { dnr })));
      const { pipe } = fake({ hook: record.hook });
      const options = { subsystemNqn, clock: pipe.clock };
      const controller = await connectControllerOver(pipe.dial, "fake", options);
      const disk = await controller.openNamespace(1);
      const reading = disk.read(0, new Uint8Array(512));
      await assert.rejects(withTime(pipe, 100, reading), { name: "BlockError" });
      assert.equal(record.reads, dnr ? 1 : times, `${name}, DNR ${dnr}`);
      await withTime(pipe, 100, controller.close());
    }
  }
});

test("a read that is given up while it waits for paths is not sent again", async () => {
  const record = failing(Number.POSITIVE_INFINITY, inTransition);
  const { pipe } = fake({ hook: record.hook });
  const options = { subsystemNqn, clock: pipe.clock };
  const controller = await connectControllerOver(pipe.dial, "fake", options);
  const disk = await controller.openNamespace(1);
  const stop = new AbortController();
  const reading = disk.read(0, new Uint8Array(512), { signal: stop.signal });
  reading.catch(() => {});
  await settle();
  stop.abort();
  await assert.rejects(reading, { name: "AbortError" });
  for (let n = 0; n < 20; n++) {
    pipe.tick(100);
    await settle();
  }
  assert.equal(record.reads, 1);
  await withTime(pipe, 100, controller.close());
});

test("a target that grants fewer queues than asked for is used with those", async () => {
  const grant: Hook = ({ command, cid, queue }) => {
    if (command.name !== "setFeatures" || command.fid !== 7) return false;
    queue.respond(cid, { dw0: dwordOf(numberOfQueues.encode({ nsq: 2, ncq: 3 })) });
    return true;
  };
  const { controller } = await open({ hook: grant }, { ioQueues: 8 });
  assert.equal(controller.ioQueues, 2);
  await controller.close();
});

test("a discovery service without events, keep alive or shutdown is read all the same", async () => {
  const old: Hook = either(
    ({ command, cid, queue }) => {
      const isMore = ["asyncEventRequest", "keepAlive", "setFeatures"].includes(command.name);
      if (isMore) queue.fail(cid, "invalidOpcode");
      return isMore;
    },
    reporting({ kas: 0, oaes: 0, ioccsz: 0, iorcsz: 0 }, 32),
  );
  const paths = [1, 2, 3, 4].map((n) => ({
    trtype: n === 4 ? 1 : 3,
    subtype: 2,
    adrfam: 1,
    portid: n,
    trsvcid: "4420",
    traddr: `192.0.2.${n}`,
    subnqn: "nqn.1992-08.com.example:array",
  }));
  const { pipe, target } = fake({ hook: old, discovery: paths });
  const reached = { host: "array", port: 8009 };
  const entries = await discoverOver(pipe.dial, reached, { hostNqn: "nqn.2026-11.io.example:h" });
  assert.deepEqual(
    entries.map(({ transport, advertised }) => [transport, advertised.host]),
    [
      ["tcp", "192.0.2.1"],
      ["tcp", "192.0.2.2"],
      ["tcp", "192.0.2.3"],
      ["rdma", "192.0.2.4"],
    ],
  );
  assert.ok(!target.seen.includes("asyncEventRequest"));
});
