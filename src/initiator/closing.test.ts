/** How long it takes to leave a controller, whatever becomes of it meanwhile. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { type Controller, discoverOver } from "./index.ts";
import type { FakeCall } from "./testing/fake-target.ts";
import { openLasting } from "./testing/lasting.ts";
import { fake, open, settle, withTime } from "./testing/open.ts";

/** What a shutdown may take, and a tick of the clock. */
const shutdownMsMax = 5000 + 500;

/** A hook that answers nothing once it is told so, or only what `passes` names. */
function silencing(...passes: readonly string[]) {
  const state = { isOn: false };
  const hook = ({ command: { name } }: FakeCall) => state.isOn && !passes.includes(name);
  return { state, hook };
}

test("close and discover leave a target that fell silent within the time of one shutdown", async () => {
  for (const passes of [[], ["propertySet"]]) {
    const { state, hook } = silencing(...passes);
    const { pipe, controller } = await open({ hook }, { ioQueues: 4 });
    state.isOn = true;
    const startMs = pipe.clock.nowMs();
    await withTime(pipe, 500, controller.close());
    assert.ok(pipe.clock.nowMs() - startMs <= shutdownMsMax, `${pipe.clock.nowMs() - startMs}`);
    assert.equal(pipe.openCount, 0);
  }
  let propertiesSet = 0;
  // The first one enables the controller, the second one shuts it down.
  const hook = ({ command }: FakeCall) => command.name === "propertySet" && ++propertiesSet === 2;
  const { pipe } = fake({ hook, discovery: [] });
  const discovering = discoverOver(pipe.dial, { host: "x", port: 1 }, {});
  const startMs = pipe.clock.nowMs();
  assert.deepEqual(await withTime(pipe, 500, discovering), []);
  assert.ok(pipe.clock.nowMs() - startMs <= shutdownMsMax, `${pipe.clock.nowMs() - startMs}`);
  assert.equal(pipe.openCount, 0);
});

test("a controller that takes its time to shut down is waited for, and no longer than told", async () => {
  const hook = ({ command, cid, queue }: FakeCall) => {
    if (command.name !== "propertyGet") return false;
    queue.respond(cid, { dw0: 1 });
    return true;
  };
  const { target, pipe, controller } = await open();
  target.change({ hook });
  const startMs = pipe.clock.nowMs();
  await withTime(pipe, 500, controller.close());
  assert.ok(pipe.clock.nowMs() - startMs <= shutdownMsMax, `${pipe.clock.nowMs() - startMs}`);
});

test("whoever calls close again may abort the waiting of the first call", async () => {
  const { state, hook } = silencing();
  const { pipe, controller } = await open({ hook });
  const disk = await controller.openNamespace(1);
  state.isOn = true;
  const reading = disk.read(0, new Uint8Array(512));
  const closing = controller.close();
  const abort = new AbortController();
  const again = controller.close({ signal: abort.signal });
  await settle();
  assert.equal(pipe.openCount, 2);
  abort.abort();
  await Promise.all([closing, again]);
  await assert.rejects(reading, { code: "gone" });
  assert.equal(pipe.openCount, 0);
});

test("close waits for no call whose connection is lost", async () => {
  const { state, hook } = silencing();
  const reconnect = { controllerLossMs: 600_000, jitter: 0 };
  const { target, pipe, controller, disk, pass } = await openLasting({ hook }, { reconnect });
  state.isOn = true;
  const reading = disk.read(0, new Uint8Array(512));
  reading.catch(() => {});
  await settle();
  const closing = controller.close();
  await settle();
  assert.equal(pipe.openCount, 2);
  pipe.isDown = true;
  target.cut();
  await pass(100);
  await closing;
  await assert.rejects(reading, { code: "gone" });
  const { dials } = pipe;
  await pass(3000);
  assert.equal(pipe.dials, dials);
});

const endings = {
  close: (controller: Controller) => void controller.close(),
  giveUp: (controller: Controller) => controller.giveUp("The target has other keys now."),
};

for (const [ending, end] of Object.entries(endings)) {
  for (const type of ["disconnected", "reconnecting", "reconnected"] as const) {
    test(`${ending} called by a listener of "${type}" is the end`, async () => {
      const { target, pipe, controller, disk, pass, types } = await openLasting();
      controller.onEvent((event) => {
        if (event.type === type) end(controller);
      });
      target.cut();
      await pass(1000);
      await assert.rejects(disk.read(0, new Uint8Array(512)), { name: "BlockError" });
      assert.equal(pipe.openCount, 0);
      assert.equal(controller.ioQueues, 0);
      const { dials } = pipe;
      await pass(3000);
      assert.equal(pipe.dials, dials);
      const seen = types();
      const after = seen.slice(seen.indexOf(type) + 1);
      assert.deepEqual(after, ending === "close" ? [] : ["lost", "closed"]);
      await controller.close();
    });
  }
}
