import assert from "node:assert/strict";
import { test } from "node:test";
import type { FakeCall } from "./testing/fake-target.ts";
import { openLasting } from "./testing/lasting.ts";
import { pattern, settle } from "./testing/open.ts";

/** A hook that leaves writes without an answer until told otherwise. */
function holding() {
  const calls: FakeCall[] = [];
  const state = { isOn: true };
  const hook = (call: FakeCall) => {
    if (call.command.name !== "write" || !state.isOn) return false;
    calls.push(call);
    return true;
  };
  return { calls, state, hook };
}

/** Whether a promise has settled. */
function watch(promise: Promise<unknown>): { isSettled: boolean } {
  const state = { isSettled: false };
  const settled = () => {
    state.isSettled = true;
  };
  promise.then(settled, settled);
  return state;
}

test("an aborted write settles once its buffer has left, and not before", async () => {
  const { hook } = holding();
  const { pipe, controller, disk } = await openLasting({ hook });
  const abort = new AbortController();
  pipe.holdsSent = true;
  const writing = disk.write(0, pattern(4096), { signal: abort.signal });
  const watched = watch(writing);
  await settle();
  abort.abort(new Error("enough"));
  await settle();
  assert.equal(watched.isSettled, false);
  pipe.holdsSent = false;
  for (const left of pipe.held.splice(0)) left();
  await assert.rejects(writing, /enough/);
  const waiting = disk.write(0, pattern(512), { signal: AbortSignal.abort(new Error("before")) });
  await assert.rejects(waiting, /before/);
  await controller.close();
});

test("a write of a lost connection is sent again once its buffer has left, unless aborted", async () => {
  const { state, hook } = holding();
  const { target, pipe, controller, disk, pass } = await openLasting({ hook });
  const abort = new AbortController();
  const kept = disk.write(0, pattern(512, 1));
  const dropped = disk.write(512, pattern(512, 2), { signal: abort.signal });
  dropped.catch(() => {});
  await settle();
  state.isOn = false;
  pipe.holdsSent = true;
  // The host ends the queue by itself, with what it sent still on its way.
  pipe.tick(31_000);
  await pass(1000);
  abort.abort(new Error("enough"));
  await settle();
  assert.ok(!target.seen.slice(-4).includes("write"));
  const watched = [watch(kept), watch(dropped)];
  await settle();
  assert.deepEqual(
    watched.map(({ isSettled }) => isSettled),
    [false, false],
  );
  pipe.holdsSent = false;
  for (const left of pipe.held.splice(0)) left();
  await kept;
  await assert.rejects(dropped, /enough/);
  assert.deepEqual(target.disk.slice(0, 512), pattern(512, 1));
  assert.deepEqual(target.disk.slice(512, 1024), new Uint8Array(512));
  await controller.close();
});

test("an aborted write whose connection stalls ends the connection, and settles by that", async () => {
  const { state, hook } = holding();
  const { pipe, disk, controller, pass, types } = await openLasting({ hook });
  pipe.holdsSent = true;
  const abort = new AbortController();
  const writing = disk.write(0, pattern(512), { signal: abort.signal });
  const watched = watch(writing);
  await settle();
  state.isOn = false;
  abort.abort(new Error("enough"));
  await pass(900);
  assert.equal(watched.isSettled, false);
  assert.deepEqual(types(), []);
  await pass(200);
  assert.deepEqual(types().slice(0, 1), ["disconnected"]);
  // Writes of a socket that is destroyed are called back.
  pipe.holdsSent = false;
  for (const left of pipe.held.splice(0)) left();
  await assert.rejects(writing, /enough/);
  await pass(1000);
  await disk.write(0, pattern(512));
  await controller.close();
});

test("an aborted write that leaves slowly costs no connection", async () => {
  const { state, hook } = holding();
  const { pipe, disk, controller, pass, types } = await openLasting({ hook });
  pipe.holdsSent = true;
  const abort = new AbortController();
  const writing = disk.write(0, pattern(512), { signal: abort.signal });
  writing.catch(() => {});
  await settle();
  state.isOn = false;
  abort.abort(new Error("enough"));
  for (let n = 0; n < 4; n++) {
    await pass(900);
    pipe.leftBytes += 1000;
  }
  pipe.holdsSent = false;
  for (const left of pipe.held.splice(0)) left();
  await assert.rejects(writing, /enough/);
  await pass(3000);
  assert.deepEqual(types(), []);
  await controller.close();
});
