import assert from "node:assert/strict";
import { test } from "node:test";
import { ErrorLog } from "./error-log.ts";
import { errorLogEntriesMax } from "./limits.ts";
import { Pace } from "./pace.ts";
import { BufferPool, ByteBudget, sizeFor, sizeOf, slackBytes } from "./pool.ts";
import { Statistics } from "./statistics.ts";
import { TlsKeys } from "./tls-keys.ts";
import { Vigil } from "./vigil.ts";
import { WriteGate } from "./write-gate.ts";

test("Pace avoids direct calls after several that took long, longer each time", () => {
  const pace = new Pace();
  for (let n = 0; n < 3; n++) pace.note(4096, 10, 0);
  assert.ok(pace.isQuick(0), "a few long calls may be chance");
  pace.note(4096, 10, 10);
  assert.ok(!pace.isQuick(13.9));
  assert.ok(pace.isQuick(14));
  for (let n = 0; n < 2; n++) pace.note(4096, 10, 24);
  assert.ok(!pace.isQuick(31.9), "two more are enough on trial, and for longer");
  assert.ok(pace.isQuick(32));
  for (let n = 0; n < 64; n++) pace.note(4096, 0.01, 32);
  for (let n = 0; n < 4; n++) pace.note(4096, 10, 50);
  assert.ok(!pace.isQuick(53.9));
  assert.ok(pace.isQuick(54), "what was long ago is forgiven");
  assert.equal(pace.disappointments, 3);
});

test("Pace does not mind a long call now and then", () => {
  const pace = new Pace();
  for (let n = 0; n < 10_000; n++) pace.note(4096, n % 40 === 0 ? 5 : 0.004, n);
  assert.equal(pace.disappointments, 0);
});

test("Pace takes one very long call as proof, and a rest that is a hundred times as long", () => {
  const pace = new Pace();
  pace.note(4096, 45, 45);
  assert.ok(pace.isQuick(45), "the processor may have been with somebody else");
  pace.note(4096, 30_000, 30_045);
  assert.ok(!pace.isQuick(3_030_044));
  assert.ok(pace.isQuick(3_030_045));
  pace.note(4096, 5, 3_030_050);
  assert.ok(!pace.isQuick(3_030_050), "on trial, one long call is enough");
  assert.equal(pace.disappointments, 2);
});

test("Pace gives large calls more time", () => {
  const pace = new Pace();
  for (let n = 0; n < 10; n++) pace.note(2 ** 20, 2, 2);
  assert.ok(pace.isQuick(2));
});

/** A vigil on a clock that moves by 0.01 ms with each look. */
function keepVigil() {
  const clock = { ms: 0, next: undefined as (() => void) | undefined, looks: 0 };
  const vigil = new Vigil({
    nowMs: () => clock.ms,
    afterLook: (work) => {
      clock.next = work;
    },
  });
  /** Looks up to so often; false when the loop falls asleep before. */
  const look = (times: number): boolean => {
    for (let n = 0; n < times; n++) {
      const { next } = clock;
      clock.next = undefined;
      if (!next) return false;
      clock.ms += 0.01;
      clock.looks++;
      next();
    }
    return true;
  };
  return { clock, vigil, look };
}

test("Vigil looks for the next command a while, and as long again after each", () => {
  const { vigil, look } = keepVigil();
  vigil.answered();
  for (let n = 0; n < 100; n++) {
    assert.ok(look(8), "the next command comes in time");
    vigil.answered();
  }
  assert.ok(!look(12), "no command comes");
  assert.ok(!vigil.isAwake);
});

test("Vigil is kept ever more seldom while nothing comes of it, and readily once it pays", () => {
  const { clock, vigil, look } = keepVigil();
  const turns = 4000;
  for (let n = 0; n < turns; n++) {
    vigil.answered();
    look(20);
    clock.ms = n;
  }
  assert.ok(clock.looks < 0.01 * turns * 11, `${clock.looks} looks in vain`);
  clock.ms += 250;
  vigil.answered();
  assert.ok(vigil.isAwake, "on trial");
  for (let n = 0; n < 16; n++) {
    look(5);
    vigil.answered();
  }
  look(20);
  vigil.answered();
  assert.ok(vigil.isAwake, "one in vain is forgiven");
});

test("WriteGate lets one be alone, in the order in which they came", async () => {
  const gate = new WriteGate();
  const order: string[] = [];
  const steps = { first: Promise.withResolvers<void>(), alone: Promise.withResolvers<void>() };
  const run = (name: string, until: Promise<void>) => async () => {
    order.push(`${name} in`);
    await until;
    order.push(`${name} out`);
  };
  const first = gate.shared(run("first", steps.first.promise));
  const alone = gate.alone(run("alone", steps.alone.promise));
  assert.ok(!gate.isFree);
  const last = gate.shared(run("last", Promise.resolve()));
  steps.first.resolve();
  await first;
  steps.alone.resolve();
  await Promise.all([alone, last]);
  assert.deepEqual(order, [
    "first in",
    "first out",
    "alone in",
    "alone out",
    "last in",
    "last out",
  ]);
  assert.ok(gate.isFree);
});

test("WriteGate goes on after work that failed", async () => {
  const gate = new WriteGate();
  await assert.rejects(
    gate.alone(() => Promise.reject(new Error("no"))),
    /no/,
  );
  assert.ok(gate.isFree);
});

test("ByteBudget refuses what is too much, and wakes who waits in turn", () => {
  const budget = new ByteBudget(100);
  const woken: number[] = [];
  const first = () => void woken.push(1);
  const second = () => void woken.push(2);
  assert.ok(budget.tryTake(80, first));
  assert.ok(!budget.tryTake(30, first));
  assert.ok(!budget.tryTake(30, second));
  assert.ok(!budget.tryTake(30, first));
  budget.give(80);
  assert.deepEqual(woken, [1, 2]);
  assert.ok(budget.tryTake(500, first), "who is alone gets what it needs");
  assert.equal(budget.usedBytes, 500);
});

test("ByteBudget has shares, and wakes who waits for a share or for the whole", () => {
  const whole = new ByteBudget(100);
  const [one, other] = [new ByteBudget(60, whole), new ByteBudget(60, whole)];
  const woken: string[] = [];
  assert.ok(one.tryTake(50, () => {}));
  assert.ok(!one.tryTake(20, () => woken.push("share")));
  assert.ok(other.tryTake(45, () => {}));
  assert.ok(!other.tryTake(10, () => woken.push("whole")));
  other.give(20);
  assert.deepEqual(woken, ["whole"], "the share is as full as it was");
  one.give(50);
  assert.deepEqual(woken, ["whole", "share"]);
  one.force(10);
  whole.force(5);
  one.adopt(5);
  assert.deepEqual([one.usedBytes, other.usedBytes, whole.usedBytes], [15, 25, 40]);
  const gone = () => woken.push("gone");
  assert.ok(!one.tryTake(50, gone));
  one.leave(gone);
  one.give(15);
  assert.deepEqual(woken, ["whole", "share"]);
});

test("BufferPool gives sizes that are powers of two and some slack, and the same buffer again", () => {
  const pool = new BufferPool();
  const buffer = pool.take(5000);
  assert.equal(buffer.length, 8192 + slackBytes);
  assert.deepEqual([sizeFor(5000), sizeOf(buffer)], [8192, 8192]);
  pool.give(buffer);
  assert.equal(pool.take(8192), buffer);
});

test("BufferPool gives long buffers while few are in use", () => {
  const pool = new BufferPool();
  const takeOne = () => pool.takeBetween(2 ** 18, 2 ** 20);
  const buffers = Array.from({ length: 14 }, takeOne);
  const sizes = buffers.map(sizeOf);
  assert.deepEqual(sizes, [...Array(12).fill(2 ** 20), ...Array(2).fill(2 ** 18)]);
  for (const buffer of buffers.slice(0, 2)) pool.give(buffer);
  assert.equal(takeOne(), buffers[1], "what was given back is no longer in use");
});

test("BufferPool frees what was not wanted for longest once there is too much", () => {
  const pool = new BufferPool();
  const many = (bytes: number, count: number) =>
    Array.from({ length: count }, () => pool.take(bytes));
  const old = many(2 ** 18, 64);
  const used = old.splice(32);
  for (const buffer of old) pool.give(buffer);
  for (let turn = 0; turn < 3; turn++) {
    const large = many(2 ** 20, 28);
    assert.ok(pool.bytes <= 40 * 2 ** 20, `${pool.bytes} bytes`);
    for (const buffer of large) pool.give(buffer);
    assert.ok(
      large.every(({ length }) => length > 0),
      "what is in use again and again is kept",
    );
  }
  assert.ok(
    old.some(({ length }) => length === 0),
    "the size that nobody wants is freed",
  );
  assert.ok(
    used.every(({ length }) => length > 0),
    "what is in use is not",
  );
  const beyond = many(2 ** 20, 64);
  for (const buffer of beyond) pool.give(buffer);
  assert.ok(pool.bytes <= 40 * 2 ** 20, `${pool.bytes} bytes after a flood`);
});

test("Statistics sorts operations by how long they took", () => {
  const statistics = new Statistics();
  for (const tookMs of [0.0005, 0.003, 1, 100_000_000]) statistics.read.add(512, tookMs);
  const { operations, bytes, latencyUs } = statistics.snapshot().read;
  assert.deepEqual([operations, bytes], [4, 2048]);
  assert.deepEqual([latencyUs[0], latencyUs[2], latencyUs[10], latencyUs.at(-1)], [1, 1, 1, 1]);
});

test("ErrorLog keeps the newest errors first, and only so many", () => {
  const log = new ErrorLog();
  for (let cid = 0; cid < 200; cid++) log.add({ sqid: 1, cid, status: 2, opc: 2, nsid: 1 });
  const raw = log.encode();
  assert.equal(raw.length, errorLogEntriesMax * 64);
  assert.deepEqual([raw[0], raw[64], raw[10]], [200, 199, 199]);
  assert.equal(log.count, 200n);
});

const key = "NVMeTLSkey-1:01:VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwNf9LrZ:";
// From the specification's vectors as libnvme has them.
const identity =
  "NVMe1R01 nqn.psk-test-host nqn.psk-test-subsys iSbjiStwJ/1TrTvDlt2fjFmzvsytOJelidNnA+X5lEU=";

test("TlsKeys finds the key of an identity, and whom it stands for", () => {
  const found = new TlsKeys([{ key }]).find(identity);
  const parties = { hostnqn: "nqn.psk-test-host", subnqn: "nqn.psk-test-subsys" };
  assert.deepEqual(found?.parties, parties);
  assert.equal(found?.psk.key.length, 32);
  assert.ok(new TlsKeys([{ key, hostnqn: parties.hostnqn }]).find(identity));
  assert.equal(new TlsKeys([{ key, hostnqn: "nqn.other" }]).find(identity), undefined);
  assert.equal(new TlsKeys([{ key }]).find(identity.replace("iS", "xS")), undefined);
  assert.equal(new TlsKeys([{ key }]).find("anything else"), undefined);
});

test("TlsKeys finds the key of an identity as libnvme made it until 2025", () => {
  const digest = "66GuqV08TsAGII39teWUfwQwizjv06Jy8jOcX3NAAzM=";
  const early = identity.replace(/\S+$/, digest);
  const found = new TlsKeys([{ key }]).find(early);
  assert.equal(found?.psk.identity, early);
  assert.notDeepEqual(found?.psk.key, new TlsKeys([{ key }]).find(identity)?.psk.key);
});

test("TlsKeys refuses keys that are malformed or for SHA-384, without showing them", () => {
  const long =
    "NVMeTLSkey-1:02:VRLbtnN9AQb2WXW3c9+wEf/DRLz0QuLdbYvEhwtdWwP/w0S89ELi3W2LxIcLXVsDn8kXZQ==:";
  for (const bad of [`${key.slice(0, 30)}:`, long]) {
    assert.throws(
      () => new TlsKeys([{ key: bad }]),
      (error: Error & { code?: string }) => {
        assert.ok(!error.message.includes(bad.slice(16, 28)));
        return error.name === "TargetError" && error.code === "key";
      },
    );
  }
});
