import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import {
  authenticationProtocol,
  type Command,
  command,
  DhchapHost,
  type DhchapHostOptions,
  type DhchapHostStep,
  DhchapSecret,
  dhchapMessageBytesMax,
  discoveryNqn,
  generatedPsk,
  property,
} from "../nvme/index.ts";
import {
  GeneratedKeys,
  generatedKeyMs,
  generatedKeysMax,
  generatedKeysPerHostMax,
} from "./generated-keys.ts";
import { policyAt, type TlsPolicy } from "./secure-channel.ts";
import { hostnqn, TestHost, type TestQueue } from "./testing/host.ts";
import { makeTarget, subnqn } from "./testing/make.ts";

const policies: readonly TlsPolicy[] = ["off", "optional", "required"];
const secret = new DhchapSecret(new Uint8Array(32).fill(1), "sha256");
const controllerSecret = new DhchapSecret(new Uint8Array(32).fill(2), "none");
const hosts = new Map([
  [hostnqn, { secret: secret.reveal(), controllerSecret: controllerSecret.reveal() }],
]);

test("policyAt says what holds for a subsystem at a listener", () => {
  const table = policies.map((listener) => policies.map((own) => policyAt(listener, own)));
  assert.deepEqual(table, [
    ["off", "off", undefined],
    ["off", "optional", "required"],
    [undefined, "required", "required"],
  ]);
});

/** Authenticates a queue as `DhchapHost` says; what came of it, or the status of a refusal. */
async function authenticate(queue: TestQueue, options: Partial<DhchapHostOptions> = {}) {
  const host = new DhchapHost({
    hostnqn,
    subnqn,
    secret,
    tid: 7,
    hashes: ["sha256", "sha384", "sha512"],
    groups: ["ffdhe2048"],
    random: randomBytes,
    ...options,
  });
  const send = async (data: Uint8Array) => {
    const carry = { ...authenticationProtocol, length: data.length };
    return (await queue.send(command("authenticationSend", carry), { data })).status;
  };
  let step: DhchapHostStep = { kind: "reply", message: host.start() };
  while (step.kind === "reply") {
    assert.equal(await send(step.message), "success");
    const readBytes = dhchapMessageBytesMax;
    const ask = command("authenticationReceive", { ...authenticationProtocol, length: readBytes });
    step = host.receive((await queue.send(ask, { readBytes })).data);
  }
  if (step.message && step.kind === "done") assert.equal(await send(step.message), "success");
  return step;
}

/** Connects an admin queue; AUTHREQ as the response has it. */
async function connect(made: ReturnType<typeof makeTarget>, options: object = {}) {
  const host = new TestHost(made.target, made.clock, { subnqn, ...options });
  host.admin = host.queue();
  const reply = await host.connect(host.admin, 0);
  host.cntlid = reply.completion.dw0 % 65536;
  return { host, reply, authreq: Math.floor(reply.completion.dw0 / 65536) };
}

test("a key for TLS is made by authentication, one- and bidirectional, and lets its host in", async () => {
  for (const keys of [{}, { controllerSecret }]) {
    const made = makeTarget(undefined, { hosts });
    const plain = await connect(made, { tlsPolicy: "optional" });
    assert.equal(plain.authreq, 2, "authentication alone would do");
    const step = await authenticate(plain.host.admin, { ...keys, concatenation: "newTlsPsk" });
    assert.ok(step.kind === "done" && step.result.generated);
    assert.equal(step.result.hash, "sha256", "the only one that Node's TLS has keys of");
    const psk = step.result.generated.tlsPsk({ hostnqn, subnqn }, 1);
    assert.match(psk.identity, /^NVMe1G01 /);
    const found = made.target.generatedKeys.find(psk.identity, made.clock.nowMs);
    assert.deepEqual(found?.psk.key, psk.key);
    assert.deepEqual(found?.isGenerated, true);
    const tls = { ...found!.parties, isGenerated: true };
    const secured = await connect(made, { tls, tlsPolicy: "optional" });
    assert.equal(secured.authreq, 0, "who has the key has authenticated");
    assert.equal((await secured.host.enable()).status, "success");
    const io = secured.host.queue();
    assert.equal((await secured.host.connect(io, 1)).status, "success");
    assert.equal((await io.send(command("flush", { nsid: 1 }))).status, "success");
  }
});

test("a host replaces the key that it came with; other requests for one are refused", async () => {
  const made = makeTarget(undefined, { hosts });
  const tls = { hostnqn, subnqn, isGenerated: true };
  const cases = [
    { name: "replacing", options: { tls, tlsPolicy: "optional" }, asks: "replaceTlsPsk", ok: true },
    { name: "new by TLS", options: { tls, tlsPolicy: "optional" }, asks: "newTlsPsk", ok: false },
    { name: "no listener with TLS", options: {}, asks: "newTlsPsk", ok: false },
    { name: "none yet", options: { tlsPolicy: "optional" }, asks: "replaceTlsPsk", ok: false },
    {
      name: "a configured key",
      options: { tls: { ...tls, isGenerated: false } },
      asks: "replaceTlsPsk",
      ok: false,
    },
  ] as const;
  for (const { name, options, asks, ok } of cases) {
    const { host } = await connect(made, options);
    const before = made.target.generatedKeys.count;
    const step = await authenticate(host.admin, { concatenation: asks });
    assert.equal(step.kind, ok ? "done" : "failed", name);
    if (step.kind === "failed") assert.equal(step.failure, "concatenationMismatch", name);
    assert.equal(made.target.generatedKeys.count - before, ok ? 1 : 0, name);
    assert.equal(host.admin.isEnded, !ok, name);
  }
});

test("a key for TLS is made on the admin queue and with a group only", async () => {
  const made = makeTarget(undefined, { hosts });
  const { host } = await connect(made, { tlsPolicy: "optional" });
  assert.equal((await authenticate(host.admin)).kind, "done");
  await host.enable();
  const io = host.queue();
  const reply = await host.connect(io, 1);
  assert.equal(Math.floor(reply.completion.dw0 / 65536), 2);
  const step = await authenticate(io, { concatenation: "newTlsPsk" });
  assert.ok(step.kind === "failed" && step.failure === "concatenationMismatch");
  const long = `nqn.2026-11.org.example:${"x".repeat(190)}`;
  const other = makeTarget(undefined, { nqn: long, hosts });
  const far = await connect(other, { subnqn: long, tlsPolicy: "optional" });
  const refused = await authenticate(far.host.admin, { subnqn: long, concatenation: "newTlsPsk" });
  assert.equal(refused.kind, "failed", "Node's TLS has no room for an identity of these names");
});

test("a subsystem that requires TLS takes a host in the clear to make its key, and for no more", async () => {
  const made = makeTarget(undefined, { hosts, tls: "required" });
  const tlsPolicy = "optional";
  const { host, authreq } = await connect(made, { tlsPolicy });
  assert.equal(authreq, 4, "ASCR, without ATR");
  const without = await authenticate(host.admin);
  assert.ok(without.kind === "failed" && without.failure === "concatenationMismatch");
  const { host: again } = await connect(made, { tlsPolicy });
  const step = await authenticate(again.admin, { concatenation: "newTlsPsk" });
  assert.equal(step.kind, "done");
  // As Linux does before it comes back by TLS.
  assert.equal((await again.enable()).status, "success");
  assert.equal(await again.property(property.csts.ofst), 1);
  const identify = command("identify", { cns: 1 });
  assert.equal((await again.admin.send(identify, { readBytes: 4096 })).status, "success");
  const protect: Command = command("setFeatures", { fid: 0x84, nsid: 1, cdw11: 1 });
  assert.equal((await again.admin.send(protect)).status, "operationDenied");
  assert.equal((await again.connect(again.queue(), 1)).status, "connectInvalidHost");
});

test("a subsystem refuses hosts that come in another way than its policy says", async () => {
  const configured = { hostnqn, subnqn, isGenerated: false };
  for (const tls of policies) {
    for (const tlsPolicy of policies) {
      for (const isSecured of [false, true]) {
        if (isSecured ? tlsPolicy === "off" : tlsPolicy === "required") continue;
        const made = makeTarget(undefined, { tls });
        const { reply } = await connect(made, {
          tlsPolicy,
          ...(isSecured ? { tls: configured } : {}),
        });
        const policy = policyAt(tlsPolicy, tls);
        const isAllowed = policy !== undefined && policy !== (isSecured ? "off" : "required");
        const wanted = isAllowed ? "success" : "connectInvalidHost";
        const name = `subsystem ${tls}, listener ${tlsPolicy}, by TLS ${isSecured}`;
        assert.deepEqual([reply.status, reply.dnr], [wanted, !isAllowed], name);
      }
    }
  }
});

test("the queues of a controller are all secured, or none", async () => {
  const made = makeTarget();
  const tls = { hostnqn, subnqn, isGenerated: false };
  const secured = await made.open({ tls, tlsPolicy: "optional" }, 0);
  const plain = new TestHost(made.target, made.clock, { subnqn, tlsPolicy: "optional" });
  plain.cntlid = secured.cntlid;
  assert.equal((await plain.connect(plain.queue(), 1)).status, "connectInvalidHost");
  assert.equal((await secured.connect(secured.queue(), 1)).status, "success");
});

test("discovery tells of TLS what holds, and leaves out what cannot be reached", async () => {
  // [TREQ.TSC, SECTYPE] of the entry of the subsystem; none where it is not shown.
  const wanted: Readonly<Record<TlsPolicy, readonly number[]>> = {
    off: [0, 0],
    optional: [2, 2],
    required: [1, 2],
  };
  for (const own of policies) {
    for (const listener of policies) {
      const made = makeTarget(undefined, { tls: own });
      const host = "192.0.2.1";
      made.target.addListening({ host, port: 4420, tls: listener, discoveryOnly: false });
      const { admin } = await made.open({ subnqn: discoveryNqn }, 0);
      const get = command("getLogPage", { lid: 0x70, numd: 768 });
      const { data } = await admin.send(get, { readBytes: 3072 });
      const entries = Array.from({ length: data[8]! }, (_, n) => data.subarray(1024 * (n + 1)));
      const shown = entries.filter((entry) => entry[2] === 2);
      const policy = policyAt(listener, own);
      assert.deepEqual(
        shown.map((entry) => [entry[3]! % 4, entry[768]]),
        policy ? [wanted[policy]] : [],
        `subsystem ${own}, listener ${listener}`,
      );
      assert.equal(entries.length - shown.length, 1, "the discovery service itself");
    }
  }
});

test("a TLS key of one host does not show what another one may see", async () => {
  const made = makeTarget();
  const other = "nqn.2026-11.org.example:other";
  const tls = { hostnqn, subnqn, isGenerated: false };
  await made.open({ subnqn: discoveryNqn, tls }, 0);
  const stranger = made.open({ subnqn: discoveryNqn, tls: { ...tls, hostnqn: other } }, 0);
  await assert.rejects(stranger, /connectInvalidHost/);
});

test("a key for TLS ends with the secret that it was made by, and with its subsystem", async () => {
  const other = "nqn.2026-11.org.example:other";
  const access = { secret: secret.reveal() };
  const both = new Map([
    [hostnqn, access],
    [other, access],
  ]);
  const { target, clock } = makeTarget(undefined, { hosts: both });
  const bytes = new Uint8Array(32).fill(5);
  const make = (name: string) => {
    const psk = generatedPsk("sha256", bytes, bytes, bytes);
    target.generatedKeys.add({ hostnqn: name, subnqn }, psk, clock.nowMs);
    return psk.tlsPsk({ hostnqn: name, subnqn }, 1).identity;
  };
  const [mine, its] = [make(hostnqn), make(other)];
  const isThere = (identity: string) =>
    target.generatedKeys.find(identity, clock.nowMs) !== undefined;
  target.setHosts(subnqn, new Map(both).set(hostnqn, { secret: controllerSecret.reveal() }));
  assert.deepEqual([isThere(mine), isThere(its)], [false, true]);
  target.removeSubsystem(subnqn);
  assert.ok(!isThere(its));
});

test("GeneratedKeys forgets keys with time, and the oldest of a host that makes many", () => {
  const keys = new GeneratedKeys();
  const make = (seed: number, name = "host") => {
    const bytes = new Uint8Array(32).fill(seed % 256, 0, 16).fill(seed / 256, 16);
    const psk = generatedPsk("sha256", bytes, bytes, bytes);
    const parties = { hostnqn: `nqn.2026-11.org.example:${name}`, subnqn };
    keys.add(parties, psk, 0);
    return psk.tlsPsk(parties, 1).identity;
  };
  const first = make(0);
  assert.ok(keys.find(first, generatedKeyMs - 1));
  assert.equal(keys.find(first, generatedKeyMs), undefined);
  assert.equal(keys.count, 0);
  const other = make(0, "other");
  const made = Array.from({ length: generatedKeysPerHostMax + 1 }, (_, seed) => make(seed));
  assert.equal(keys.find(made[0]!, 0), undefined);
  assert.ok(keys.find(made[1]!, 0) && keys.find(other, 0));
  for (let n = 0; n < generatedKeysMax; n++) make(n, `host${n}`);
  assert.equal(keys.count, generatedKeysMax);
  assert.equal(keys.find(other, 0), undefined);
});
