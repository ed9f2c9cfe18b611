/** How long it takes to leave a controller, whatever becomes of it meanwhile. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { discoverOver } from "./index.ts";
import type { FakeCall } from "./testing/fake-target.ts";
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
