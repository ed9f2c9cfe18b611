import assert from "node:assert/strict";
import { test } from "node:test";
import { BlockError } from "../block/index.ts";
import { cns, encodeStatus, feature, identifyBytes, statusOf } from "../nvme/index.ts";
import {
  type ControllerEvent,
  type ControllerOptions,
  connectControllerOver,
  discoverOver,
  InitiatorError,
} from "./index.ts";
import type { FakeCall, FakeOptions } from "./testing/fake-target.ts";
import { fake, open, pattern, settle, subsystemNqn, withTime } from "./testing/open.ts";

const onOff = [false, true];
const walks = onOff.flatMap((hdgst) =>
  onOff.flatMap((ddgst) =>
    onOff.flatMap((usesSuccess) =>
      [4, 128].flatMap((cpda) =>
        [Number.POSITIVE_INFINITY, 1, 11].map((pieceBytes) => ({
          digests: { hdgst, ddgst },
          usesSuccess,
          cpda,
          pieceBytes,
        })),
      ),
    ),
  ),
);

test("a controller is connected, identified, written, read, flushed and left in every dialect", async () => {
  for (const { pieceBytes, digests, ...behaviour } of walks) {
    const small = { sizeBytes: 65536, maxh2cdata: 4096, r2tBytes: 6000, c2hBytes: 5000 };
    const { target, pipe } = fake({ ...small, ...behaviour });
    pipe.pieceBytes = pieceBytes;
    const all = { subsystemNqn, digests };
    const controller = await connectControllerOver(pipe.dial, "fake", all);
    assert.equal(controller.identify.mn, "Fake");
    const [namespace] = await controller.namespaces();
    assert.equal(namespace?.uuid, "12345678-1234-4234-8234-123456789abc");
    const disk = await controller.openNamespace(1);
    assert.deepEqual([disk.sizeBytes, disk.blockSizeBytes, disk.readOnly], [65536, 512, false]);
    const inCapsule = pattern(8192, 1);
    const byR2t = pattern(20480, 2);
    await Promise.all([disk.write(512, inCapsule), disk.write(16384, byR2t)]);
    await disk.flush();
    const back = new Uint8Array(65536);
    await disk.read(0, back);
    assert.deepEqual(back, target.disk);
    assert.deepEqual(back.subarray(512, 512 + 8192), inCapsule);
    assert.deepEqual(back.subarray(16384, 16384 + 20480), byR2t);
    await controller.close();
    assert.ok(target.isShutDown);
    assert.equal(pipe.openCount, 0);
    assert.deepEqual(target.terminations, []);
  }
});

test("connectControllerOver brings a controller up in the order of Base 2.0 §3.5", async () => {
  const { target, controller } = await open({}, { ioQueues: 2 });
  assert.equal(controller.ioQueues, 2);
  assert.deepEqual(target.seen, [
    "connect",
    "propertyGet",
    "propertySet",
    "propertyGet",
    "identify",
    "setFeatures",
    "connect",
    "connect",
    "setFeatures",
    "asyncEventRequest",
  ]);
  await controller.close();
});

const refusals: { name: string; behaviour: FakeOptions; code: string; message: RegExp }[] = [
  {
    name: "a host that is not allowed",
    behaviour: { hook: failing("connect", "connectInvalidHost") },
    code: "status",
    message: /not allowed/,
  },
  {
    name: "parameters, with the field's name",
    behaviour: {
      hook: ({ command, cid, queue }) => {
        const status = encodeStatus(statusOf("connectInvalidParameters", { dnr: true }));
        if (command.name === "connect") queue.respond(cid, { status, dw0: 0x10100 });
        return true;
      },
    },
    code: "status",
    message: /invalid parameters \(SUBNQN\)/,
  },
  {
    name: "authentication that is required",
    behaviour: {
      hook: ({ cid, queue }) => {
        queue.respond(cid, { dw0: 0x20007 });
        return true;
      },
    },
    code: "unsupported",
    message: /requires authentication/,
  },
  {
    name: "digests other than asked for",
    behaviour: { digests: { hdgst: true, ddgst: false } },
    code: "protocol",
    message: /digests/,
  },
  {
    name: "a MAXH2CDATA that is too small",
    behaviour: { maxh2cdata: 2048 },
    code: "protocol",
    message: /MAXH2CDATA 2048/,
  },
  {
    name: "too small an IOCCSZ",
    behaviour: { ioccsz: 3 },
    code: "protocol",
    message: /IOCCSZ 3/,
  },
  {
    name: "another CNTLID in Identify than in Connect",
    behaviour: {
      hook: ({ command, cid, queue }) => {
        if (command.name === "connect") queue.respond(cid, { dw0: 8 });
        return command.name === "connect";
      },
    },
    code: "protocol",
    message: /CNTLID 7/,
  },
  {
    name: "a fatal controller status",
    behaviour: {
      hook: ({ command, cid, queue }) => {
        if (command.name !== "propertyGet" || command.ofst !== 0x1c) return false;
        queue.respond(cid, { dw0: 2 });
        return true;
      },
    },
    code: "protocol",
    message: /CFS/,
  },
  {
    name: "no I/O queue",
    behaviour: { hook: failing("connect", "invalidQueueId", 1) },
    code: "status",
    message: /invalid queue identifier/,
  },
];

test("connectControllerOver rejects with the right code and leaves nothing open", async () => {
  for (const { name, behaviour, code, message } of refusals) {
    const { pipe } = fake(behaviour);
    const connecting = connectControllerOver(pipe.dial, "fake", { subsystemNqn });
    await assert.rejects(connecting, (error) => {
      assert.ok(error instanceof InitiatorError, name);
      assert.equal(error.code, code, name);
      assert.match(error.message, message, name);
      return true;
    });
    assert.equal(pipe.openCount, 0, name);
  }
});

test("connectControllerOver waits for CSTS.RDY, but not for ever", async () => {
  const slow = fake({ readyAfter: 3 });
  const late = connectControllerOver(slow.pipe.dial, "fake", { subsystemNqn });
  await (await withTime(slow.pipe, 250, late)).close();
  const dead = fake({ readyAfter: 1000 });
  const never = connectControllerOver(dead.pipe.dial, "fake", { subsystemNqn });
  const wanted = { name: "InitiatorError", code: "timeout" };
  await assert.rejects(withTime(dead.pipe, 250, never), wanted);
  assert.equal(dead.pipe.openCount, 0);
});

test("connectControllerOver gives up on a target that does not answer, and on abort", async () => {
  const silent: FakeOptions = { hook: () => true };
  const first = fake(silent);
  const connecting = connectControllerOver(first.pipe.dial, "fake", { subsystemNqn });
  await assert.rejects(withTime(first.pipe, 1000, connecting), { code: "timeout" });
  const second = fake(silent);
  const abort = new AbortController();
  const options = { subsystemNqn, signal: abort.signal };
  const aborted = connectControllerOver(second.pipe.dial, "fake", options);
  await settle();
  abort.abort(new Error("enough"));
  await assert.rejects(aborted, /enough/);
  await settle();
  assert.equal(second.pipe.openCount, 0);
});

test("connectTimeoutMs holds for each command until the controller can be used", async () => {
  const steps = ["propertyGet", "propertySet", "identify", "setFeatures"];
  for (const silent of steps) {
    const hook = ({ command: { name } }: FakeCall) => name === silent;
    const { pipe } = fake({ hook });
    const startMs = pipe.clock.nowMs();
    const options = { subsystemNqn, connectTimeoutMs: 1000 };
    const connecting = connectControllerOver(pipe.dial, "fake", options);
    const wanted = {
      code: "timeout",
      message: new RegExp(`no answer to ${silent} within 1000 ms`),
    };
    await assert.rejects(withTime(pipe, 500, connecting), wanted);
    assert.ok(pipe.clock.nowMs() - startMs <= 1500, silent);
    await settle();
    assert.equal(pipe.openCount, 0, silent);
  }
  const mute = fake({ hook: ({ command: { name } }: FakeCall) => name === "identify" });
  const options = { connectTimeoutMs: 1000 };
  const discovering = discoverOver(mute.pipe.dial, { host: "x", port: 1 }, options);
  await assert.rejects(withTime(mute.pipe, 500, discovering), { code: "timeout" });
});

test("a connection cut after any command fails what waits, and nothing hangs", async () => {
  for (let cutAt = 1; cutAt <= 15; cutAt++) {
    let count = 0;
    const { pipe } = fake({
      hook: ({ queue }) => {
        count += 1;
        if (count === cutAt) queue.cut();
        return count >= cutAt;
      },
    });
    const work = async () => {
      const controller = await connectControllerOver(pipe.dial, "fake", { subsystemNqn });
      const disk = await controller.openNamespace(1);
      await Promise.all([disk.write(0, pattern(512)), disk.write(1024, pattern(32768))]);
      await disk.read(0, new Uint8Array(4096));
      await disk.flush();
    };
    await assert.rejects(work(), (error) => {
      const cause = error instanceof BlockError ? error.cause : error;
      assert.ok(cause instanceof InitiatorError, `cut at ${cutAt}`);
      assert.equal(cause.code, "closed");
      return true;
    });
    await settle();
    assert.equal(pipe.openCount, 0, `cut at ${cutAt}`);
  }
});

test("the keep alive is sent twice per KATO, and its silence ends the controller", async () => {
  let isSilent = false;
  const hook = ({ command }: FakeCall) => isSilent && command.name === "keepAlive";
  const { target, pipe, controller } = await open({ hook }, { katoMs: 10_000 });
  const events: ControllerEvent[] = [];
  controller.onEvent((event) => events.push(event));
  for (let second = 0; second < 20; second++) {
    pipe.tick(1000);
    await settle();
  }
  assert.equal(target.seen.filter((name) => name === "keepAlive").length, 4);
  isSilent = true;
  for (let second = 0; second < 20; second++) {
    pipe.tick(1000);
    await settle();
  }
  assert.deepEqual(
    events.map(({ type }) => type),
    ["closed"],
  );
  const [closed] = events;
  assert.ok(closed?.type === "closed" && closed.error.cause instanceof InitiatorError);
  assert.equal(closed.error.cause.code, "timeout");
  assert.equal(pipe.openCount, 0);
  await controller.close();
});

test("a namespace that changed is told, and its disk has the new size", async () => {
  const { target, controller } = await open({ sizeBytes: 65536 });
  const disk = await controller.openNamespace(1);
  const events: ControllerEvent[] = [];
  const stop = controller.onEvent((event) => events.push(event));
  Object.assign(target, { disk: new Uint8Array(131072) });
  target.queues[0]?.raiseEvent(2, 0, 4);
  await settle();
  assert.deepEqual(events.splice(0), [
    { type: "namespace-resized", nsid: 1, sizeBytes: 131072 },
    { type: "namespaces-changed", nsids: [1] },
  ]);
  assert.equal(disk.sizeBytes, 131072);
  target.queues[0]?.raiseEvent(2, 0xf0, 0x70);
  await settle();
  stop();
  target.queues[0]?.raiseEvent(1, 2, 3);
  await settle();
  assert.deepEqual(events, [{ type: "discovery-changed" }]);
  await controller.close();
});

test("a namespace that is disabled is gone and comes back, as the Linux target tells it", async () => {
  let isDisabled = false;
  const hook = ({ cid, command: asked, queue }: FakeCall) => {
    if (!isDisabled || asked.name !== "identify" || asked.cns === cns.controller) return false;
    if (asked.cns === cns.namespace) queue.sendData(cid, new Uint8Array(identifyBytes));
    else queue.fail(cid, "internalPathError", false);
    return true;
  };
  const { target, controller } = await open({ hook });
  const disk = await controller.openNamespace(1);
  const types: string[] = [];
  controller.onEvent(({ type }) => types.push(type));
  isDisabled = true;
  target.queues[0]?.raiseEvent(2, 0, 4);
  await settle();
  assert.deepEqual(types.splice(0), ["namespace-lost", "namespaces-changed"]);
  await assert.rejects(disk.read(0, new Uint8Array(512)), { code: "gone" });
  await assert.rejects(controller.namespace(1), { code: "no-namespace" });
  isDisabled = false;
  target.queues[0]?.raiseEvent(2, 0, 4);
  await settle();
  assert.deepEqual(types, ["namespace-back", "namespaces-changed"]);
  await disk.read(0, new Uint8Array(512));
  await controller.close();
});

test("an event that cannot be followed is told, and others come after it", async () => {
  let failures = 1;
  const hook = ({ cid, command: { name }, queue }: FakeCall) => {
    if (name !== "getLogPage" || failures === 0) return false;
    failures -= 1;
    queue.fail(cid, "internalError");
    return true;
  };
  const { target, controller } = await open({ hook });
  target.pages.set(0x0c, new Uint8Array(16));
  const events: ControllerEvent[] = [];
  controller.onEvent((event) => events.push(event));
  for (let n = 0; n < 2; n++) {
    target.queues[0]?.raiseEvent(2, 3, 0x0c);
    await settle();
  }
  assert.deepEqual(events, [
    { type: "other", aet: 2, info: 3, lid: 0x0c },
    { type: "ana-changed", groups: [] },
  ]);
  await controller.close();
});

test("a controller that refuses to be asked for events is used without them", async () => {
  const logged: string[] = [];
  const hook = ({ cid, command: asked, queue }: FakeCall) => {
    if (asked.name !== "setFeatures" || asked.fid !== feature.asyncEventConfiguration) return false;
    queue.fail(cid, "invalidField");
    return true;
  };
  const { controller } = await open({ hook }, { log: (event) => logged.push(event) });
  await (await controller.openNamespace(1)).read(0, new Uint8Array(512));
  assert.ok(logged.includes("events-refused"));
  await controller.close();
});

test("close is idempotent, waits for calls of its disks, and ends on abort", async () => {
  const held: FakeCall[] = [];
  const hook = (call: FakeCall) => call.command.name === "flush" && held.push(call) > 0;
  const { pipe, controller } = await open({ hook });
  const disk = await controller.openNamespace(1);
  const flushing = disk.flush();
  const closing = controller.close();
  assert.equal(controller.close(), closing);
  await settle();
  assert.equal(pipe.openCount, 2);
  held[0]?.queue.respond(held[0].cid);
  await Promise.all([flushing, closing]);
  assert.equal(pipe.openCount, 0);
  await assert.rejects(disk.flush(), { code: "closed" });
  const other = await open({ hook });
  const lost = (await other.controller.openNamespace(1)).flush();
  lost.catch(() => {});
  await settle();
  await other.controller.close({ signal: AbortSignal.abort() });
  await assert.rejects(lost, { name: "BlockError", code: "gone" });
  assert.equal(other.pipe.openCount, 0);
});

test("a name that cannot be sent is refused before anything is dialled", async () => {
  const { pipe } = fake();
  const bad: Partial<ControllerOptions>[] = [
    { subsystemNqn: "" },
    { hostNqn: "x".repeat(224) },
    { subsystemNqn: "a b" },
  ];
  for (const options of bad) {
    const all = { subsystemNqn, ...options };
    await assert.rejects(connectControllerOver(pipe.dial, "fake", all), RangeError);
  }
  assert.equal(pipe.openCount, 0);
});

/** A hook that fails one command, of queues from `qidMin` on. */
function failing(name: string, status: Parameters<typeof statusOf>[0], qidMin = 0) {
  return ({ command, cid, queue }: FakeCall) => {
    if (command.name !== name) return false;
    if (command.name === "connect" && command.qid < qidMin) return false;
    queue.fail(cid, status);
    return true;
  };
}
