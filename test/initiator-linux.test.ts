/**
 * Our host against the Linux kernel's own target: nvmet in a virtual machine, set up through
 * configfs with disks of memory, files and a block device. The long rounds are in test/full.
 */

import assert from "node:assert/strict";
import { after, before } from "node:test";
import {
  discover,
  InitiatorError,
  type RemoteDisk,
  watchDiscovery,
} from "../src/initiator/index.ts";
import { anaState, command, logPage } from "../src/nvme/index.ts";
import {
  badSectors,
  disksNqn,
  hostNqn,
  ids,
  idsOf512,
  KernelDisks,
  nextEvent,
  nguid,
  otherNqn,
  ports,
  scenarioOn,
  uuidOf,
} from "./driver-kernel-disks.ts";
import type { KernelTarget } from "./driver-nvmet.ts";
import { numbers, VerifiedLoad } from "./verified-load.ts";

const mebibyte = 2 ** 20;
const digestKinds = [false, true].flatMap((hdgst) =>
  [false, true].map((ddgst) => ({ hdgst, ddgst })),
);

let disks: KernelDisks;
let target: KernelTarget;

before(async () => {
  disks = await KernelDisks.boot("nvmet");
  target = disks.target;
});

after(() => disks?.[Symbol.asyncDispose]());

const scenario = scenarioOn(() => target);

scenario("discovery lists what a port serves, and other services that it knows", async () => {
  const address = { addr_trtype: "tcp", addr_adrfam: "ipv4", addr_traddr: "10.0.2.77" };
  await target.refer(ports.discovery, "far", { ...address, addr_trsvcid: 8009 });
  const entries = await discover({ host: "127.0.0.1", port: disks.forwarded.discovery, hostNqn });
  const found = entries.map(({ subject, subsystemNqn, advertised }) => [
    subject,
    subject === "subsystem" ? subsystemNqn : "",
    `${advertised.host}:${advertised.port}`,
  ]);
  assert.deepEqual(found.sort(), [
    ["referral", "", "10.0.2.77:8009"],
    ["subsystem", disksNqn, "10.0.2.15:8009"],
    ["subsystem", otherNqn, "10.0.2.15:8009"],
    ["this-service", "", "10.0.2.15:8009"],
  ]);
  const plain = await discover({ host: "127.0.0.1", port: disks.forwarded.disks, hostNqn });
  assert.deepEqual(
    plain.filter(({ subject }) => subject === "subsystem").map((entry) => entry.subsystemNqn),
    [disksNqn],
  );
});

scenario("a persistent discovery connection tells of subsystems that come and go", async () => {
  const address = { host: "127.0.0.1", port: disks.forwarded.discovery };
  const watch = watchDiscovery({ ...address, hostNqn, signal: AbortSignal.timeout(60_000) });
  const nqns = async () => {
    const { value } = await watch.next();
    const entries: { readonly subject: string; readonly subsystemNqn: string }[] = value ?? [];
    return entries.flatMap(({ subject, subsystemNqn }) =>
      subject === "subsystem" ? [subsystemNqn] : [],
    );
  };
  const lateNqn = "nqn.2026-11.org.example:late";
  assert.equal((await nqns()).includes(lateNqn), false);
  await target.addSubsystem(lateNqn);
  const coming = nqns();
  await target.serve(ports.discovery, lateNqn);
  assert.ok((await coming).includes(lateNqn));
  const going = nqns();
  // With the subsystem all connections of the port end; the watch comes back by itself.
  await target.stopServing(ports.discovery, lateNqn);
  assert.equal((await going).includes(lateNqn), false);
  await watch.return(undefined);
});

scenario("Identify and the descriptors say what was configured", async () => {
  await using controller = await disks.connect();
  const { mn, sn, fr, subnqn, nn, oncs, vwc, kas, maxcmd } = controller.identify;
  assert.deepEqual([mn, sn, fr, subnqn], ["Kernel disks", "KERNEL-1", "7.5", disksNqn]);
  assert.ok(nn >= 1000 && kas > 0 && maxcmd > 16 && vwc.present);
  // In 6.12 reservations are not there yet, and Compare and Verify never are.
  const { compare, verify, reservations, writeZeroes, datasetManagement } = oncs;
  assert.deepEqual([compare, verify, reservations], [false, false, false]);
  assert.deepEqual([writeZeroes, datasetManagement], [true, true]);
  const all = await controller.namespaces();
  assert.deepEqual(
    all.map(({ nsid, sizeBytes, blockSizeBytes, uuid: found, isReadOnly, csi }) => {
      return { nsid, sizeBytes, blockSizeBytes, uuid: found, isReadOnly, csi };
    }),
    Object.values(ids).map((nsid) => ({
      nsid,
      sizeBytes: 64 * mebibyte,
      blockSizeBytes: idsOf512.has(nsid) ? 512 : 4096,
      uuid: uuidOf(nsid),
      isReadOnly: false,
      csi: 0,
    })),
  );
  assert.equal(all[0]?.nguid, nguid.replaceAll("-", ""));
  assert.equal((await controller.findNamespace({ uuid: uuidOf(ids.loop) })).nsid, ids.loop);
  await assert.rejects(controller.namespace(7), { code: "no-namespace" });
  const missing = disks.connect({ subsystemNqn: `${disksNqn}:none` });
  await assert.rejects(missing, (error) => {
    assert.ok(error instanceof InitiatorError && error.code === "status", String(error));
    assert.equal(error.facts.statusName, "connectInvalidParameters");
    return true;
  });
});

scenario("every log page and feature of nvmet is read", async () => {
  await using controller = await disks.connect();
  const { logs, features } = controller;
  const before = await logs.smart();
  await using disk = await controller.openNamespace(ids.scratch);
  for (let n = 0; n < 10; n++) await disk.read(n * mebibyte, Buffer.alloc(mebibyte));
  const { hostReads, dataUnitsRead } = await logs.smart();
  assert.ok(hostReads >= before.hostReads + 10n);
  assert.ok(dataUnitsRead > before.dataUnitsRead);

  const effects = await logs.commands();
  assert.deepEqual(
    effects.io.map(({ opc }) => opc),
    [0x00, 0x01, 0x02, 0x08, 0x09],
  );
  assert.ok(effects.admin.some(({ opc }) => opc === 0x06));
  assert.equal((await logs.firmware()).revisions.length, 7);
  const [group] = await logs.ana();
  assert.deepEqual([group?.anagrpid, group?.state], [1, anaState.optimized]);
  assert.deepEqual(group?.nsids, Object.values(ids));
  assert.equal((await logs.read(logPage.changedNamespaces, 4096)).length, 4096);

  assert.equal(await features.volatileWriteCache(), true);
  assert.equal(await features.hostId(), hostNqn.slice(-36));
  await assert.rejects(features.timestampMs(), { code: "status" });
  const errors = await logs.errors();
  assert.deepEqual([errors.length, errors[0]?.sqid], [1, 0]);
});

scenario("what nvmet has not is refused by name, and done in another way", async () => {
  await using controller = await disks.connect();
  await using disk = await controller.openNamespace(ids.memory);
  const transfer = { kind: "out", data: Buffer.alloc(512) } as const;
  const compare = command("compare", { nsid: ids.memory, slba: 0n, nlb: 1 });
  const refused = { code: "status", message: /compare .*invalid command opcode/ };
  await assert.rejects(controller.executeIo(compare, { transfer }), refused);
  const report = command("reservationReport", { nsid: ids.memory, numd: 16 });
  const into = { kind: "in", target: Buffer.alloc(64) } as const;
  await assert.rejects(controller.executeIo(report, { transfer: into }), { code: "status" });
  await assert.rejects(disk.verify(0, 512), { code: "unsupported", message: /Read it/ });
  await disk.write(0, Buffer.alloc(8192, "same"));
  assert.equal(await disk.compare(0, Buffer.alloc(8192, "same")), true);
  assert.equal(await disk.compare(0, Buffer.alloc(8192, "not ")), false);
  assert.equal((await controller.logs.errors()).length, 2);
});

scenario(
  "commands of 4 MiB are carried, longer ones refused; a disk splits by itself",
  async () => {
    await using controller = await disks.connect();
    await using disk = await controller.openNamespace(ids.memory);
    const data = Buffer.alloc(24 * mebibyte + 512);
    for (let at = 0; at < data.length; at += 512) data.write(`block ${at}`, at);
    await disk.write(512, data);
    const found = Buffer.alloc(data.length);
    await disk.read(512, found);
    assert.ok(found.equals(data));
    const longest = found.subarray(0, 4 * mebibyte);
    const read = (nlb: number) => command("read", { nsid: ids.memory, slba: 1n, nlb });
    await controller.executeIo(read(8192), { transfer: { kind: "in", target: longest.fill(0) } });
    assert.ok(longest.equals(data.subarray(0, 4 * mebibyte)));
    const tooLong = { kind: "in", target: found.subarray(0, 4 * mebibyte + 512) } as const;
    await assert.rejects(controller.executeIo(read(8193), { transfer: tooLong }), {
      code: "status",
      message: /data SGL length invalid/,
    });
    await disk.flush();
  },
);

scenario(
  "verified I/O of random sizes in all digest combinations, with 1 to 16 queues",
  async (t) => {
    const kinds = Object.values(ids).filter((nsid) => nsid !== ids.bad);
    for (const [n, nsid] of kinds.entries()) {
      const digests = digestKinds[n % digestKinds.length]!;
      const ioQueues = [1, 2, 16, 4, 8][n]!;
      await using controller = await disks.connect({ digests, ioQueues });
      assert.equal(controller.ioQueues, ioQueues);
      await using disk = await controller.openNamespace(nsid);
      const options = { sizeBytes: 8 * mebibyte, workers: 8, seed: nsid };
      const load = await VerifiedLoad.start(disk, options);
      await load.progress(150);
      const known = await load.finish();
      const { operations, flushes } = load.counts;
      t.diagnostic(`namespace ${nsid}: ${operations} operations, ${flushes} flushes`);
      if (nsid === ids.scratch) assert.ok((await disks.readScratch(known.length)).equals(known));
    }
  },
);

scenario("zeros, deallocated ranges and durable writes are so on every kind of disk", async () => {
  await using controller = await disks.connect({ ioQueues: 2 });
  for (const nsid of Object.values(ids)) {
    await using disk = await controller.openNamespace(nsid);
    const data = Buffer.alloc(mebibyte, `namespace ${nsid}`);
    await disk.write(0, data, { isDurable: true });
    await disk.writeZeroes(65536, 65536);
    await disk.writeZeroes(262144, 4096, { isDurable: true });
    await disk.deallocate(524288, 131072, { contents: "any" });
    const found = Buffer.alloc(mebibyte);
    await disk.read(0, found);
    data.fill(0, 65536, 131072).fill(0, 262144, 266240);
    assert.ok(found.subarray(0, 524288).equals(data.subarray(0, 524288)), `${nsid}`);
    assert.ok(found.subarray(655360).equals(data.subarray(655360)), `${nsid}`);
    // A file in memory has no such command, whatever its controller says.
    assert.equal(disk.abilities.writeZeroes, nsid !== ids.file);
  }
  const used = Number(await target.probe.succeed("stat -c %b /run/file"));
  await using file = await controller.openNamespace(ids.file);
  await file.deallocate(0, 65536, { contents: "any" });
  assert.ok(Number(await target.probe.succeed("stat -c %b /run/file")) < used);
});

scenario("a medium that cannot be read is told as such, and the rest is read", async () => {
  await using controller = await disks.connect();
  await using disk = await controller.openNamespace(ids.bad);
  const bad = badSectors.first * 512;
  await assert.rejects(disk.read(bad, Buffer.alloc(4096)), { code: "medium" });
  await assert.rejects(disk.read(bad - mebibyte, Buffer.alloc(2 * mebibyte)), { code: "medium" });
  await disk.read(bad - 4096, Buffer.alloc(4096));
  await disk.read(bad + 4096, Buffer.alloc(4096));
});

scenario("a target with a short queue is given no more than fits", async () => {
  await using controller = await disks.connect({ port: disks.forwarded.narrow });
  assert.equal(controller.identify.maxcmd, 16);
  await using disk = await controller.openNamespace(ids.memory);
  const random = numbers(1);
  const reads = Array.from({ length: 300 }, () =>
    disk.read(Math.floor(random() * 1000) * 4096, Buffer.alloc(4096)),
  );
  await Promise.all(reads);
});

scenario(
  "a namespace under load that is resized, taken away and given back is followed",
  async () => {
    await using controller = await disks.connect();
    await using disk = await controller.openNamespace(ids.file);
    await using other = await controller.openNamespace(ids.memory);
    const options = { sizeBytes: 8 * mebibyte, workers: 4, seed: 2 };
    const load = await VerifiedLoad.start(other, options);
    const resized = nextEvent(controller, "namespace-resized");
    await target.probe.succeed("truncate -s 96M /run/file");
    await target.setNamespace(disksNqn, ids.file, { revalidate_size: 1 });
    assert.equal((await resized).sizeBytes, 96 * mebibyte);
    assert.equal(disk.sizeBytes, 96 * mebibyte);
    await disk.write(80 * mebibyte, Buffer.alloc(4096, "beyond"));

    const lost = nextEvent(controller, "namespace-lost");
    const back = nextEvent(controller, "namespace-back");
    const reading = readUntilItFails(disk);
    reading.catch(() => {});
    await target.setNamespace(disksNqn, ids.file, { enable: 0 });
    await assert.rejects(reading, { code: "gone" });
    assert.equal((await lost).nsid, ids.file);
    await assert.rejects(disk.read(0, Buffer.alloc(4096)), { code: "gone" });
    await target.setNamespace(disksNqn, ids.file, { enable: 1 });
    assert.equal((await back).nsid, ids.file);
    assert.equal(await disk.compare(80 * mebibyte, Buffer.alloc(4096, "beyond")), true);
    await load.progress(20);
    await load.finish();
  },
);

async function readUntilItFails(disk: RemoteDisk): Promise<never> {
  for (;;) await disk.read(0, Buffer.alloc(65536));
}

scenario("ANA groups, and changes of how they are reached, are told", async () => {
  const nsid = 20;
  await target.setAnaState(ports.disks, 2, "non-optimized");
  const path = await target.makeFile("ana");
  await target.addNamespace(disksNqn, { nsid, path, uuid: uuidOf(nsid), anaGroup: 2 });
  await using controller = await disks.connect();
  await using disk = await controller.openNamespace(nsid);
  assert.equal(disk.info.identify.anagrpid, 2);
  const states = async () =>
    (await controller.logs.ana()).map(({ anagrpid, state, nsids }) => [anagrpid, state, nsids]);
  const all = Object.values(ids);
  assert.deepEqual(await states(), [
    [1, anaState.optimized, all],
    [2, anaState.nonOptimized, [nsid]],
  ]);
  await disk.write(0, Buffer.alloc(4096, "non-optimized"));
  for (const [name, state] of [
    ["inaccessible", anaState.inaccessible],
    ["persistent-loss", anaState.persistentLoss],
    ["change", anaState.change],
    ["optimized", anaState.optimized],
  ] as const) {
    const changed = nextEvent(controller, "ana-changed");
    await target.setAnaState(ports.disks, 2, name);
    assert.equal((await changed).groups.at(-1)?.state, state);
    const read = disk.read(0, Buffer.alloc(4096));
    if (name === "optimized") await read;
    else await assert.rejects(read, { code: "gone", message: /asymmetric access/ });
  }
  await target.setNamespace(disksNqn, nsid, { enable: 0 });
});

scenario("a namespace that one host protects is read-only for another one", async () => {
  await using first = await disks.connect();
  await using second = await disks.connect({ hostNqn: `${hostNqn.slice(0, -1)}1` });
  await using disk = await second.openNamespace(ids.memory4k);
  const changed = nextEvent(second, "namespaces-changed");
  await first.features.setWriteProtection(ids.memory4k, "protected");
  await changed;
  assert.equal(disk.readOnly, true);
  await assert.rejects(disk.write(0, Buffer.alloc(4096)), { code: "read-only" });
  const write = command("write", { nsid: ids.memory4k, slba: 0n, nlb: 1 });
  const transfer = { kind: "out", data: Buffer.alloc(4096) } as const;
  await assert.rejects(second.executeIo(write, { transfer }), {
    message: /namespace is write protected/,
  });
  const free = nextEvent(second, "namespaces-changed");
  await first.features.setWriteProtection(ids.memory4k, "none");
  await free;
  await disk.write(0, Buffer.alloc(4096));
});

scenario("tshark finds nothing wrong with what both ends say", async (t) => {
  const types = await disks.captured(t, async () => {
    await discover({ host: "127.0.0.1", port: disks.forwarded.disks, hostNqn });
    for (const digests of digestKinds) {
      await using controller = await disks.connect({ digests, ioQueues: 2 });
      await controller.namespaces();
      await controller.logs.errors();
      await using disk = await controller.openNamespace(ids.memory4k);
      for (const length of [4096, 16384, 65536, mebibyte + 4096]) {
        const data = Buffer.alloc(length, `${length}`);
        await disk.write(4096, data);
        assert.equal(await disk.compare(4096, data), true);
      }
      await disk.writeZeroes(0, 65536);
      await disk.deallocate(65536, 65536, { contents: "any" });
      await disk.flush();
      const verify = command("verify", { nsid: ids.memory4k, slba: 0n, nlb: 1 });
      await assert.rejects(controller.executeIo(verify), { code: "status" });
    }
  });
  // ICReq and ICResp, commands and responses, data both ways, R2T.
  if (types.size > 0) assert.deepEqual([...types].sort(), [0, 1, 4, 5, 6, 7, 9]);
});
