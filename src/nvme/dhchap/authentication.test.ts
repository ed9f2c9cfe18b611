import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import fc from "fast-check";
import {
  DhchapController,
  type DhchapControllerOptions,
  type DhchapControllerStep,
  DhchapHost,
  type DhchapHostOptions,
  type DhchapHostStep,
  DhchapSecret,
  decodeDhchapMessage,
  dhchapGroups,
  dhchapHashes,
} from "../index.ts";

const names = { hostnqn: "nqn.2026-11.org.example:host", subnqn: "nqn.2026-11.org.example:disk" };
const secret = new DhchapSecret(new Uint8Array(32).fill(1), "sha256");
const controllerSecret = new DhchapSecret(new Uint8Array(48).fill(2));
const wrong = new DhchapSecret(new Uint8Array(32).fill(3), "sha256");

/** Repeatable bytes in place of random ones. */
function randomOf(seed: string) {
  let count = 0;
  return (length: number) => {
    const block = createHash("sha512").update(`${seed} ${count++}`).digest();
    return Uint8Array.from({ length }, (_, index) => block[index % block.length]!);
  };
}

function hostOf(options: Partial<DhchapHostOptions> = {}): DhchapHost {
  return new DhchapHost({ ...names, secret, tid: 5, random: randomOf("host"), ...options });
}

function controllerOf(options: Partial<DhchapControllerOptions> = {}): DhchapController {
  return new DhchapController({ ...names, secret, random: randomOf("controller"), ...options });
}

/** How a conversation ended on both sides. */
interface Ending {
  readonly host: DhchapHostStep;
  readonly controller: DhchapControllerStep;
  /** Message types in their order, host and controller in turns. */
  readonly said: readonly string[];
}

/** Lets both talk until the host is through; `tamper` may change any message on its way. */
function talk(
  host: DhchapHost,
  controller: DhchapController,
  tamper: (message: Uint8Array, index: number) => Uint8Array = (message) => message,
): Ending {
  const said: string[] = [];
  const carry = (message: Uint8Array) => {
    const decoded = decodeDhchapMessage(message);
    said.push(decoded.ok ? decoded.message.type : decoded.failure);
    return tamper(message, said.length - 1);
  };
  let outgoing = host.start();
  for (;;) {
    let judged = controller.send(carry(outgoing));
    const answer = controller.receive();
    assert.notEqual(answer.kind, "outOfTurn");
    if (answer.kind === "outOfTurn") throw new Error("unreachable");
    const step = host.receive(carry(answer.message));
    if (step.kind === "reply") {
      outgoing = step.message;
      continue;
    }
    if (step.message && answer.kind !== "last") judged = controller.send(carry(step.message));
    return { host: step, controller: judged, said };
  }
}

test("both ends authenticate with every hash in every group, in one and in both directions", () => {
  for (const hash of dhchapHashes) {
    for (const group of dhchapGroups) {
      for (const both of [false, true]) {
        const known = both ? { controllerSecret } : {};
        const host = hostOf({ ...known, hashes: [hash], groups: [group] });
        const { host: done, controller, said } = talk(host, controllerOf(known));
        const name = `${hash} ${group} ${both}`;
        assert.equal(done.kind, "done", name);
        assert.equal(controller.kind, "authenticated", name);
        const result = { hash, group, bidirectional: both };
        assert.deepEqual(done.kind === "done" && done.result, result);
        assert.deepEqual(controller.kind === "authenticated" && controller.result, result);
        const last = both ? ["success2"] : [];
        assert.deepEqual(said, ["negotiate", "challenge", "reply", "success1", ...last], name);
      }
    }
  }
});

test("DhchapController takes what it prefers of what the host offers", () => {
  const host = hostOf({ hashes: ["sha256", "sha384"], groups: ["null", "ffdhe2048"] });
  const { host: done } = talk(host, controllerOf());
  assert.deepEqual(done.kind === "done" && [done.result.hash, done.result.group], [
    "sha384",
    "ffdhe2048",
  ]);
  const { host: all } = talk(hostOf(), controllerOf());
  const found = all.kind === "done" && [all.result.hash, all.result.group];
  assert.deepEqual(found, ["sha512", "ffdhe3072"]);
});

const failures = [
  {
    name: "a host with another key",
    host: { secret: wrong, groups: ["null"] },
    controller: {},
    failure: "failed",
    by: "controller",
  },
  {
    name: "a host with another key and a group",
    host: { secret: wrong, groups: ["ffdhe2048"] },
    controller: {},
    failure: "failed",
    by: "controller",
  },
  {
    name: "a host of another name, whose key is transformed by it",
    host: { hostnqn: "nqn.2026-11.org.example:other", groups: ["null"] },
    controller: {},
    failure: "failed",
    by: "controller",
  },
  {
    name: "a controller with another key",
    host: { controllerSecret, groups: ["null"] },
    controller: { controllerSecret: wrong },
    failure: "failed",
    by: "host",
  },
  {
    name: "a controller without a key that is to prove itself",
    host: { controllerSecret, groups: ["null"] },
    controller: {},
    failure: "failed",
    by: "controller",
  },
  {
    name: "no hash in common",
    host: { hashes: ["sha256"] },
    controller: { hashes: ["sha512"] },
    failure: "hashNotUsable",
    by: "controller",
  },
  {
    name: "no group in common",
    host: { groups: ["null"] },
    controller: { groups: ["ffdhe2048"] },
    failure: "groupNotUsable",
    by: "controller",
  },
  {
    name: "a key for TLS where there can be none",
    host: { concatenation: "newTlsPsk" },
    controller: {},
    failure: "concatenationMismatch",
    by: "controller",
  },
] as const;

test("both ends learn why it failed, and who called it off", () => {
  for (const { name, host, controller, failure, by } of failures) {
    const ending = talk(hostOf(host), controllerOf(controller));
    for (const end of [ending.host, ending.controller]) {
      assert.deepEqual(end.kind === "failed" && [end.failure, end.by], [failure, by], name);
    }
  }
});

test("secure channel concatenation gives both ends the same key for TLS", () => {
  for (const known of [{}, { controllerSecret }]) {
    for (const hash of ["sha256", "sha384"] as const) {
      const shared = { ...known, concatenation: "newTlsPsk", hashes: [hash] } as const;
      const host = hostOf({ ...shared, groups: ["ffdhe2048", "null"] });
      const { host: done, controller } = talk(host, controllerOf(shared));
      assert.ok(done.kind === "done" && controller.kind === "authenticated");
      assert.equal(done.result.group, "ffdhe2048");
      const psk = done.result.generated?.tlsPsk(names);
      assert.ok(psk?.identity.startsWith(`NVMe1G0${hash === "sha256" ? 1 : 2} `));
      assert.deepEqual(controller.result.generated?.tlsPsk(names), psk);
    }
  }
});

test("DhchapHost does not offer for concatenation what cannot make a key", () => {
  const concatenation = "newTlsPsk";
  assert.throws(() => hostOf({ concatenation, groups: ["null"] }), /needs a hash and a group/);
  assert.throws(() => hostOf({ concatenation, hashes: ["sha512"] }), /needs a hash and a group/);
  const decoded = decodeDhchapMessage(hostOf({ concatenation }).start());
  assert.ok(decoded.ok && decoded.message.type === "negotiate");
  assert.deepEqual(
    [decoded.message.hashIds, decoded.message.groupIds],
    [
      [2, 1],
      [5, 4, 3, 2, 1],
    ],
  );
});

test("DhchapController insists on a key where it must, by a hash that it can use", () => {
  const demands = {
    concatenation: "newTlsPsk",
    mustConcatenate: true,
    keyHashes: ["sha256"],
  } as const;
  const cases = [
    { name: "no key asked for", offer: {}, failure: "concatenationMismatch" },
    {
      name: "a key of another hash",
      offer: { concatenation: "newTlsPsk", hashes: ["sha384"] },
      failure: "hashNotUsable",
    },
    { name: "a key of any hash", offer: { concatenation: "newTlsPsk" }, failure: undefined },
  ] as const;
  for (const { name, offer, failure } of cases) {
    const { host, controller } = talk(hostOf(offer), controllerOf(demands));
    if (failure) assert.equal(controller.kind === "failed" && controller.failure, failure, name);
    else assert.ok(host.kind === "done" && host.result.hash === "sha256", name);
  }
  const plain = talk(hostOf(), controllerOf({ keyHashes: ["sha256"] })).host;
  assert.ok(plain.kind === "done" && plain.result.hash === "sha512", "without a key, any hash");
});

test("a changed byte anywhere in the proofs is found by one of the ends", () => {
  const known = { controllerSecret };
  const run = (index: number, at: number) => {
    const host = hostOf({ ...known, groups: ["ffdhe2048"], hashes: ["sha256"] });
    return talk(host, controllerOf(known), (message, which) => {
      if (which !== index) return message;
      const changed = Uint8Array.from(message);
      changed[at] = changed[at]! === 255 ? 0 : changed[at]! + 1;
      return changed;
    });
  };
  // [message, offset]: S1, C1, DH of the challenge; S2, R1, C2, DH of the reply; R2.
  const places = [
    [1, 12],
    [1, 16],
    [1, 100],
    [2, 12],
    [2, 16],
    [2, 48],
    [2, 200],
    [3, 16],
  ] as const;
  for (const [index, at] of places) {
    const { host, controller } = run(index, at);
    assert.equal(host.kind, "failed", `message ${index} at ${at}`);
    assert.equal(controller.kind, "failed", `message ${index} at ${at}`);
  }
});

/** A challenge as the controller would send it, with changes. */
function challengeWith(change: (raw: Uint8Array) => void): DhchapHostStep {
  const host = hostOf({ groups: ["ffdhe2048"], hashes: ["sha256"] });
  const controller = controllerOf();
  controller.send(host.start());
  const answer = controller.receive();
  assert.ok(answer.kind === "message");
  change(answer.message);
  return host.receive(answer.message);
}

const badChallenges = [
  { name: "another transaction", change: put(4, 9), failure: "incorrectPayload" },
  { name: "a hash that was not offered", change: put(8, 3), failure: "hashNotUsable" },
  { name: "an unknown hash", change: put(8, 9), failure: "hashNotUsable" },
  { name: "a group that was not offered", change: put(9, 0), failure: "groupNotUsable" },
  { name: "a length that is not the hash's", change: put(6, 48), failure: "incorrectPayload" },
  { name: "sequence number 0", change: put(12, 0, 0, 0, 0), failure: "incorrectPayload" },
  { name: "an empty public value", change: put(10, 0, 0), failure: "incorrectPayload" },
  {
    name: "public value 0",
    change: (raw: Uint8Array) => raw.fill(0, 48),
    failure: "incorrectPayload",
  },
  {
    name: "public value p or more",
    change: (raw: Uint8Array) => raw.fill(255, 48),
    failure: "incorrectPayload",
  },
  { name: "success before any reply", change: put(1, 3), failure: "incorrectMessage" },
];

function put(at: number, ...values: number[]): (raw: Uint8Array) => void {
  return (raw) => raw.set(values, at);
}

test("DhchapHost names what is wrong with a challenge, and says so to the controller", () => {
  for (const { name, change, failure } of badChallenges) {
    const step = challengeWith(change);
    assert.deepEqual(step.kind === "failed" && [step.failure, step.by], [failure, "host"], name);
    assert.ok(step.kind === "failed" && step.message, name);
    const said = decodeDhchapMessage(step.message);
    assert.equal(said.ok && said.message.type, "failure2", name);
  }
});

test("DhchapController refuses what comes out of turn, and asks for nothing out of turn", () => {
  const controller = controllerOf();
  assert.equal(controller.receive().kind, "outOfTurn");
  const success2 = Buffer.from("010400000500".padEnd(32, "0"), "hex");
  const early = controller.send(success2);
  assert.deepEqual(early, { kind: "failed", failure: "incorrectMessage", by: "controller" });
  assert.deepEqual(controller.send(hostOf().start()), early, "refused until the host has asked");
  assert.equal(controller.receive().kind, "last");
  assert.equal(controller.receive().kind, "outOfTurn");
});

test("DhchapController starts again at each Negotiate", () => {
  const controller = controllerOf();
  const first = talk(hostOf({ groups: ["null"] }), controller);
  const second = talk(hostOf({ groups: ["null"], tid: 6 }), controller);
  for (const { controller: step } of [first, second]) assert.equal(step.kind, "authenticated");
  const third = talk(hostOf({ groups: ["null"], secret: wrong }), controller);
  assert.equal(third.controller.kind, "failed");
});

test("DhchapHost.receive is an assertion where nothing is to come", () => {
  const host = hostOf();
  assert.throws(() => host.receive(new Uint8Array(16)), /while idle/);
  host.start();
  assert.throws(() => host.start(), /starts once/);
});

test("neither end throws or authenticates on damaged messages", () => {
  const damage = fc.record({
    index: fc.nat(3),
    at: fc.nat(80),
    bytes: fc.uint8Array({ minLength: 1, maxLength: 8 }),
  });
  const property = fc.property(damage, ({ index, at, bytes }) => {
    let isChanged = false;
    const known = { controllerSecret };
    const ending = talk(
      hostOf({ ...known, groups: ["null"] }),
      controllerOf(known),
      (raw, which) => {
        if (which !== index || at + bytes.length > raw.length) return raw;
        const changed = Uint8Array.from(raw);
        changed.set(bytes, at);
        // Reserved bytes and the list of what is offered may change without harm.
        const decoded = [decodeDhchapMessage(raw), decodeDhchapMessage(changed)];
        isChanged = which > 0 && !isSame(decoded[0], decoded[1]);
        return changed;
      },
    );
    if (isChanged) assert.equal(ending.controller.kind, "failed");
    assert.notEqual(ending.host.kind, "reply");
  });
  fc.assert(property, { seed: 20261123, numRuns: 1000 });
});

function isSame(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
