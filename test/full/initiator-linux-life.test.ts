/**
 * Our host against the Linux kernel's own target when something comes between them: ports that go,
 * machines that pause, cables that are pulled, connections that are cut, keys that are wrong.
 */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { type Controller, type ControllerOptions, discover } from "../../src/initiator/index.ts";
import { ConfiguredPsk, DhchapSecret, dhchapGroups, dhchapHashes } from "../../src/nvme/index.ts";
import {
  disksNqn,
  hostNqn,
  ids,
  KernelDisks,
  nextEvent,
  ports,
  scenarioOn,
} from "../driver-kernel-disks.ts";
import type { KernelTarget } from "../driver-nvmet.ts";
import { Relay } from "../driver-relay.ts";
import { makeTlsKey } from "../driver-tls-key.ts";
import { numbers, VerifiedLoad } from "../verified-load.ts";

const mebibyte = 2 ** 20;
const reconnect = { firstDelayMs: 50, delayMsMax: 500 };
const load = { sizeBytes: 8 * mebibyte, workers: 6 };

let disks: KernelDisks;
let target: KernelTarget;

before(async () => {
  disks = await KernelDisks.boot("nvmet");
  target = disks.target;
});

after(() => disks?.[Symbol.asyncDispose]());

const scenario = scenarioOn(() => target);

/** A load on the virtual disk; when it ends, the disk's file here holds what was written. */
async function startLoad(options: Partial<ControllerOptions & { port: number }>, seed: number) {
  const controller = await disks.connect({ ioQueues: 4, reconnect, ...options });
  const disk = await controller.openNamespace(ids.scratch);
  const running = await VerifiedLoad.start(disk, { ...load, seed });
  await running.progress(20);
  const finish = async () => {
    await running.progress(20);
    const known = await running.finish();
    assert.ok((await disks.readScratch(known.length)).equals(known));
    await controller.close();
    return running.counts;
  };
  return { controller, running, finish };
}

scenario("a port that is removed and restored under load loses nothing", async (t) => {
  const { controller, running, finish } = await startLoad({}, 1);
  for (let round = 0; round < 3; round++) {
    const [gone, back] = [
      nextEvent(controller, "disconnected"),
      nextEvent(controller, "reconnected"),
    ];
    await target.stopServing(ports.disks, disksNqn);
    await gone;
    await target.serve(ports.disks, disksNqn);
    await back;
    await running.progress(20);
  }
  t.diagnostic(JSON.stringify(await finish()));
});

scenario(
  "connections that are cut anywhere lose nothing, whatever digests there are",
  async (t) => {
    await using relay = await Relay.to(disks.forwarded.disks, { intoMachine: true });
    const random = numbers(7);
    for (const digests of [{}, { hdgst: true, ddgst: true }]) {
      const { controller, running, finish } = await startLoad({ port: relay.port, digests }, 2);
      for (let cut = 0; cut < 8; cut++) {
        const back = nextEvent(controller, "reconnected");
        relay.cutAfter(Math.floor(random() ** 3 * mebibyte), () => {});
        await back;
        await running.progress(5);
      }
      t.diagnostic(JSON.stringify(await finish()));
    }
  },
);

/** Does something and undoes it, within the Keep Alive Timeout and beyond. */
async function interrupt(set: (isInterrupted: boolean) => Promise<void>, seed: number) {
  const { controller, running, finish } = await startLoad({ katoMs: 4000 }, seed);
  const events: string[] = [];
  controller.onEvent(({ type }) => events.push(type));
  await set(true);
  await sleep(1000);
  await set(false);
  await running.progress(20);
  assert.deepEqual(events, []);
  const [gone, back] = [
    nextEvent(controller, "disconnected"),
    nextEvent(controller, "reconnected"),
  ];
  await set(true);
  const { error } = await gone;
  assert.match(error.message, /no answer to keepAlive within 4000 ms/);
  await set(false);
  await back;
  await finish();
}

scenario("a machine that pauses is waited for until KATO, and is come back to after it", () =>
  interrupt((isPaused) => target.setPaused(isPaused), 3),
);

scenario("a cable that is pulled and put back is waited for until KATO, and survived", () =>
  interrupt((isPulled) => target.setCable(!isPulled), 4),
);

const secretNqn = "nqn.2026-11.org.example:secret";
const secret = new DhchapSecret(new Uint8Array(32).fill(1), "sha256").reveal();
const controllerSecret = new DhchapSecret(new Uint8Array(48).fill(2), "sha384").reveal();
const wrong = new DhchapSecret(new Uint8Array(32).fill(9), "none").reveal();

/** Connects, reads, and returns how the queues were authenticated. */
async function authenticate(authentication: ControllerOptions["authentication"]) {
  const found: unknown[] = [];
  const controller = await disks.connect({
    subsystemNqn: secretNqn,
    ...(authentication ? { authentication } : {}),
    log: (event, fields) => {
      if (event === "authenticated") found.push(fields);
    },
  });
  await readOnce(controller);
  return found;
}

async function readOnce(controller: Controller): Promise<void> {
  await using disk = await controller.openNamespace(1);
  await disk.read(0, Buffer.alloc(disk.blockSizeBytes));
  await controller.close();
}

scenario("a host authenticates in every hash and group, one and both ways", async () => {
  await target.addSubsystem(secretNqn, { attr_allow_any_host: 0 });
  await target.addNamespace(secretNqn, { nsid: 1, path: await target.makeFile("secret") });
  await target.allowHost(secretNqn, hostNqn, { dhchap_key: secret });
  await target.serve(ports.disks, secretNqn);
  for (const keys of [{ secret }, { secret, controllerSecret }]) {
    const isBoth = "controllerSecret" in keys;
    if (isBoth) await target.setHost(hostNqn, { dhchap_ctrl_key: controllerSecret });
    for (const group of dhchapGroups) {
      for (const hash of dhchapHashes) {
        await target.setHost(hostNqn, { dhchap_hash: `hmac(${hash})`, dhchap_dhgroup: group });
        // The kernel does not find the null group in a list of nothing else.
        const offer = group === "null" ? { hashes: [hash] } : { hashes: [hash], groups: [group] };
        const how = { hash, group, bidirectional: isBoth };
        assert.deepEqual(await authenticate({ ...keys, ...offer }), [
          { qid: 0, ...how },
          { qid: 1, ...how },
        ]);
      }
    }
  }
});

scenario("a host without a key, with a wrong one, or that is not listed, is refused", async () => {
  const failed = { code: "authentication-failed" };
  for (let round = 0; round < 8; round++) {
    await assert.rejects(authenticate({ secret: wrong }), failed);
  }
  await assert.rejects(authenticate({ secret, controllerSecret: wrong }), failed);
  await assert.rejects(authenticate({ secret, groups: ["ffdhe3072"] }), {
    ...failed,
    message: /no Diffie-Hellman group in common/,
  });
  await assert.rejects(authenticate(undefined), { code: "unsupported", message: /given no key/ });
  const stranger = disks.connect({ subsystemNqn: secretNqn, hostNqn: `${hostNqn}0` });
  await assert.rejects(stranger, { code: "status", message: /this host is not allowed/ });
});

scenario("tshark finds nothing wrong with an authentication, and with a refusal", async (t) => {
  await target.setHost(hostNqn, { dhchap_hash: "hmac(sha512)", dhchap_dhgroup: "ffdhe3072" });
  await disks.captured(t, async () => {
    await authenticate({ secret, controllerSecret });
    await assert.rejects(authenticate({ secret: wrong }), { code: "authentication-failed" });
  });
});

const tlsNqn = "nqn.2026-11.org.example:tls";
const tlsParties = { hostnqn: hostNqn, subnqn: tlsNqn };
const psk = new ConfiguredPsk(new Uint8Array(32).fill(3), "sha256");
const otherPsk = new ConfiguredPsk(new Uint8Array(32).fill(4), "sha256");

scenario(
  "TLS that the target requires or offers carries data; wrong keys are refused",
  async () => {
    await target.probe.succeed("systemctl start tlshd");
    await target.addSubsystem(tlsNqn);
    await target.addNamespace(tlsNqn, { nsid: 1, path: await target.makeFile("tls") });
    for (const [n, policy] of (["required", "not required"] as const).entries()) {
      const attributes = { addr_tsas: "tls1.3", addr_treq: policy };
      const port = await target.addPort(10 + n, 4430 + n, attributes);
      await target.serve(10 + n, tlsNqn);
      const connect = (options: Partial<ControllerOptions>) =>
        disks.connect({ port, subsystemNqn: tlsNqn, connectTimeoutMs: 30_000, ...options });
      for (const identityVersion of [0, 1] as const) {
        await target.setTlsKeys([psk.retain(hostNqn).tlsPsk(tlsParties, identityVersion)]);
        const tls = { key: psk.reveal() };
        const digests = { hdgst: true, ddgst: true };
        await readAndWrite(await connect({ tls, digests, ioQueues: 2 }));
        await readAndWrite(await connect({ tls: { ...tls, identityVersion } }));
        await assert.rejects(connect({ tls: { key: otherPsk.reveal() } }), {
          code: "authentication-failed",
        });
      }
      // As nvme-cli 2.13 puts it into the kernel's keyring.
      const key = await makeTlsKey(target.probe, tlsParties);
      await readAndWrite(await connect({ tls: { key, derivation: "early-libnvme" } }));
      if (policy === "required") {
        await assert.rejects(connect({ connectTimeoutMs: 3000 }), { name: "InitiatorError" });
        continue;
      }
      await readAndWrite(await connect({}));
      const entries = await discover({ host: "127.0.0.1", port, hostNqn });
      const entry = entries.find(({ subject }) => subject === "subsystem");
      assert.equal(entry?.secureChannel, "not-required");
    }
  },
);

async function readAndWrite(controller: Controller): Promise<void> {
  await using disk = await controller.openNamespace(1);
  const data = randomBytes(3 * mebibyte);
  await disk.write(0, data);
  assert.equal(await disk.compare(0, data), true);
  await disk.flush();
  await controller.close();
}
