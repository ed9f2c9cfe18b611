import assert from "node:assert/strict";
import { test } from "node:test";
import { adrfam, type discoveryLogEntry, logPage, subtype, trtype } from "../nvme/index.ts";
import { addressOf, discoverOver, discoveryEntriesMax } from "./index.ts";
import type { FakeCall, FakeOptions, FakeTarget } from "./testing/fake-target.ts";
import { fake, withTime } from "./testing/open.ts";

const reached = { host: "192.0.2.7", port: 14420 };

function entry(index: number): Partial<Parameters<typeof discoveryLogEntry.encode>[0]> {
  return {
    trtype: trtype.tcp,
    adrfam: adrfam.ipv4,
    subtype: subtype.nvm,
    treq: { secureChannel: 2, disableSqFlow: 0 },
    trsvcid: "4420    ",
    subnqn: `nqn.2026-11.org.example:disk${index}`,
    traddr: "10.0.2.15",
  };
}

function discoverFrom(behaviour: FakeOptions) {
  const { target, pipe } = fake(behaviour);
  return { target, pipe, found: discoverOver(pipe.dial, reached, {}) };
}

test("discoverOver reads every entry, however many, and leaves", async () => {
  for (const count of [0, 1, 3, 4, 9, 130]) {
    const discovery = Array.from({ length: count }, (_, index) => entry(index));
    const { pipe, found } = discoverFrom({ discovery });
    const entries = await found;
    assert.deepEqual(
      entries.map(({ subsystemNqn }) => subsystemNqn),
      discovery.map(({ subnqn }) => subnqn),
    );
    assert.equal(pipe.openCount, 0);
  }
});

test("an entry says what it is, and offers each address to connect to", async () => {
  const referral = {
    ...entry(1),
    subtype: subtype.referral,
    adrfam: adrfam.ipv6,
    traddr: "fe80::1",
  };
  const odd = { ...entry(2), trtype: trtype.rdma, subtype: 9, trsvcid: "nvme" };
  const [first, second, third] = await discoverFrom({ discovery: [entry(0), referral, odd] }).found;
  assert.ok(first && second && third);
  const { subject, transport, addressFamily, secureChannel } = first;
  const wanted = ["subsystem", "tcp", "ipv4", "not-required"];
  assert.deepEqual([subject, transport, addressFamily, secureChannel], wanted);
  assert.deepEqual(addressOf(first, "advertised"), { host: "10.0.2.15", port: 4420 });
  assert.deepEqual(addressOf(first, "reached-host"), { host: "192.0.2.7", port: 4420 });
  assert.deepEqual(addressOf(first, "reached"), reached);
  assert.deepEqual([second.subject, second.addressFamily], ["referral", "ipv6"]);
  assert.deepEqual([third.subject, third.transport, third.advertised.port], ["unknown", "rdma", 0]);
});

/** Changes the log each time its second entry is read, `times` times. */
function changing(times: number): { behaviour: FakeOptions; attach(target: FakeTarget): void } {
  let target: FakeTarget | undefined;
  let left = times;
  const hook = ({ command }: FakeCall) => {
    const isEntries = command.name === "getLogPage" && command.lid === logPage.discovery;
    if (isEntries && command.lpo > 0n && left > 0 && target) {
      left -= 1;
      target.genctr += 1n;
    }
    return false;
  };
  return {
    behaviour: { discovery: [entry(0)], hook },
    attach: (made) => {
      target = made;
    },
  };
}

test("discoverOver reads a log that changed again, ten times at most", async () => {
  const few = changing(3);
  const first = discoverFrom(few.behaviour);
  few.attach(first.target);
  assert.equal((await withTime(first.pipe, 250, first.found)).length, 1);
  const many = changing(1000);
  const second = discoverFrom(many.behaviour);
  many.attach(second.target);
  const busy = withTime(second.pipe, 250, second.found);
  await assert.rejects(busy, { name: "InitiatorError", code: "busy" });
  assert.equal(second.pipe.openCount, 0);
});

test("an entry with a link-local address has the scope of the address that was reached", async () => {
  const cases = [
    ["fe80::2", "fe80::1%eth0", "fe80::2%eth0"],
    ["FEBF::2", "fe80::1%7", "FEBF::2%7"],
    ["fe80::2%eth1", "fe80::1%eth0", "fe80::2%eth1"],
    ["fe80::2", "box.local", "fe80::2"],
    ["2001:db8::2", "fe80::1%eth0", "2001:db8::2"],
  ] as const;
  for (const [traddr, host, wanted] of cases) {
    const { pipe } = fake({ discovery: [{ ...entry(1), adrfam: adrfam.ipv6, traddr }] });
    const [found] = await discoverOver(pipe.dial, { host, port: 8009 }, {});
    assert.deepEqual(found?.advertised, { host: wanted, port: 4420 });
  }
});

test("discoverOver reads a log again that became shorter while it was read", async () => {
  const long = Array.from({ length: 200 }, (_, n) => entry(n));
  let reads = 0;
  const hook = ({ command, cid, queue }: FakeCall) => {
    if (command.name !== "getLogPage") return false;
    reads += 1;
    if (reads === 2) {
      target.change({ discovery: [entry(7)] });
      target.genctr += 1n;
    }
    // As targets do with what begins after the end.
    const { discovery = [] } = target.options;
    if (Number(command.lpo) < 1024 * (discovery.length + 1)) return false;
    queue.fail(cid, "invalidField");
    return true;
  };
  const { target, pipe, found } = discoverFrom({ hook, discovery: long });
  const names = (await withTime(pipe, 250, found)).map(({ subsystemNqn }) => subsystemNqn);
  assert.deepEqual(names, ["nqn.2026-11.org.example:disk7"]);
});

test("discoverOver refuses a log that claims more entries than can be", async () => {
  const hook = ({ command, cid, queue }: FakeCall) => {
    if (command.name !== "getLogPage") return false;
    const raw = new Uint8Array(command.numd * 4);
    new DataView(raw.buffer).setBigUint64(8, BigInt(discoveryEntriesMax) + 1n, true);
    queue.sendData(cid, raw);
    return true;
  };
  const wanted = { name: "InitiatorError", code: "protocol", message: /8193 entries/ };
  await assert.rejects(discoverFrom({ hook }).found, wanted);
});

test("discoverOver reports a status in place of a log", async () => {
  const hook = ({ command, cid, queue }: FakeCall) => {
    if (command.name === "getLogPage") queue.fail(cid, "invalidLogPage");
    return command.name === "getLogPage";
  };
  const { pipe, found } = discoverFrom({ hook });
  await assert.rejects(found, { code: "status", message: /getLogPage at 192.0.2.7:14420/ });
  assert.equal(pipe.openCount, 0);
});
