/**
 * Our target as the Linux kernel's own host sees it: discovery, all that nvme-cli asks, verified I/O
 * with every combination of digests over one to sixteen queues, file systems, changes under a
 * connected host, a restart of the target under load, DH-HMAC-CHAP and TLS; and what tshark makes
 * of it all. The long matrices are in `full/target-linux.test.ts`.
 */

import assert from "node:assert/strict";
import { stat, truncate } from "node:fs/promises";
import { after, before, test } from "node:test";
import { dhchapGroups, dhchapHashes } from "../src/nvme/index.ts";
import { boot } from "./driver-box.ts";
import { dissect, findFaults } from "./driver-capture.ts";
import {
  disk,
  diskBytes,
  gateway,
  hostNqn,
  LinuxHost,
  nqn,
  scenarioOn,
  sharedAddress,
} from "./driver-linux-host.ts";
import { has } from "./driver-tools.ts";

let host: LinuxHost;

before(async () => {
  host = await LinuxHost.start();
  await host.serve();
});

after(() => host?.[Symbol.asyncDispose]());

const scenario = scenarioOn(() => host);

scenario("nvme discover lists the subsystem", () =>
  host.captured("discovery", async () => {
    const log = await host.probe.succeed(`nvme discover -t tcp -a ${gateway} -s ${host.port}`);
    assert.ok(log.includes(nqn), log);
  }),
);

scenario("nvme connect-all connects by the address that a listener on all reports", async (t) => {
  const address = sharedAddress();
  if (address === undefined) {
    if (process.env.CI) assert.fail("this machine has no address but the loopback one");
    return t.skip("this machine has no address but the loopback one");
  }
  await host.serve({ listen: { host: "0.0.0.0" }, subsystem: { hosts: new Map([[hostNqn, {}]]) } });
  await host.captured("connect-all", async () => {
    const at = `-t tcp -a ${address} -s ${host.port} -q ${hostNqn}`;
    await host.probe.succeed(`nvme connect-all ${at}`);
    await host.probe.until(`test -b ${disk}`);
    assert.match(await host.probe.succeed("nvme list-subsys"), new RegExp(`traddr=${address},`));
    await host.probe.succeed("nvme disconnect-all");
  });
  await host.serve();
});

/** What nvme-cli asks, of the controller (C) or the namespace (N), and a word of the answer. */
const questions = [
  ["id-ctrl C", /^mn +: Diskomator/m],
  ["id-ns N", /^nsze +: 0x100000$/m],
  ["ns-descs N", /^uuid +: 5b6b1f0a-/m],
  ["list-ns C", /0x1$/m],
  ["list-ctrl C", /num of ctrls present: 1/],
  ["list-subsys", /live/],
  ["smart-log C", /available_spare\s+: 100%/],
  ["error-log C", /error_count\s+: 0/],
  ["fw-log C", /^afi +: 0x1$/m],
  ["effects-log C", /IOCS2 +\[Read/],
  ["supported-log-pages C", /LID 0x2 - SMART/],
  ["ana-log C", /state\s+:\s+optimized/],
  ["changed-ns-list-log C", /no ns changed/],
  ["resv-notif-log C", /Empty Log Page/],
  ["show-regs C", /^csts +: 0x1$/m],
  ["get-feature C -f 7", /Number of Queues/],
  ["cmdset-ind-id-ns N", /^anagrpid: 1$/m],
  ["id-iocs C", /:1$/m],
  ["write-zeroes N -s 0 -c 7", /Success/],
  ["compare N -s 0 -c 0 -z 512 -d /dev/zero", /Success/],
  ["verify N -s 0 -c 7", /Success/],
  ["dsm N -d -s 0 -b 8", /success/],
  ["flush N", /success/],
  ["resv-register N --nrkey=1 --rrega=0", /success/],
  ["resv-acquire N --crkey=1 --rtype=1", /success/],
  ["resv-report N -e", /^rtype +: 1$/m],
  ["resv-release N --crkey=1 --rtype=1", /success/],
  ["resv-register N --crkey=1 --rrega=1", /success/],
] as const;

scenario("everything that nvme-cli asks is answered", () =>
  host.captured("questions", () =>
    host.connected("", async () => {
      const name = (await host.probe.succeed(`basename $(realpath ${disk})`)).trim();
      const controller = name.replace(/n\d+$/, "");
      const ask = (question: string) =>
        host.probe.run(
          `nvme ${question.replace(" C", ` /dev/${controller}`).replace(" N", ` /dev/${name}`)}`,
        );
      for (const [question, answer] of questions) {
        const { code, output } = await ask(question);
        assert.equal(code, 0, `nvme ${question}: ${output}`);
        assert.match(output, answer, question);
      }
      const ids = await host.probe.succeed(`lsblk -bdn -o SERIAL,SIZE ${disk}`);
      assert.deepEqual(ids.trim().split(/\s+/), ["L1", String(diskBytes)]);
      // What is refused is in the log of errors afterwards.
      assert.match((await ask("self-test-log C")).output, /Invalid Log Page/);
      assert.match(await host.probe.succeed(`nvme error-log /dev/${controller}`), /0x109|Log Page/);
    }),
  ),
);

/** Every size between a block and a megabyte; small ones in no order; and both. */
const loads = [
  { sizes: "512-1M", amount: "6M", depth: 8, order: "write" },
  { sizes: "4k", amount: "512k", depth: 16, order: "randwrite" },
  { sizes: "512-64k", amount: "512k", depth: 1, order: "randwrite" },
] as const;

scenario("one, four and sixteen queues carry verified I/O", async (t) => {
  await host.setCpus(16);
  for (const count of [1, 4, 16]) {
    await host.connected(`--nr-io-queues=${count}`, async () => {
      assert.equal(host.queueCount(), count);
      await host.verify(t, loads);
    });
  }
  await host.setCpus(1);
});

for (const digests of ["", "--hdr-digest", "--data-digest", "--hdr-digest --data-digest"]) {
  const title = `digests: ${digests || "none"}`;
  scenario(`verified I/O of every size, ${title}`, async (t) => {
    await using capture = await host.capture(title);
    // One queue for reads and one for writes, as many as there are with one CPU.
    await host.connected(`--nr-io-queues=1 --nr-write-queues=1 ${digests}`, async () => {
      assert.equal(host.queueCount(), 2);
      await host.verify(t, [
        { sizes: "512-300k", amount: "2M", depth: 4, order: "write" },
        { sizes: "4k", amount: "64k", depth: 4, order: "randwrite" },
      ]);
      await capture[Symbol.asyncDispose]();
      await host.verify(t, loads);
    });
  });
}

const fileSystems = [
  ["ext4", "mkfs.ext4 -q -F", "e2fsck -fn"],
  ["xfs", "mkfs.xfs -q -f", "xfs_repair -n"],
] as const;

for (const [name, make, check] of fileSystems) {
  scenario(`${name} is made, used, trimmed and checked; the file gets its holes`, async () => {
    const usedMiB = async () => (await stat(host.path)).blocks / 2048;
    await host.connected("", async () => {
      await host.probe.succeed(`blkdiscard ${disk}`, boot);
      assert.equal(await usedMiB(), 0);
      await host.probe.succeed(`${make} ${disk} && mount ${disk} /mnt`, boot);
      await host.probe.succeed("head -c 8M /dev/urandom >/mnt/a && sha256sum /mnt/a >/run/a");
      await host.probe.succeed("head -c 32M /dev/urandom >/mnt/b && sync");
      const full = await usedMiB();
      await host.probe.succeed("rm /mnt/b && sync && fstrim /mnt && umount /mnt", boot);
      assert.ok((await usedMiB()) <= full - 31, `${full} MiB became ${await usedMiB()}`);
      await host.probe.succeed(`${check} ${disk}`, boot);
      await host.probe.succeed(`mount ${disk} /mnt && sha256sum -c /run/a && umount /mnt`, boot);
      await host.checkKernel();
    });
  });
}

scenario("a disk that grows has its new size on a connected host", () =>
  host.captured("resize", () =>
    host.connected("", async () => {
      await truncate(host.path, 2 * diskBytes);
      await host.device.refreshSize();
      host.running.target.subsystems.get(nqn)?.namespaceChanged(1);
      await host.probe.until(`test $(blockdev --getsize64 ${disk}) = ${2 * diskBytes}`);
    }),
  ),
);

scenario("a target that restarts under load loses no write", async () => {
  await host.connected("--reconnect-delay=1", async () => {
    const rounds = await host.startRounds();
    await host.serve();
    await rounds.waitForWrite();
    await rounds.finish();
    assert.match(await host.probe.succeed("dmesg"), /reconnect/i);
  });
});

scenario("a namespace that goes under load fails alone, without a hang", async () => {
  await host.probe.succeed(host.connectLine());
  await host.probe.until(`test -b ${disk}`);
  const { job } = await host.startRounds();
  host.running.target.subsystems.get(nqn)?.removeNamespace(1);
  assert.notEqual((await job.wait(boot)).code, 0);
  await host.probe.until(`test ! -e ${disk}`);
  assert.equal(await host.probe.succeed("cat /sys/class/nvme/nvme*/state"), "live");
  await host.disconnect();
  await host.serve();
});

scenario(
  "DH-HMAC-CHAP in every hash and every group, both ways; wrong keys are refused",
  async () => {
    const secret = await host.makeSecret("sha256");
    const controllerSecret = await host.makeSecret("sha512");
    const other = await host.makeSecret("sha256");
    const both = `--dhchap-secret=${secret} --dhchap-ctrl-secret=${controllerSecret}`;
    await host.captured("authentication", async () => {
      for (const [index, group] of dhchapGroups.entries()) {
        const hash = dhchapHashes[index % dhchapHashes.length]!;
        const access = { secret, controllerSecret, groups: [group], hashes: [hash] };
        await host.serve({ subsystem: { hosts: new Map([[hostNqn, access]]) } });
        await host.connected(both, async () => {});
        assert.deepEqual(host.lastAuthentication(), { hash, group, bidirectional: true });
      }
      for (const wrong of [
        "",
        `--dhchap-secret=${other}`,
        `--dhchap-secret=${secret} --dhchap-ctrl-secret=${other}`,
      ]) {
        assert.notEqual((await host.probe.run(host.connectLine(wrong))).code, 0, wrong);
      }
    });
    await host.serve();
  },
);

for (const policy of ["required", "optional"] as const) {
  scenario(`TLS that is ${policy}, by tlshd; a wrong key is refused`, async (t) => {
    const key = await host.makeTlsKey();
    await host.serve({ listen: { tls: { policy, keys: [{ key }] } } });
    await host.captured(`TLS ${policy}`, () => host.connected("--tls", async () => {}), "tls");
    await host.connected("--tls --hdr-digest --data-digest", () => host.verify(t, loads));
    const plain = await host.probe.run(host.connectLine());
    assert.equal(plain.code === 0, policy === "optional", plain.output);
    if (policy === "optional") await host.disconnect();
    await host.makeTlsKey();
    assert.notEqual((await host.probe.run(host.connectLine("--tls"))).code, 0);
    await host.serve();
  });
}

test("tshark finds every PDU of these conversations well-formed, and every digest right", async (t) => {
  if (!(await has(t, "tshark"))) return;
  const types = new Set<string>();
  for (const { title, path, reading } of host.captures) {
    const isSecret = reading.protocol === "tls";
    const field = isSecret ? "tls.record.opaque_type" : "nvme-tcp.type";
    const [faults, packets] = await Promise.all([
      findFaults(path, reading),
      dissect(path, field, [field], reading),
    ]);
    assert.deepEqual(faults, [], title);
    const found = packets.flatMap(([list = ""]) => list.split(","));
    t.diagnostic(`${title}: ${found.length} ${isSecret ? "records" : "PDUs"}`);
    assert.ok(found.length > 20, title);
    if (!isSecret) for (const type of found) types.add(type);
  }
  // ICReq, ICResp, CapsuleCmd, CapsuleResp, H2CData, C2HData, R2T.
  assert.deepEqual([...types].map(Number).sort(), [0, 1, 4, 5, 6, 7, 9]);
});
