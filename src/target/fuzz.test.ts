import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  appendCapsuleCmd,
  appendData,
  type Command,
  type CommandName,
  command,
  commands,
  connectData,
  encodeCommand,
  encodeIcReq,
} from "../nvme/index.ts";
import { pattern, TestQueue } from "./testing/host.ts";
import { makeTarget, subnqn } from "./testing/make.ts";

/** Mutated streams, and the first seed; `tools/fuzz.ts` asks for more than a test run does. */
const [numRuns = 120, seed = 20261123] = process.argv.slice(2).map(Number);

const framing = { hdgst: false, ddgst: false, alignmentBytes: 4 };

/** A conversation of an honest host up to I/O, one chunk for each PDU. */
function conversation(qid: number, cntlid: number): Uint8Array[] {
  const out: Uint8Array[] = [];
  const add = (chunks: Uint8Array[]) => out.push(Buffer.concat(chunks));
  add([encodeIcReq({ pfv: 0, hpda: 4, dgst: { hdgst: false, ddgst: false }, maxr2t: 1 })]);
  const data = connectData.encode({
    hostid: new Uint8Array(16).fill(1),
    cntlid: qid === 0 ? 0xffff : cntlid,
    subnqn,
    hostnqn: "nqn.2026-11.org.example:host",
  });
  const connect = encodeCommand(command("connect", { qid, sqsize: 32 }), 1, {
    placement: "capsule",
    lengthBytes: data.length,
  });
  const chunks: Uint8Array[] = [];
  appendCapsuleCmd(chunks, framing, connect, data);
  add(chunks);
  for (const [index, name] of (Object.keys(commands) as CommandName[]).entries()) {
    const pdu: Uint8Array[] = [];
    const lengthBytes = 4096;
    const isOut = commands[name].data === "out";
    const payload = isOut ? pattern(lengthBytes) : undefined;
    const value = command(name, { nsid: 1, nlb: 8, numd: 1024, cns: 1 } as object) as Command;
    const pointer = { placement: isOut ? "capsule" : "transport", lengthBytes } as const;
    appendCapsuleCmd(pdu, framing, encodeCommand(value, 10 + index, pointer), payload);
    add(pdu);
  }
  const write: Uint8Array[] = [];
  const large = { placement: "transport", lengthBytes: 65_536 } as const;
  appendCapsuleCmd(
    write,
    framing,
    encodeCommand(command("write", { nsid: 1, nlb: 128 }), 99, large),
  );
  add(write);
  // The first is long enough to land in its place, with the header of the second behind it.
  for (const { datao, length, last } of [
    { datao: 0, length: 40_960, last: false },
    { datao: 40_960, length: 24_576, last: true },
  ]) {
    const given: Uint8Array[] = [];
    appendData(given, framing, "H2CData", { cccid: 99, ttag: 0, datao, last }, pattern(length));
    add(given);
  }
  return out;
}

/** What may be done to a stream of PDUs. */
const edits = fc.array(
  fc.oneof(
    fc.record({ kind: fc.constant("byte"), at: fc.nat(), value: fc.integer({ min: 0, max: 255 }) }),
    fc.record({
      kind: fc.constant("header"),
      at: fc.nat(),
      value: fc.integer({ min: 0, max: 255 }),
    }),
    fc.record({ kind: fc.constant("drop"), at: fc.nat(), value: fc.nat(8) }),
    fc.record({ kind: fc.constant("twice"), at: fc.nat(), value: fc.nat(8) }),
  ),
  { maxLength: 6 },
);

function mutate(
  pdus: Uint8Array[],
  changes: readonly { kind: string; at: number; value: number }[],
) {
  let stream = pdus.map((pdu) => Uint8Array.from(pdu));
  for (const { kind, at, value } of changes) {
    const pdu = stream[at % stream.length];
    if (!pdu) continue;
    const index = Math.floor(at / stream.length);
    if (kind === "byte") pdu[index % pdu.length] = value;
    else if (kind === "header") pdu[index % Math.min(pdu.length, 72)] = value;
    else if (kind === "drop") stream = stream.filter((other) => other !== pdu);
    else stream.splice(at % stream.length, 0, Uint8Array.from(pdu));
  }
  return Buffer.concat(stream);
}

test("a target survives mutated streams: it answers or ends the connection, and keeps nothing", async () => {
  const { target, clock, open } = makeTarget();
  const honest = await open();
  const unasked = {
    isFabrics: false,
    data: new Uint8Array(0),
    read: new Uint8Array(2 ** 20),
    done: () => {},
  };
  const baseline = { connections: target.connectionCount, bytes: target.budget.usedBytes };
  await fc.assert(
    fc.asyncProperty(
      edits,
      fc.boolean(),
      fc.oneof(fc.integer({ min: 1, max: 4096 }), fc.constant(100_000)),
      async (changes, isAdmin, cut) => {
        const queue = new TestQueue(target, clock, "192.0.2.1");
        // Answers that belong to no command of this test are what a target says to a mutation.
        queue.waiting.get = () => unasked;
        const bytes = mutate(conversation(isAdmin ? 0 : 1, honest.cntlid), changes);
        queue.push(bytes, cut);
        await queue.connection.settled();
        queue.connection.end("the test is over");
        await queue.connection.settled();
        assert.equal(target.budget.usedBytes, baseline.bytes);
      },
    ),
    { seed, numRuns },
  );
  assert.equal((await honest.admin.send(command("keepAlive"))).status, "success");
});

test("a target survives bytes of chance", async () => {
  const { target, clock } = makeTarget();
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 512 }), async (bytes) => {
      const queue = new TestQueue(target, clock, "192.0.2.1");
      if (bytes.length % 2 === 0) queue.initialize();
      queue.push(bytes, 1 + (bytes.length % 7));
      queue.connection.end("the test is over");
      assert.equal(target.connectionCount, 0);
      assert.equal(target.budget.usedBytes, 0);
    }),
    { seed: 20261123, numRuns: 400 },
  );
});
