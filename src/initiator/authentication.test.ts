import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import {
  DhchapController,
  type DhchapControllerOptions,
  DhchapSecret,
  dhchapGroups,
  dhchapHashes,
  type RetainedPsk,
} from "../nvme/index.ts";
import { Controller, connectControllerOver, InitiatorError, type InitiatorLog } from "./index.ts";
import { isFinal } from "./reconnect.ts";
import type { FakeOptions } from "./testing/fake-target.ts";
import { fake, open, settle, subsystemNqn, withTime } from "./testing/open.ts";

const hostNqn = "nqn.2026-11.org.example:host";
const hostSecret = new DhchapSecret(new Uint8Array(32).fill(1), "sha256");
const controllerSecret = new DhchapSecret(new Uint8Array(48).fill(2), "none");
const otherSecret = new DhchapSecret(new Uint8Array(32).fill(3), "none");
const groupFast = ["null"] as const;

/** A target that asks each queue to authenticate, or those that `asks` says. */
function target(
  options: Partial<DhchapControllerOptions> = {},
  asks: (qid: number) => number = () => 2,
): FakeOptions {
  const parties = { hostnqn: hostNqn, subnqn: subsystemNqn };
  const secrets = { secret: hostSecret, controllerSecret };
  return {
    authreq: asks,
    authentication: () =>
      new DhchapController({ ...parties, ...secrets, random: randomBytes, ...options }),
  };
}

const secret = hostSecret.reveal();
const both = { secret, controllerSecret: controllerSecret.reveal() };

test("a host authenticates every queue, in each hash and group, one and both ways", async () => {
  for (const hash of dhchapHashes) {
    for (const group of dhchapGroups.filter((name) => name === "null" || name === "ffdhe2048")) {
      for (const keys of [{ secret }, both]) {
        const authentication = { ...keys, hashes: [hash], groups: [group] };
        const logged: unknown[] = [];
        const log: InitiatorLog = (event, fields) => {
          if (event === "authenticated") logged.push(fields);
        };
        const options = { hostNqn, authentication, log };
        const { target: made, controller } = await open(target(), options);
        await (await controller.openNamespace(1)).flush();
        const how = { hash, group, bidirectional: keys === both };
        assert.deepEqual(logged, [
          { qid: 0, ...how },
          { qid: 1, ...how },
        ]);
        assert.equal(made.queues.length, 2);
        for (const { authenticated } of made.queues) {
          assert.ok(authenticated?.kind === "authenticated");
          assert.equal(authenticated.result.bidirectional, keys === both);
        }
        await controller.close();
      }
    }
  }
});

test("a connection that is closed while it is authenticated is a failed authentication", async () => {
  const hook: NonNullable<FakeOptions["hook"]> = ({ command: { name }, queue }) => {
    if (name === "authenticationReceive") queue.cut();
    return name === "authenticationReceive";
  };
  const authentication = { ...both, groups: groupFast };
  await assert.rejects(open({ ...target(), hook }, { hostNqn, authentication }), (error) => {
    assert.ok(error instanceof InitiatorError, String(error));
    assert.equal(error.code, "authentication-failed");
    assert.match(error.message, /closed in place of an answer, as happens with a wrong secret/);
    assert.equal(isFinal(error), false);
    assert.ok(error.cause instanceof InitiatorError && error.cause.code === "closed");
    return true;
  });
});

test("a controller that falls silent while it authenticates is given up by connectTimeoutMs", async () => {
  const hook: NonNullable<FakeOptions["hook"]> = ({ command: { name } }) =>
    name === "authenticationReceive";
  const { pipe } = fake({ ...target(), hook });
  const options = { subsystemNqn, hostNqn, connectTimeoutMs: 1000 };
  const authentication = { ...both, groups: groupFast };
  const connecting = connectControllerOver(pipe.dial, "fake", { ...options, authentication });
  const wanted = { code: "timeout", message: /authenticationReceive within 1000 ms/ };
  await assert.rejects(withTime(pipe, 500, connecting), wanted);
});

/** SPDK's `nvmf_auth_recv_complete`: a message is as long as it is, not as was asked for. */
const sendsShort: NonNullable<FakeOptions["hook"]> = ({ command: { name }, cid, queue }) => {
  const answer = name === "authenticationReceive" && queue.authentication?.receive();
  if (!answer || answer.kind === "outOfTurn") return false;
  queue.sendData(cid, answer.message);
  return true;
};

for (const usesSuccess of [false, true]) {
  test(`a target that sends messages in their own length is served, SUCCESS ${usesSuccess}`, async () => {
    const authentication = { ...both, groups: ["null", "ffdhe2048"] as const };
    const behaviour = { ...target(), hook: sendsShort, usesSuccess };
    const { target: made, controller } = await open(behaviour, { hostNqn, authentication });
    assert.ok(made.queues.every(({ authenticated }) => authenticated?.kind === "authenticated"));
    await controller.close();

    const wrong = open(behaviour, { hostNqn, authentication: { secret: otherSecret.reveal() } });
    await assert.rejects(wrong, { code: "authentication-failed", message: /secrets of both ends/ });
  });
}

test("a target that asks on its admin queue only is served as well", async () => {
  const behaviour = target({}, (qid) => (qid === 0 ? 2 : 0));
  const authentication = { ...both, groups: groupFast };
  const { controller } = await open(behaviour, { hostNqn, authentication });
  await controller.close();
});

const failures: readonly {
  readonly name: string;
  readonly behaviour: FakeOptions;
  readonly keys: { readonly secret: string; readonly controllerSecret?: string } | undefined;
  readonly code: InitiatorError["code"];
  readonly message: RegExp;
}[] = [
  {
    name: "no key",
    behaviour: target(),
    keys: undefined,
    code: "unsupported",
    message: /was given no key/,
  },
  {
    name: "the wrong key of the host",
    behaviour: target(),
    keys: { secret: otherSecret.reveal() },
    code: "authentication-failed",
    message: /secrets of both ends differ/,
  },
  {
    name: "the wrong key of the controller",
    behaviour: target(),
    keys: { secret, controllerSecret: otherSecret.reveal() },
    code: "authentication-failed",
    message: /secrets of both ends differ/,
  },
  {
    name: "a controller that does not authenticate, where it must",
    behaviour: target({}, () => 0),
    keys: both,
    code: "authentication-failed",
    message: /did not ask/,
  },
  {
    name: "no hash in common",
    behaviour: target({ hashes: ["sha512"] }),
    keys: both,
    code: "authentication-failed",
    message: /hash in common \(this host offers sha256\)/,
  },
  {
    name: "no group in common",
    behaviour: target({ groups: ["ffdhe2048", "ffdhe3072"] }),
    keys: both,
    code: "authentication-failed",
    message: /group in common \(this host offers null\)/,
  },
  {
    name: "a secure channel that the host was not told of",
    behaviour: target({}, () => 4),
    keys: both,
    code: "authentication-failed",
    message: /secure channel/,
  },
  {
    name: "a text that is no secret",
    behaviour: target(),
    keys: { secret: `${secret.slice(0, -3)}x=:` },
    code: "unsupported",
    message: /host's secret/,
  },
];

test("connecting fails with the reason, and without the key", async () => {
  for (const { name, behaviour, keys, code, message } of failures) {
    const hashes = ["sha256"] as const;
    const authentication = keys && { ...keys, hashes, groups: groupFast };
    const options = { hostNqn, ...(authentication ? { authentication } : {}) };
    await assert.rejects(open(behaviour, options), (error) => {
      assert.ok(error instanceof InitiatorError, name);
      assert.equal(error.code, code, name);
      assert.match(error.message, message, name);
      assert.ok(!JSON.stringify(error).includes(secret.slice(10, 30)), name);
      return true;
    });
  }
});

test("a host with nothing to offer is told so before anything is sent", async () => {
  for (const nothing of [{ hashes: [] }, { groups: [] }]) {
    const opening = open(target(), { hostNqn, authentication: { ...both, ...nothing } });
    await assert.rejects(opening, { code: "unsupported", message: /to offer is empty/ });
  }
});

test("a controller that reconnects authenticates again", async () => {
  const authentication = { ...both, groups: groupFast };
  const { target: made, pipe } = fake(target());
  const options = { subsystemNqn, hostNqn, authentication, clock: pipe.clock, reconnect: {} };
  const controller = await Controller.open(pipe, "fake", options);
  const disk = await controller.openNamespace(1);
  made.cut();
  const flushing = disk.flush();
  await settle();
  pipe.tick(200);
  await flushing;
  assert.equal(made.queues.length, 2);
  await controller.close();
});

test("secure channel concatenation makes a key by authentication, and goes on by TLS with it", async () => {
  const plain = fake(target({ concatenation: "newTlsPsk" }, () => 4));
  const secured = fake();
  const identities: string[] = [];
  const dials = {
    dial: plain.pipe.dial,
    dialSecured: (psks: readonly { readonly identity: string }[]) => {
      identities.push(...psks.map(({ identity }) => identity));
      return secured.pipe.dial;
    },
  };
  const authentication = { ...both, groups: ["ffdhe2048"] as const };
  const tls = { isFromAuthentication: true } as const;
  const options = { subsystemNqn, hostNqn, authentication, tls };
  const controller = await Controller.open(dials, "fake", options);
  assert.equal(controller.ioQueues, 1);
  assert.equal(plain.pipe.openCount, 0);
  const [queue] = plain.target.queues;
  const made: RetainedPsk | undefined =
    queue?.authenticated?.kind === "authenticated"
      ? queue.authenticated.result.generated
      : undefined;
  const parties = { hostnqn: hostNqn, subnqn: subsystemNqn };
  assert.deepEqual(identities, [made?.tlsPsk(parties, 1).identity]);
  await controller.close();
  const without = Controller.open(plain.pipe, "fake", { ...options });
  await assert.rejects(without, { code: "unsupported", message: /transport has none/ });
  const { authentication: _, ...noKeys } = options;
  await assert.rejects(Controller.open(dials, "fake", noKeys), { message: /no secret/ });
});
