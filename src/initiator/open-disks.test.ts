import assert from "node:assert/strict";
import { test } from "node:test";
import {
  cns,
  encodeNamespaceDescriptors,
  encodeNamespaceList,
  identifyNamespace,
  logPage,
} from "../nvme/index.ts";
import type { FakeCall } from "./testing/fake-target.ts";
import { openLasting } from "./testing/lasting.ts";
import { settle } from "./testing/open.ts";

const uuid = "22345678-1234-4234-8234-123456789abc";

/** A second namespace, which the controller says nothing of while `isBroken`. */
function second() {
  const state = { isBroken: false, asked: 0 };
  const zero = identifyNamespace.decode(new Uint8Array(4096));
  const lbaf = zero.lbaf.map((format, n) => (n > 0 ? format : { ...format, lbads: 9 }));
  const identify = identifyNamespace.encode({ ...zero, nsze: 8n, ncap: 8n, lbaf });
  const hook = ({ command, cid, queue }: FakeCall) => {
    if (command.name !== "identify" || command.nsid !== 2) return false;
    state.asked += 1;
    if (state.isBroken) queue.fail(cid, "anaInaccessible", false);
    else if (command.cns === cns.namespace) queue.sendData(cid, identify);
    else queue.sendData(cid, encodeNamespaceDescriptors({ uuid }));
    return true;
  };
  return { state, hook };
}

test("a namespace that cannot be identified after a reconnect keeps no other disk from going on", async () => {
  const { state, hook } = second();
  const { target, controller, disk, pass, types } = await openLasting({ hook });
  const other = await controller.openNamespace(2);
  state.isBroken = true;
  target.cut();
  const reading = disk.read(0, new Uint8Array(512));
  await pass(500);
  await reading;
  await assert.rejects(other.read(0, new Uint8Array(512)), {
    code: "gone",
    message: /Namespace 2 of fake is out of reach: .* asymmetric access inaccessible/,
  });
  assert.deepEqual(types().slice(-2), ["namespace-lost", "reconnected"]);
  await pass(6000);
  assert.deepEqual(types(), []);
  state.isBroken = false;
  await pass(6000);
  await other.read(0, new Uint8Array(512));
  assert.deepEqual(types(), ["namespace-back"]);
  const { asked } = state;
  await pass(12_000);
  assert.equal(state.asked, asked);
  await controller.close();
});

test("a namespace that is out of reach is looked at again when its ANA state changes", async () => {
  const { state, hook } = second();
  const { target, controller, pass, types } = await openLasting({ hook });
  await controller.openNamespace(2);
  state.isBroken = true;
  target.cut();
  await pass(500);
  state.isBroken = false;
  types();
  target.pages.set(0x0c, new Uint8Array(16));
  target.queues[0]?.raiseEvent(2, 3, 0x0c);
  await settle();
  assert.deepEqual(types(), ["namespace-back", "ana-changed"]);
  await controller.close();
});

test("a disk that is disposed of is not looked at again", async () => {
  const { state, hook } = second();
  const { target, controller, pass } = await openLasting({ hook });
  const other = await controller.openNamespace(2);
  state.isBroken = true;
  target.cut();
  await pass(500);
  await other[Symbol.asyncDispose]();
  const { asked } = state;
  await pass(6000);
  assert.equal(state.asked, asked);
  await controller.close();
});

test("a namespace that changed and cannot be identified is not touched until it can", async () => {
  const { state, hook } = second();
  const { target, controller, pass, types } = await openLasting({ hook });
  const other = await controller.openNamespace(2);
  target.pages.set(logPage.changedNamespaces, encodeNamespaceList([2]));
  state.isBroken = true;
  target.queues[0]?.raiseEvent(2, 0, logPage.changedNamespaces);
  await settle();
  assert.deepEqual(types(), ["namespace-lost", "namespaces-changed"]);
  await assert.rejects(other.read(0, new Uint8Array(512)), { code: "gone" });
  state.isBroken = false;
  await pass(6000);
  assert.deepEqual(types(), ["namespace-back"]);
  await controller.close();
});
