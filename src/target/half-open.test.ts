/** Connections on their way to a finished Connect, and those that pretend to be. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { command, discoveryNqn } from "../nvme/index.ts";
import { hostnqn, TestHost } from "./testing/host.ts";
import { makeTarget, subnqn } from "./testing/make.ts";

test("hosts that come all at once are let in; silent connections that are not young make room", async () => {
  const { target, clock } = makeTarget();
  const hosts = Array.from({ length: 300 }, (_, n) => {
    return new TestHost(target, clock, { subnqn, hostnqn: `${hostnqn}-${n}` });
  });
  const queues = hosts.map((host) => host.queue());
  assert.ok(!queues.some(({ isEnded }) => isEnded));
  const replies = hosts.slice(0, 128).map((host, n) => host.connect(queues[n]!, 0));
  for (const { status } of await Promise.all(replies)) assert.equal(status, "success");
  clock.nowMs += 1000;
  const late = new TestHost(target, clock, { subnqn }).queue();
  assert.ok(!late.isEnded);
  const ended = queues.map(({ isEnded }) => isEnded).indexOf(true);
  assert.equal(ended, 128, "the oldest of those that say nothing");
});

test("a flood of young connections has a limit, and leaves room for others", () => {
  const { target, clock } = makeTarget(undefined, {}, { limits: { halfOpenBurstMax: 200 } });
  const host = new TestHost(target, clock, { subnqn });
  const queues = Array.from({ length: 250 }, () => host.queue());
  assert.equal(target.connectionCount, 200);
  assert.equal(
    queues.findLastIndex(({ isEnded }) => isEnded),
    49,
  );
});

test("a connection has one Connect under way: many of them leave no controller behind", async () => {
  const made = makeTarget();
  const { target, clock, events } = made;
  for (let n = 0; n < 30; n++) {
    const name = `${hostnqn}-${n}`;
    const host = new TestHost(target, clock, { subnqn: discoveryNqn, hostnqn: name });
    const queue = host.queue();
    for (let m = 0; m < 20; m++) void host.connect(queue, 0);
    await turn();
    assert.ok(queue.isEnded);
  }
  assert.ok(events.some(([, { detail }]) => /more commands at a time than 1/.test(`${detail}`)));
  assert.equal(target.connectionCount, 0);
  const innocent = await made.open({ subnqn: discoveryNqn }, 0);
  assert.ok(innocent.cntlid <= 31, `there were ${innocent.cntlid} controllers`);
});

test("a connection that is a queue already is not connected again", async () => {
  const { target, clock } = makeTarget();
  const host = new TestHost(target, clock, { subnqn });
  const queue = host.queue();
  assert.equal((await host.connect(queue, 0)).status, "success");
  assert.equal((await host.connect(queue, 0)).status, "commandSequence");
});

test("of two connections for one queue that come at once, one has it", async () => {
  const { target, open } = makeTarget();
  const host = await open();
  const { promise, resolve } = Promise.withResolvers<void>();
  host.io[0]!.connection.watch(promise);
  const [first, second] = [host.queue(), host.queue()];
  for (const queue of [first, second]) void host.connect(queue, 1);
  await turn();
  resolve();
  await turn();
  assert.equal([first, second].filter(({ isEnded }) => isEnded).length, 1);
  target.setHosts(subnqn, new Map());
  assert.ok(first.isEnded && second.isEnded, "no queue is forgotten");
});

test("Authentication Send brings no more than its messages have", async () => {
  const secret = "DHHC-1:00:ia6zGodOr4SEG0Zzaw398rpY0wqipUWj4jWjUh4HWUz6aQ2n:";
  const { target, clock } = makeTarget(undefined, { hosts: new Map([[hostnqn, { secret }]]) });
  const host = new TestHost(target, clock, { subnqn });
  const queue = host.queue();
  assert.equal((await host.connect(queue, 0)).status, "success");
  const send = (length: number) => {
    const value = command("authenticationSend", { secp: 0xe9, spsp0: 1, spsp1: 1, length });
    return queue.send(value, { data: new Uint8Array(length), inCapsule: false });
  };
  assert.equal((await send(8196)).status, "invalidField");
  assert.ok(!queue.pdus.some(({ type }) => type === "R2T"));
  assert.equal((await send(8192)).status, "success");
});
