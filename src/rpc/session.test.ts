/** Both ends of a session over memory, and the box's end against those that do not keep to it. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import fc from "fast-check";
import { RpcClient } from "./client.ts";
import { RpcError } from "./error.ts";
import { inFlightMax, malformedMax, requestBytesMax, streamsMax } from "./limits.ts";
import { type Handlers, RpcSession, type SessionOptions } from "./session.ts";
import { sampleHandlers } from "./testing/handlers.ts";

const hostnqn = "nqn.2014-08.org.nvmexpress:uuid:6c0f57bd-7e5c-4b0c-9a5f-3d2f4e1b8a90";

/** A client and a session that hand each other bytes. */
function connect(changes: Partial<Handlers> = {}) {
  const client = new RpcClient((line) => void session.receive(Buffer.from(line)));
  const calls: (readonly [string, string | null])[] = [];
  const session = new RpcSession({
    handlers: sampleHandlers(changes),
    write: async (line) => client.receive(Buffer.from(line)),
    onCall: (method, code) => calls.push([method, code]),
  });
  return { client, session, calls };
}

/** A session with what it has written, for lines that no client of ours sends. */
function listen(changes: Partial<Handlers> = {}, options: Partial<SessionOptions> = {}) {
  const answers: { id: unknown; error?: { code: number; message: string } }[] = [];
  const write = async (line: string) => void answers.push(JSON.parse(line));
  const session = new RpcSession({ handlers: sampleHandlers(changes), write, ...options });
  const say = (line: string) => session.receive(Buffer.from(`${line}\n`));
  return { session, answers, say };
}

const ask = (id: number, method: string, params?: unknown) =>
  JSON.stringify({ jsonrpc: "2.0", id, method, params });

const failsWith = (code: string, message?: RegExp) => (error: unknown) =>
  error instanceof RpcError && error.code === code && (message?.test(error.message) ?? true);

test("RpcClient.call gives what the handler gave, defaults filled in", async () => {
  const given: unknown[] = [];
  const { client, calls } = connect({
    disks: async (params) => {
      given.push(params);
      return { disks: [], grants: [], peers: [] };
    },
  });
  assert.equal((await client.call("describe", {})).name, "lunch-feta");
  await client.call("disks", {});
  assert.deepEqual(given, [{ contents: false, health: false }]);
  assert.deepEqual(calls, [
    ["describe", null],
    ["disks", null],
  ]);
});

test("RpcClient.call rejects with the box's code, message and facts", async () => {
  const refusal = new RpcError("no-such-disk", "No disk is called sdz.", { disks: ["sda"] });
  const { client } = connect({ revoke: () => Promise.reject(refusal) });
  await assert.rejects(client.call("revoke", { grant: "g9" }), (error) => {
    assert.ok(error instanceof RpcError);
    assert.equal(error.code, "no-such-disk");
    assert.equal(error.message, "No disk is called sdz.");
    assert.deepEqual(error.facts.disks, ["sda"]);
    return true;
  });
});

test("RpcSession tells nothing of a fault of the box's own", async () => {
  const { client } = connect({ log: () => Promise.reject(new TypeError("secret DHHC-1:00:x")) });
  await assert.rejects(client.call("log", {}), failsWith("internal", /^The box's program failed/));
});

const grant = { hostnqn, disks: ["sda"], mode: "rw", seconds: 60 };
const wrong: readonly [name: string, method: string, params: unknown, message: RegExp][] = [
  ["a host NQN that is none", "grant", { ...grant, hostnqn: "x" }, /hostnqn: Wanted: a host NQN/],
  ["no disk", "grant", { ...grant, disks: [] }, /disks: /],
  ["an unknown mode", "grant", { ...grant, mode: "all" }, /mode: /],
  ["a time without end by mistake", "grant", { ...grant, seconds: 1e15 }, /seconds: /],
  ["half a second", "grant", { ...grant, seconds: 0.5 }, /seconds: /],
  ["control characters", "grant", { ...grant, purpose: "a\u001b[2J" }, /purpose: Wanted: one line/],
  ["a field that nobody knows", "describe", { verbose: true }, /verbose/],
  ["a huge unit", "hash", { stream: 1, disk: "a", ranges: [], unitBytes: 2 ** 40 }, /unitBytes: /],
  ["a list for parameters", "describe", [1], /Cannot call describe/],
];
for (const [name, method, params, message] of wrong) {
  test(`RpcSession refuses ${name} and says where`, async () => {
    const { answers, say } = listen();
    await say(ask(1, method, params));
    await turn();
    assert.equal(answers[0]?.error?.code, -32602);
    assert.match(answers[0]?.error?.message ?? "", message);
  });
}

const lines: readonly [name: string, line: string, code: number][] = [
  ["what is no JSON", "{", -32600],
  ["a batch", `[${ask(1, "describe")}]`, -32600],
  ["a notification", '{"jsonrpc":"2.0","method":"powerOff"}', -32600],
  ["another version", '{"jsonrpc":"1.0","id":1,"method":"describe"}', -32600],
  ["a nest of brackets", "[".repeat(60_000), -32600],
  ["an unknown method", ask(1, "format"), -32601],
  ["a method of every object", ask(1, "constructor"), -32601],
];
for (const [name, line, code] of lines) {
  test(`RpcSession answers ${name} with ${code}`, async () => {
    const { answers, say } = listen();
    await say(line);
    await turn();
    assert.deepEqual(
      answers.map(({ error }) => error?.code),
      [code],
    );
  });
}

test("RpcSession ends after too many lines that make no sense, or one that is too long", async () => {
  const noise = listen();
  for (let n = 0; n < malformedMax; n++) await noise.say("?");
  assert.equal(await noise.session.ended, "malformed");
  const long = listen();
  await long.say("x".repeat(requestBytesMax + 1));
  assert.equal(await long.session.ended, "line-too-long");
  assert.match(long.answers[0]?.error?.message ?? "", /more than 65536 bytes/);
});

test("RpcSession serves a bounded number of calls and stops reading meanwhile", async () => {
  const waiting: (() => void)[] = [];
  let atOnce = 0;
  const { answers, session } = listen({
    log: async () => {
      atOnce += 1;
      await new Promise<void>((resolve) => waiting.push(resolve));
      return { events: [] };
    },
  });
  const flood = Array.from({ length: 1000 }, (_, id) => `${ask(id, "log")}\n`).join("");
  let isTaken = false;
  const taken = session.receive(Buffer.from(flood)).then(() => {
    isTaken = true;
  });
  await turn();
  assert.deepEqual([atOnce, isTaken], [inFlightMax, false]);
  while (!isTaken || !session.isIdle) {
    for (const finish of waiting.splice(0)) finish();
    await turn();
  }
  await taken;
  assert.equal(answers.length, 1000);
});

test("RpcSession ends a flood when its session is closed", async () => {
  const { session } = listen({ log: () => new Promise(() => {}) });
  const flood = Array.from({ length: 100 }, (_, id) => `${ask(id, "log")}\n`).join("");
  const taken = session.receive(Buffer.from(flood));
  await turn();
  session.close();
  await taken;
  assert.equal(await session.ended, "closed");
});

test("RpcSession ends when nobody takes its answers", async () => {
  const { session, say } = listen({}, { write: () => Promise.reject(new Error("EPIPE")) });
  await say(ask(1, "describe"));
  assert.equal(await session.ended, "output");
});

test("RpcClient.stream hands over each item and resolves at the end", async () => {
  const { client } = connect();
  const ranges = [0, 1, 2].map((n) => ({ offsetBytes: n * 4096, lengthBytes: 4096 }));
  const seen: number[] = [];
  const result = await client.stream("hash", { disk: "sda", ranges, unitBytes: 4096 }, (item) => {
    seen.push(item.offsetBytes);
  });
  assert.deepEqual(seen, [0, 4096, 8192]);
  assert.equal(result.units, 3);
});

test("RpcClient.stream cancels on the box what is aborted here", async () => {
  const ended = Promise.withResolvers<void>();
  const { client, calls } = connect({
    watch: (_params, { signal }) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener("abort", () => {
          ended.resolve();
          reject(signal.reason);
        });
      }),
  });
  const abort = new AbortController();
  const watching = client.stream("watch", {}, () => {}, { signal: abort.signal });
  await turn();
  abort.abort(new Error("enough"));
  await assert.rejects(watching, /enough/);
  await ended.promise;
  await turn();
  assert.deepEqual(calls.toSorted(), [
    ["cancel", null],
    ["watch", "cancelled"],
  ]);
});

test("RpcClient.stream rejects with what its reader throws", async () => {
  const { client } = connect();
  const ranges = [{ offsetBytes: 0, lengthBytes: 4096 }];
  const hashing = client.stream("hash", { disk: "sda", ranges, unitBytes: 4096 }, () => {
    throw new Error("no room");
  });
  await assert.rejects(hashing, /no room/);
  assert.equal((await client.call("describe", {})).rpc, 1);
});

test("RpcSession bounds streams, and cancel still finds room", async () => {
  const { client } = connect();
  const abort = new AbortController();
  const watch = () => client.stream("watch", {}, () => {}, { signal: abort.signal });
  const open = Array.from({ length: streamsMax }, watch);
  await assert.rejects(watch(), failsWith("limit", /at most 8 streams/));
  abort.abort(new Error("enough"));
  for (const one of open) await assert.rejects(one, /enough/);
});

test("RpcClient.close rejects what waits, and what comes after", async () => {
  const { client } = connect({ log: () => new Promise(() => {}) });
  const waiting = client.call("log", {});
  await turn();
  client.close();
  await assert.rejects(waiting, failsWith("closed"));
  await assert.rejects(client.call("describe", {}), failsWith("closed"));
});

test("RpcClient ends at what is no answer, and at an answer of another shape", async () => {
  for (const line of ["?", '{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"no"}}']) {
    const client = new RpcClient(() => {});
    const waiting = client.call("describe", {});
    client.receive(Buffer.from(`${line}\n`));
    await assert.rejects(waiting, failsWith("protocol"));
  }
  const client = new RpcClient(() => {});
  const waiting = client.call("log", {});
  client.receive(Buffer.from('{"jsonrpc":"2.0","id":1,"result":{"events":1}}\n'));
  await assert.rejects(waiting, failsWith("protocol", /result of log.*events/));
});

test("RpcSession survives random bytes: bounded answers, and never a crash", async () => {
  const pieces = fc.oneof(
    fc.uint8Array({ maxLength: 300 }),
    fc.json().map((text) => Buffer.from(`${text}\n`)),
    fc
      .tuple(
        fc.constantFrom("grant", "hash", "watch", "describe", "cancel", "blink"),
        fc.jsonValue(),
      )
      .map(([method, params]) => Buffer.from(`${ask(1, method, params)}\n`)),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(pieces, { maxLength: 20 }), async (chunks) => {
      const { answers, session } = listen();
      for (const chunk of chunks) await session.receive(chunk);
      session.close();
      await turn();
      const lineCount = Buffer.concat(chunks).filter((byte) => byte === 10).length;
      assert.ok(answers.length <= lineCount + 1, `${answers.length} answers`);
    }),
    { seed: 20261123, numRuns: 200 },
  );
});
