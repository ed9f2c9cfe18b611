/**
 * Linux 7, which Debian's backports have, as the host of our target and as the target of our host,
 * in one machine: what it has beyond 6.12 (secure channel concatenation, reservations in nvmet), what
 * it does in another way (it authenticates the admin queue only), and that the rest goes on as ever.
 */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before } from "node:test";
import {
  type Controller,
  type ControllerOptions,
  discover,
  readReservation,
} from "../../src/initiator/index.ts";
import { command, DhchapSecret } from "../../src/nvme/index.ts";
import { makeScratchDisk, type ScratchDisk } from "../../src/vm/index.ts";
import { boot } from "../driver-box.ts";
import { disksNqn, ids, KernelDisks, nextEvent, otherNqn, ports } from "../driver-kernel-disks.ts";
import { disk, gateway, hostNqn, LinuxHost, nqn, scenarioOn } from "../driver-linux-host.ts";
import { KernelTarget } from "../driver-nvmet.ts";
import { VerifiedLoad } from "../verified-load.ts";

const mebibyte = 2 ** 20;
const secret = new DhchapSecret(new Uint8Array(32).fill(1), "sha256").reveal();
const controllerSecret = new DhchapSecret(new Uint8Array(48).fill(2), "sha384").reveal();
const secretNqn = "nqn.2026-11.org.example:secret";
/** A port of nvmet with TLS, and where it is. */
const tlsPort = { id: 20, port: 4440 } as const;

let host: LinuxHost;
let disks: KernelDisks;
let scratch: ScratchDisk;

before(async () => {
  scratch = await makeScratchDisk(64 * mebibyte);
  const virtual = { id: "scratch", kind: "virtio-blk", path: scratch.path } as const;
  host = await LinuxHost.start({
    appliance: "probe-backports",
    memoryMiB: 1024,
    disks: [virtual],
  });
  await host.serve();
  disks = await KernelDisks.on(await KernelTarget.in(host.vm, host.probe, scratch.path));
});

after(async () => {
  await host?.[Symbol.asyncDispose]();
  await scratch?.[Symbol.asyncDispose]();
});

const scenario = scenarioOn(() => host);

const loads = [
  { sizes: "512-1M", amount: "6M", depth: 8, order: "write" },
  { sizes: "4k", amount: "512k", depth: 16, order: "randwrite" },
] as const;

scenario(
  "Linux 7 finds our target, carries verified I/O, discards, resets and comes back",
  async (t) => {
    assert.match(await host.probe.succeed("uname -r"), /^[7-9]\./);
    const log = await host.probe.succeed(`nvme discover -t tcp -a ${gateway} -s ${host.port}`);
    assert.ok(log.includes(nqn), log);
    for (const digests of ["", "--hdr-digest --data-digest"]) {
      await host.connected(digests, async () => {
        await host.verify(t, loads);
        await host.probe.succeed(
          `blkdiscard ${disk} && nvme reset $(ls /dev/nvme? | head -1)`,
          boot,
        );
        await host.probe.until("grep -q live /sys/class/nvme/nvme*/state");
        await host.verify(t, loads.slice(1));
      });
    }
  },
);

scenario(
  "Linux 7 makes a key for TLS by authentication, and comes to our target by it",
  async (t) => {
    await host.probe.succeed("systemctl start tlshd && keyctl clear %:.nvme");
    const hosts = new Map([[hostNqn, { secret, controllerSecret }]]);
    const subsystem = { hosts, tls: "required" } as const;
    await host.serve({ subsystem, listen: { tls: { policy: "optional", keys: [] } } });
    for (const more of ["", `--dhchap-ctrl-secret=${controllerSecret}`]) {
      await host.connected(`--concat --dhchap-secret=${secret} ${more}`, async () => {
        // With --concat Linux asks no target to prove itself, whatever keys it has for that.
        assert.equal(host.lastAuthentication().bidirectional, false);
        assert.match(await host.probe.succeed("keyctl show %:.nvme"), /psk: NVMe1G01 /);
        await host.verify(t, loads.slice(1));
      });
    }
    const plain = await host.probe.run(host.connectLine(`--dhchap-secret=${secret}`), boot);
    assert.notEqual(plain.code, 0, "without a key for TLS");
    await host.serve();
  },
);

scenario("nvmet of Linux 7 is discovered, and carries verified I/O with all digests", async (t) => {
  const port = disks.forwarded.discovery;
  const entries = await discover({ host: "127.0.0.1", port, hostNqn });
  const found = entries.filter(({ subject }) => subject === "subsystem");
  assert.deepEqual(found.map(({ subsystemNqn }) => subsystemNqn).sort(), [disksNqn, otherNqn]);
  for (const digests of [{}, { hdgst: true }, { ddgst: true }, { hdgst: true, ddgst: true }]) {
    await using controller = await disks.connect({ digests, ioQueues: 4 });
    assert.equal(controller.ioQueues, 4);
    for (const nsid of [ids.memory, ids.memory4k, ids.file]) {
      await using remote = await controller.openNamespace(nsid);
      const options = { sizeBytes: 8 * mebibyte, workers: 8, seed: nsid, ioBytesMax: mebibyte };
      const load = await VerifiedLoad.start(remote, options);
      await load.progress(40);
      await load.finish();
      t.diagnostic(`namespace ${nsid}: ${JSON.stringify({ ...digests, ...load.counts })}`);
    }
  }
});

scenario("nvmet of Linux 7 tells of a new size, and of paths that change", async () => {
  await using controller = await disks.connect();
  await using remote = await controller.openNamespace(ids.file);
  const resized = nextEvent(controller, "namespaces-changed");
  await host.probe.succeed("truncate -s 80M /run/file");
  await disks.target.setNamespace(disksNqn, ids.file, { revalidate_size: 1 });
  await resized;
  assert.equal(remote.sizeBytes, 80 * mebibyte);
  const changed = nextEvent(controller, "ana-changed");
  await disks.target.setAnaState(ports.disks, 1, "inaccessible");
  await changed;
  await assert.rejects(remote.read(0, Buffer.alloc(4096)), { code: "gone" });
  await disks.target.setAnaState(ports.disks, 1, "optimized");
});

scenario("nvmet of Linux 7 has reservations, which are told", async () => {
  await disks.target.setNamespace(disksNqn, ids.loop, { enable: 0 });
  await disks.target.setNamespace(disksNqn, ids.loop, { resv_enable: 1, enable: 1 });
  await using controller = await disks.connect();
  assert.equal(controller.identify.oncs.reservations, true);
  assert.equal(await readReservation(controller, ids.loop), undefined);
  const nsid = ids.loop;
  const key = (at: number) => {
    const data = Buffer.alloc(16);
    data.writeBigUInt64LE(7n, at);
    return { transfer: { kind: "out", data } } as const;
  };
  await controller.executeIo(command("reservationRegister", { nsid }), key(8));
  await controller.executeIo(command("reservationAcquire", { nsid, rtype: 1 }), key(0));
  const held = await readReservation(controller, nsid);
  assert.deepEqual([held?.type, held?.holders.length], ["writeExclusive", 1]);
  await controller.executeIo(command("reservationRelease", { nsid, rtype: 1 }), key(0));
  assert.equal(await readReservation(controller, nsid), undefined);
});

/** Connects to the subsystem with keys, writes, compares; returns what was authenticated how. */
async function useSecret(options: Partial<ControllerOptions & { port: number }>) {
  const found: unknown[] = [];
  const controller: Controller = await disks.connect({
    subsystemNqn: secretNqn,
    ...options,
    log: (event, fields) => {
      if (event === "authenticated") found.push(fields);
    },
  });
  await using remote = await controller.openNamespace(1);
  const data = randomBytes(mebibyte);
  await remote.write(0, data);
  assert.equal(await remote.compare(0, data), true);
  await controller.close();
  return found;
}

scenario("nvmet of Linux 7 authenticates the admin queue, one way and both", async () => {
  const { target } = disks;
  await target.addSubsystem(secretNqn, { attr_allow_any_host: 0 });
  await target.addNamespace(secretNqn, { nsid: 1, path: await target.makeFile("secret") });
  await target.allowHost(secretNqn, hostNqn, { dhchap_key: secret });
  await target.serve(ports.disks, secretNqn);
  const [hash, group] = ["sha384", "ffdhe3072"] as const;
  await target.setHost(hostNqn, { dhchap_hash: `hmac(${hash})`, dhchap_dhgroup: group });
  const how = { qid: 0, hash, group };
  const oneWay = await useSecret({ authentication: { secret, hashes: [hash], groups: [group] } });
  assert.deepEqual(oneWay, [{ ...how, bidirectional: false }]);
  await target.setHost(hostNqn, { dhchap_ctrl_key: controllerSecret });
  const offer = { hashes: [hash], groups: [group] };
  const both = await useSecret({ authentication: { secret, controllerSecret, ...offer } });
  assert.deepEqual(both, [{ ...how, bidirectional: true }]);
  const wrong = new DhchapSecret(new Uint8Array(32).fill(9), "none").reveal();
  await assert.rejects(useSecret({ authentication: { secret: wrong } }), {
    code: "authentication-failed",
  });
});

scenario("a key for TLS that is made by authentication leads to nvmet of Linux 7", async () => {
  const { target } = disks;
  await host.probe.succeed("systemctl start tlshd && keyctl clear %:.nvme");
  const { id, port: inside } = tlsPort;
  const port = await target.addPort(id, inside, {
    addr_tsas: "tls1.3",
    addr_treq: "not required",
  });
  await target.setHost(hostNqn, { dhchap_hash: "hmac(sha256)", dhchap_dhgroup: "ffdhe3072" });
  await target.serve(id, secretNqn);
  const tls = { isFromAuthentication: true } as const;
  await useSecret({ port, authentication: { secret }, tls, ioQueues: 2 });
  assert.match(await host.probe.succeed("keyctl show %:.nvme"), /psk: NVMe1G01 /);
});
