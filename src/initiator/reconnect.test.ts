import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { BlockError } from "../block/index.ts";
import { command } from "../nvme/index.ts";
import { type ByteRange, InitiatorError } from "./index.ts";
import { delayBefore, reconnectPolicy } from "./reconnect.ts";
import type { FakeCall } from "./testing/fake-target.ts";
import { openLasting } from "./testing/lasting.ts";
import { pattern, settle } from "./testing/open.ts";

/** A hook that swallows commands of a name until told otherwise. */
function swallowing(name: string) {
  const state = { isOn: true, count: 0 };
  const hook = ({ command: { name: found } }: FakeCall) => {
    if (found !== name || !state.isOn) return false;
    state.count += 1;
    return true;
  };
  return { state, hook };
}

/** Matches a BlockError of one code whose cause is an InitiatorError of another one. */
function failsWith(code: BlockError["code"], cause: InitiatorError["code"]) {
  return (error: unknown) => {
    assert.ok(error instanceof BlockError, String(error));
    assert.ok(error.cause instanceof InitiatorError, String(error.cause));
    assert.deepEqual([error.code, error.cause.code], [code, cause]);
    return true;
  };
}

/** What a flush says may be lost. */
function lostRanges(error: unknown): readonly ByteRange[] {
  failsWith("medium", "volatile-writes-lost-possible")(error);
  const { cause } = error as BlockError;
  return (cause as InitiatorError).facts.ranges as readonly ByteRange[];
}

test("delayBefore doubles up to its maximum", () => {
  const policy = reconnectPolicy({ firstDelayMs: 100, delayMsMax: 1000, jitter: 0 });
  const delays = [1, 2, 3, 4, 5, 6, 1000].map((attempt) => delayBefore(attempt, policy));
  assert.deepEqual(delays, [100, 200, 400, 800, 1000, 1000, 1000]);
  assert.equal(reconnectPolicy({}).controllerLossMs, 600_000);
});

test("delayBefore leaves a random share of each wait out, a quarter at most unless told", () => {
  const numbers = [0, 0.5, 1 - 2 ** -53];
  const options = { firstDelayMs: 100, delayMsMax: 1000 };
  const delays = (jitter: object) => {
    const left = [...numbers];
    const policy = reconnectPolicy({ ...options, ...jitter, random: () => left.shift()! });
    return numbers.map((_, attempt) => delayBefore(attempt + 1, policy));
  };
  assert.deepEqual(delays({}), [100, 175, 300]);
  assert.deepEqual(delays({ jitter: 1 }), [100, 100, 0]);
  const policy = reconnectPolicy(options);
  const all = new Set(Array.from({ length: 100 }, () => delayBefore(4, policy)));
  assert.ok(all.size > 1 && Math.min(...all) >= 600 && Math.max(...all) <= 800, `${[...all]}`);
});

test("the waits between attempts are those that the random source makes", async () => {
  let calls = 0;
  const random = () => (calls++ % 2) / 2;
  const reconnect = { firstDelayMs: 100, delayMsMax: 1000, controllerLossMs: 10_000, random };
  const { target, pipe, controller, events, pass } = await openLasting({}, { reconnect });
  pipe.isDown = true;
  target.cut();
  await pass(1000);
  pipe.isDown = false;
  await pass(1000);
  const delays = events.flatMap((event) => (event.type === "reconnecting" ? [event.delayMs] : []));
  assert.deepEqual(delays, [100, 175, 400, 700]);
  await controller.close();
});

test("a disk goes on over a new connection: what was under way is done, and what comes meanwhile", async () => {
  const { state, hook } = swallowing("write");
  const { target, pipe, controller, disk, pass, types } = await openLasting({ hook });
  const first = disk.write(0, pattern(1024, 1));
  const large = disk.write(8192, pattern(65536, 2));
  await settle();
  assert.equal(state.count, 2);
  state.isOn = false;
  pipe.isDown = true;
  target.cut();
  await pass(500);
  const later = disk.write(4096, pattern(512, 3));
  const back = new Uint8Array(512);
  const reading = disk.read(2048, back);
  const listing = controller.namespaces();
  target.disk.set(pattern(512, 4), 2048);
  pipe.isDown = false;
  await pass(2000);
  await Promise.all([first, large, later, reading]);
  assert.equal((await listing).length, 1);
  assert.deepEqual(target.disk.slice(0, 1024), pattern(1024, 1));
  assert.deepEqual(target.disk.slice(8192, 8192 + 65536), pattern(65536, 2));
  assert.deepEqual(target.disk.slice(4096, 4608), pattern(512, 3));
  assert.deepEqual(back, pattern(512, 4));
  const seen = types();
  assert.deepEqual(
    [seen[0], seen[1], seen.at(-1)],
    ["disconnected", "reconnecting", "reconnected"],
  );
  await controller.close();
  assert.equal(pipe.openCount, 0);
});

test("a controller is given up after its time, and every call is told why", async () => {
  const { state, hook } = swallowing("read");
  const { target, pipe, controller, disk, events, pass } = await openLasting({ hook });
  const reading = disk.read(0, new Uint8Array(512));
  reading.catch(() => {});
  await settle();
  state.isOn = false;
  pipe.isDown = true;
  target.cut();
  await pass(12_000);
  await assert.rejects(reading, failsWith("gone", "lost"));
  await assert.rejects(disk.flush(), failsWith("gone", "lost"));
  await assert.rejects(controller.namespaces(), { code: "lost" });
  const types = events.map(({ type }) => type);
  assert.deepEqual(types.slice(-2), ["lost", "closed"]);
  const last = events.at(-1);
  assert.ok(last?.type === "closed" && last.error.cause instanceof InitiatorError);
  assert.equal(last.error.cause.code, "connect-refused");
  const delays = events.flatMap((event) => (event.type === "reconnecting" ? [event.delayMs] : []));
  assert.deepEqual(delays.slice(0, 5), [100, 200, 400, 800, 1000]);
  await controller.close();
});

test("Controller.giveUp ends what waits for a lost connection, and no connection that is there", async () => {
  const { target, pipe, controller, disk, pass, types } = await openLasting();
  controller.giveUp("The target has other keys now.");
  await disk.write(0, pattern(512, 1));
  controller.giveUp("Another reason.");
  pipe.isDown = true;
  target.cut();
  await pass(10);
  const told = (error: unknown) =>
    failsWith("gone", "lost")(error) && /other keys/.test(`${error}`);
  await assert.rejects(disk.write(0, pattern(512, 2)), told);
  assert.deepEqual(types(), ["lost", "closed"]);
  await controller.close();

  const waits = await openLasting();
  waits.pipe.isDown = true;
  waits.target.cut();
  await waits.pass(500);
  const writing = waits.disk.write(0, pattern(512, 3));
  waits.controller.giveUp("The target has other keys now.");
  await assert.rejects(writing, told);
  await waits.controller.close();
  assert.equal(waits.pipe.openCount, 0);
});

test("a controller that is not to be waited for at all is lost with what ended its connection", async () => {
  const reconnect = { controllerLossMs: 0, jitter: 0 };
  const { target, controller, disk, pass } = await openLasting({}, { reconnect });
  target.cut();
  await pass(100);
  await assert.rejects(disk.read(0, new Uint8Array(512)), {
    code: "gone",
    message:
      /no attempt was made within 0 ms after this: .*: it closed the connection\. Connect anew/,
  });
  await controller.close();
});

test("a host that is refused for good is given up at once", async () => {
  const { target, controller, events, pass } = await openLasting();
  const hook = ({ command: { name }, cid, queue }: FakeCall) => {
    if (name === "connect") queue.fail(cid, "connectInvalidHost");
    return name === "connect";
  };
  target.change({ hook });
  target.cut();
  await pass(300);
  const last = events.at(-1);
  assert.ok(last?.type === "closed");
  assert.match(last.error.message, /refused for good.*not allowed/);
  await controller.close();
});

test("a subsystem that is not there yet is waited for, although it says do not retry", async () => {
  const { target, controller, disk, pass } = await openLasting();
  const hook = ({ command: { name }, cid, queue }: FakeCall) => {
    if (name === "connect") queue.fail(cid, "connectInvalidParameters");
    return name === "connect";
  };
  target.change({ hook });
  target.cut();
  const reading = disk.read(0, new Uint8Array(512));
  await pass(1000);
  target.change({ hook: () => false });
  await pass(1500);
  await reading;
  await controller.close();
});

test("another disk behind the same name is never read or written", async () => {
  const uuid = "00000000-0000-4000-8000-000000000002";
  const changes = [{ uuid }, { uuid: undefined }, { blockSizeBytes: 4096 }];
  for (const change of changes) {
    const { state, hook } = swallowing("write");
    const { target, controller, disk, pass, types } = await openLasting({ hook });
    const writing = disk.write(0, pattern(512));
    writing.catch(() => {});
    await settle();
    state.isOn = false;
    target.change(change);
    if (change.blockSizeBytes) Object.assign(target, change);
    target.cut();
    const waiting = disk.write(512, pattern(512));
    waiting.catch(() => {});
    await pass(1000);
    for (const call of [writing, waiting, disk.read(0, new Uint8Array(512))]) {
      await assert.rejects(call, failsWith("gone", "namespace-replaced"));
    }
    assert.deepEqual(target.disk, new Uint8Array(target.disk.length));
    assert.ok(types().includes("namespace-lost"));
    // Even if the first one comes back: who knows what has become of it.
    target.change({ uuid: "12345678-1234-4234-8234-123456789abc" });
    target.cut();
    await pass(1000);
    await assert.rejects(disk.write(0, pattern(512)), { code: "gone" });
    assert.equal(disk.fault?.code, "namespace-replaced");
    await controller.close();
  }
});

test("a disk without identities, or with one of zeros, is known by serial number and size", async () => {
  const zeros = "00000000-0000-0000-0000-000000000000";
  for (const [uuid, change, code] of [
    [undefined, {}, undefined],
    [undefined, { serial: "43" }, "namespace-replaced"],
    [zeros, {}, undefined],
    [zeros, { serial: "43" }, "namespace-replaced"],
  ] as const) {
    const { target, controller, disk, pass } = await openLasting({ uuid });
    target.change(change);
    target.cut();
    await pass(1000);
    assert.equal(disk.fault?.code, code);
    await controller.close();
  }
});

test("a disk that was resized meanwhile has its new size, one that went away comes back", async () => {
  const { target, controller, disk, pass, types } = await openLasting({ sizeBytes: 65536 });
  Object.assign(target, { disk: new Uint8Array(131072) });
  target.cut();
  await pass(1000);
  assert.equal(disk.sizeBytes, 131072);
  assert.ok(types().includes("namespace-resized"));
  target.change({ isGone: true });
  target.cut();
  await pass(1000);
  await assert.rejects(disk.read(0, new Uint8Array(512)), { name: "BlockError", code: "gone" });
  target.change({ isGone: false });
  target.queues[0]?.raiseEvent(2, 0, 4);
  await pass(100);
  await disk.read(0, new Uint8Array(512));
  assert.deepEqual(types().slice(-2), ["namespace-back", "namespaces-changed"]);
  await controller.close();
});

test("a command that must not be done twice is reported as interrupted", async () => {
  const { hook } = swallowing("setFeatures");
  const { target, controller, pass } = await openLasting();
  target.change({ hook });
  const setting = controller.executeAdmin(command("setFeatures", { fid: 0x84, nsid: 1 }));
  const flushing = controller.executeIo(command("flush", { nsid: 1 }));
  await flushing;
  await settle();
  target.change({ hook: ({ command: { name } }: FakeCall) => name === "verify" });
  const raw = controller.executeIo(command("verify", { nsid: 1 }));
  await settle();
  target.change({ hook: () => false });
  target.cut();
  await assert.rejects(setting, { code: "interrupted", message: /setFeatures/ });
  await assert.rejects(raw, { code: "interrupted", message: /verify/ });
  await pass(1000);
  await controller.executeIo(command("verify", { nsid: 1 }));
  await controller.close();
});

test("a command that breaks every connection is not sent for ever", async () => {
  const hook = ({ command: { name }, queue }: FakeCall) => {
    if (name === "read") queue.cut();
    return name === "read";
  };
  const { target, controller, disk, pass } = await openLasting({ hook });
  const reading = disk.read(0, new Uint8Array(512));
  reading.catch(() => {});
  await pass(10_000);
  await assert.rejects(reading, failsWith("gone", "interrupted"));
  assert.equal(target.seen.filter((name) => name === "read").length, 9);
  await disk.flush();
  await controller.close();
});

test("a question that breaks every connection is not asked for ever", async () => {
  const hook = ({ command: { name }, queue }: FakeCall) => {
    if (name === "getLogPage") queue.cut();
    return name === "getLogPage";
  };
  const { target, controller, disk, pass } = await openLasting({ hook });
  const asking = controller.logs.smart();
  asking.catch(() => {});
  await pass(10_000);
  await assert.rejects(asking, { code: "interrupted", message: /lost 9 times/ });
  assert.equal(target.seen.filter((name) => name === "getLogPage").length, 9);
  await disk.flush();
  await controller.close();
});

test("a call is aborted while the connection is gone, and close does not wait for it to be back", async () => {
  const { target, pipe, controller, disk, pass } = await openLasting();
  pipe.isDown = true;
  target.cut();
  await settle();
  const abort = new AbortController();
  const aborted = disk.write(0, pattern(512), { signal: abort.signal });
  const asking = controller.namespaces({ signal: abort.signal });
  const waiting = disk.read(0, new Uint8Array(512));
  waiting.catch(() => {});
  asking.catch(() => {});
  await pass(300);
  abort.abort(new Error("enough"));
  await assert.rejects(aborted, /enough/);
  await assert.rejects(asking, /enough/);
  await controller.close();
  await assert.rejects(waiting, failsWith("gone", "closed"));
  const { dials } = pipe;
  await pass(3000);
  assert.equal(pipe.dials, dials);
});

test("a flush tells once that writes before a reconnect may be lost, and which", async () => {
  const { target, controller, disk, pass } = await openLasting();
  await disk.write(0, pattern(512));
  await disk.flush();
  await disk.write(1024, pattern(512));
  await disk.writeZeroes(1536, 512);
  await disk.write(65536, pattern(512), { isDurable: true });
  target.cut();
  await pass(500);
  await disk.write(4096, pattern(512));
  const ranges = await disk.flush().then(() => [], lostRanges);
  assert.deepEqual(ranges, [{ offsetBytes: 1024, lengthBytes: 1024 }]);
  await disk.flush();
  target.cut();
  await pass(500);
  await disk.flush();
  await controller.close();
});

test("a disk without a volatile cache loses nothing by a reconnect", async () => {
  const { target, controller, disk, pass } = await openLasting({ hasVolatileCache: false });
  await disk.write(0, pattern(512));
  target.cut();
  await pass(500);
  await disk.flush();
  assert.ok(!target.seen.includes("flush"));
  await controller.close();
});

test("every acknowledged and flushed write is there, whatever was cut and lost in between", async () => {
  const blocks = 32;
  const step = fc.oneof(
    fc.record({
      kind: fc.constantFrom("write" as const, "zero" as const),
      at: fc.nat(blocks - 1),
      count: fc.integer({ min: 1, max: 8 }),
      seed: fc.nat(255),
    }),
    fc.record({ kind: fc.constant("flush" as const) }),
    fc.record({
      kind: fc.constant("cut" as const),
      afterCommands: fc.nat(4),
      losesCache: fc.boolean(),
    }),
  );
  const property = fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
    let untilCut = -1;
    let losesCache = false;
    const crash = () => {
      if (losesCache) target.medium.crash();
      target.cut();
    };
    const hook = ({ command: { name } }: FakeCall) => {
      if (!["write", "writeZeroes", "flush"].includes(name)) return false;
      if (untilCut < 0) return false;
      untilCut -= 1;
      if (untilCut >= 0) return false;
      crash();
      return true;
    };
    const opened = await openLasting({ hook, sizeBytes: blocks * 512 });
    const { target, controller, disk, pass } = opened;
    /** Value of each block that was acknowledged last. */
    const wanted = new Uint8Array(blocks);
    const expand = (offsetBytes: number, lengthBytes: number) =>
      Uint8Array.from(
        { length: lengthBytes },
        (_, n) => wanted[Math.floor((offsetBytes + n) / 512)]!,
      );
    const run = async (call: Promise<void>) => {
      let isSettled = false;
      const watched = call.finally(() => {
        isSettled = true;
      });
      watched.catch(() => {});
      while (!isSettled) await pass(100);
      return watched;
    };
    /** Flushes; what may be lost is written again, and flushed. */
    const flush = async (): Promise<void> => {
      const ranges = await run(disk.flush()).then(() => [], lostRanges);
      for (const { offsetBytes, lengthBytes } of ranges) {
        await run(disk.write(offsetBytes, expand(offsetBytes, lengthBytes)));
      }
      if (ranges.length > 0) await flush();
      else assert.deepEqual(target.medium.durable, expand(0, blocks * 512));
    };
    for (const next of steps) {
      if (next.kind === "cut") {
        untilCut = next.afterCommands;
        losesCache = next.losesCache;
      } else if (next.kind === "flush") await flush();
      else {
        const count = Math.min(next.count, blocks - next.at);
        const value = next.kind === "zero" ? 0 : next.seed;
        const [at, length] = [next.at * 512, count * 512];
        if (next.kind === "zero") await run(disk.writeZeroes(at, length));
        else await run(disk.write(at, new Uint8Array(length).fill(value)));
        wanted.fill(value, next.at, next.at + count);
      }
    }
    await flush();
    await controller.close();
  });
  await fc.assert(property, { seed: 20261123, numRuns: 150 });
});
