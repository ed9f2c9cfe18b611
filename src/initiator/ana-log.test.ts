/** The page on Asymmetric Namespace Access where it may be longer than one piece. */

import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type AnaGroup,
  anaState,
  cns,
  encodeAnaLog,
  identifyController,
  logPage,
} from "../nvme/index.ts";
import type { FakeCall } from "./testing/fake-target.ts";
import { open, settle, withTime } from "./testing/open.ts";

/** A controller that may have a long page, and refuses what begins after its end, as SPDK's. */
async function openLong(groups: number, namespaces: number) {
  const nsids = Array.from({ length: namespaces }, (_, n) => n + 1);
  const all: AnaGroup[] = Array.from({ length: groups }, (_, n) => {
    const state = n === 0 ? anaState.optimized : anaState.inaccessible;
    return { anagrpid: n + 1, chgcnt: 1n, state, nsids: n === 0 ? nsids : [] };
  });
  const state = { groups: all, chgcnt: 1n, reads: [] as string[], onRead: (_count: number) => {} };
  const hook = ({ command, cid, queue, lengthBytes }: FakeCall) => {
    if (command.name === "identify" && command.cns === cns.controller) {
      const fake = identifyController.decode(new Uint8Array(4096));
      const sizes = { nn: 16_384, mnan: 16_384, nanagrpid: 4096 };
      const wanted = {
        sn: "1",
        mn: "1",
        fr: "1",
        cntlid: 7,
        kas: 10,
        iorcsz: 1,
        ioccsz: 4,
        oaes: 0x900,
        ...sizes,
      };
      const sgls = { support: 1, keyed: false };
      queue.sendData(cid, identifyController.encode({ ...fake, ...wanted, sgls }));
      return true;
    }
    if (command.name !== "getLogPage" || command.lid !== logPage.ana) return false;
    const at = Number(command.lpo);
    const { rae } = command.specific;
    state.reads.push(`${at}+${lengthBytes}${rae ? " retained" : ""}`);
    state.onRead(state.reads.length);
    const page = encodeAnaLog(state);
    if (at >= page.length) queue.fail(cid, "invalidField");
    else {
      const data = new Uint8Array(lengthBytes);
      data.set(page.subarray(at, at + lengthBytes));
      queue.sendData(cid, data);
    }
    return true;
  };
  return { ...(await open({ hook })), state };
}

test("LogPages.ana reads a page as far as it goes, and rearms its event by the last command", async () => {
  const { target, controller, state } = await openLong(2, 3);
  assert.deepEqual(await controller.logs.ana(), state.groups);
  assert.deepEqual(state.reads, ["0+65536 retained", "0+16"]);
  const events: string[] = [];
  controller.onEvent(({ type }) => events.push(type));
  target.queues[0]?.raiseEvent(2, 3, logPage.ana);
  await settle();
  assert.deepEqual(events, ["ana-changed"]);
  await controller.close();

  const long = await openLong(2, 16_384);
  assert.deepEqual(await long.controller.logs.ana(), long.state.groups);
  assert.deepEqual(long.state.reads, ["0+65536 retained", "65536+65536 retained", "0+16"]);
  await long.controller.close();
});

test("LogPages.ana reads a page again that changes meanwhile, whatever it looked like", async () => {
  for (const shrinks of [false, true]) {
    const { pipe, controller, state } = await openLong(2, 16_384);
    state.onRead = (count) => {
      if (count !== 2) return;
      state.chgcnt += 1n;
      const groups = [...state.groups].reverse();
      state.groups = shrinks ? groups.slice(0, 1) : groups;
    };
    const found = await withTime(pipe, 250, controller.logs.ana());
    assert.equal(state.reads.filter((read) => read === "0+16").length, 2);
    assert.deepEqual(
      found.map(({ anagrpid }) => anagrpid),
      shrinks ? [2] : [2, 1],
    );
    await controller.close();
  }
});

test("LogPages.ana gives up a page that never stays, and tells what it is refused for", async () => {
  const { pipe, controller, state } = await openLong(2, 16_384);
  state.onRead = () => {
    state.chgcnt += 1n;
  };
  const busy = withTime(pipe, 250, controller.logs.ana());
  await assert.rejects(busy, { code: "busy", message: /changed during each of 10 readings/ });
  await controller.close();

  const refusing = await openLong(2, 16_384);
  const whole = refusing.state.groups;
  refusing.state.onRead = (count) => {
    refusing.state.groups = count === 2 ? whole.slice(1) : whole;
  };
  await assert.rejects(refusing.controller.logs.ana(), { code: "status" });
  await refusing.controller.close();
});
