/**
 * The long matrices of our target with the Linux kernel's own host: digests by queues by sizes,
 * every pair of hash and group of DH-HMAC-CHAP, TLS in all that both ends have, and deaths of the
 * target under load.
 */

import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before } from "node:test";
import { MemoryDisk } from "../../src/block/index.ts";
import { ConfiguredPsk, dhchapGroups, dhchapHashes } from "../../src/nvme/index.ts";
import { makeScratchFolder } from "../../src/vm/index.ts";
import { boot } from "../driver-box.ts";
import { fio } from "../driver-fio.ts";
import {
  disk,
  diskPath,
  hostNqn,
  LinuxHost,
  nqn,
  type Serving,
  scenarioOn,
  uuid,
} from "../driver-linux-host.ts";
import { ServeProcess } from "../driver-serve.ts";

let host: LinuxHost;

before(async () => {
  host = await LinuxHost.start();
  await host.serve();
});

after(() => host?.[Symbol.asyncDispose]());

const scenario = scenarioOn(() => host);

const mebibyte = 1024 * 1024;
const digestOptions = ["", "--hdr-digest", "--data-digest", "--hdr-digest --data-digest"];

/** Sizes beyond the limits of a command among them, which the host cuts. */
const loads = [
  { sizes: "512-4M", amount: "48M", depth: 16, order: "write" },
  { sizes: "512-64k", amount: "8M", depth: 1, order: "randwrite" },
  { sizes: "4k", amount: "8M", depth: 32, order: "randwrite" },
  { sizes: "512", amount: "512k", depth: 8, order: "randwrite" },
] as const;

for (const digests of digestOptions) {
  scenario(`verified I/O over 1, 4 and 16 queues, digests: ${digests || "none"}`, async (t) => {
    await host.setCpus(16);
    for (const queues of [1, 4, 16]) {
      await host.connected(`--nr-io-queues=${queues} ${digests}`, async () => {
        assert.equal(host.queueCount(), queues);
        await host.verify(t, loads);
      });
    }
    await host.setCpus(1);
  });
}

scenario("queues of every kind: reads, writes, polled ones", async (t) => {
  // The kernel spreads queues over all CPUs that may come, and connects none without one online.
  await host.setCpus(16);
  const kinds = "--nr-io-queues=4 --nr-write-queues=4 --nr-poll-queues=4";
  await host.connected(kinds, async () => {
    assert.equal(host.queueCount(), 12);
    await host.verify(t, loads);
    await host.verify(t, loads.slice(1), "--ioengine=pvsync2 --hipri");
  });
  await host.setCpus(1);
});

scenario("blocks of 4096 bytes, and queues of other sizes", async (t) => {
  await using device = new MemoryDisk({ sizeBytes: 256 * mebibyte, blockSizeBytes: 4096 });
  await host.serve({ subsystem: { namespaces: [{ device, uuid }] } });
  for (const size of [16, 128]) {
    await host.connected(`--queue-size=${size}`, async () => {
      assert.equal(await host.probe.succeed(`blockdev --getss ${disk}`), "4096");
      await host.verify(t, [
        { sizes: "4k-1M", amount: "32M", depth: 32, order: "write" },
        { sizes: "4k", amount: "4M", depth: 32, order: "randwrite" },
      ]);
    });
  }
  await host.serve();
});

scenario("a host over IPv6, without flow control of the submission queue", async (t) => {
  await host.serve({ listen: { host: "::1" } });
  // What QEMU's network calls the loopback address of its own machine.
  await host.probe.succeed("ip -6 addr add fec0::15/64 dev $(ls /sys/class/net | grep ^en) nodad");
  await host.probe.succeed(
    `nvme connect -t tcp -a fec0::2 -s ${host.port} -n ${nqn} -q ${hostNqn} --disable-sqflow`,
  );
  await host.probe.until(`test -b ${disk}`);
  await host.verify(t, loads);
  await host.disconnect();
  await host.serve();
});

for (const hash of dhchapHashes) {
  scenario(`DH-HMAC-CHAP with ${hash} in every group, one way and both`, async (t) => {
    const secret = await host.makeSecret(hash);
    const controllerSecret = await host.makeSecret("sha384");
    for (const group of dhchapGroups) {
      const access = { secret, controllerSecret, groups: [group], hashes: [hash] };
      await host.serve({ subsystem: { hosts: new Map([[hostNqn, access]]) } });
      await host.connected(`--dhchap-secret=${secret}`, async () => {
        assert.deepEqual(host.lastAuthentication(), { hash, group, bidirectional: false });
      });
      const both = `--dhchap-secret=${secret} --dhchap-ctrl-secret=${controllerSecret}`;
      await host.connected(both, async () => {
        assert.deepEqual(host.lastAuthentication(), { hash, group, bidirectional: true });
        await host.verify(t, loads.slice(1, 2));
      });
    }
    await host.serve();
  });
}

for (const version of [0, 1] as const) {
  scenario(
    `TLS with a key that is derived as the specification says, identity ${version}`,
    async (t) => {
      const text = await host.makeTlsKey();
      await host.serve({ listen: { tls: { policy: "required", keys: [{ key: text }] } } });
      const parsed = ConfiguredPsk.parse(text);
      assert.ok(parsed.ok);
      const parties = { hostnqn: hostNqn, subnqn: nqn };
      const { identity, key } = parsed.psk.retain(hostNqn).tlsPsk(parties, version);
      const bytes = Buffer.from(key).toString("hex").replace(/../g, "\\x$&");
      await host.probe.succeed("keyctl clear %:.nvme");
      await host.probe.succeed(`printf '${bytes}' | keyctl padd psk '${identity}' %:.nvme`);
      await host.connected("--tls", () => host.verify(t, loads));
      await host.serve();
    },
  );
}

scenario("TLS over 16 queues, with digests and with DH-HMAC-CHAP inside", async (t) => {
  const key = await host.makeTlsKey();
  const secret = await host.makeSecret("sha256");
  await host.serve({
    listen: { tls: { policy: "required", keys: [{ key }] } },
    subsystem: { hosts: new Map([[hostNqn, { secret }]]) },
  });
  await host.setCpus(16);
  const options = `--nr-io-queues=16 --hdr-digest --data-digest --dhchap-secret=${secret}`;
  await host.connected(`--tls ${options}`, async () => {
    assert.equal(host.queueCount(), 16);
    await host.verify(t, loads);
  });
  await host.setCpus(1);
  await host.serve();
});

for (const tls of [false, true]) {
  const way = tls ? "by TLS" : "in the clear";
  scenario(`a target that restarts five times under load loses no write, ${way}`, async () => {
    const keys = tls ? [{ key: await host.makeTlsKey() }] : [];
    const serving: Serving = tls ? { listen: { tls: { policy: "required", keys } } } : {};
    await host.serve(serving);
    const digests = "--hdr-digest --data-digest --reconnect-delay=1";
    await host.connected(`${tls ? "--tls" : ""} ${digests}`, async () => {
      const rounds = await host.startRounds();
      for (let n = 0; n < 5; n++) {
        await host.serve(serving);
        await rounds.waitForWrite();
      }
      await rounds.finish();
    });
    await host.serve();
  });
}

scenario("diskomator serve, killed five times under load, loses no write", async () => {
  await host.stop();
  await using folder = await makeScratchFolder();
  const path = join(folder.path, "served.img");
  await writeFile(path, Buffer.alloc(256 * mebibyte));
  const args = [path, "--nqn", nqn, "--listen", `127.0.0.1:${host.port}`];
  let serving = await ServeProcess.start(args);
  try {
    const [served = ""] = serving.uuids;
    await host.probe.succeed(host.connectLine("--reconnect-delay=1 --data-digest"));
    await host.probe.until(`test -b ${diskPath(served)}`);
    const rounds = await host.startRounds(served);
    for (let n = 0; n < 5; n++) {
      await serving.kill();
      serving = await ServeProcess.start(args);
      await rounds.waitForWrite();
    }
    await rounds.finish();
    await host.disconnect();
  } finally {
    await serving.kill();
  }
  await host.serve();
});

scenario("namespaces that come, go and come back are seen by the host", async () => {
  await host.connected("", async () => {
    const subsystem = host.running.target.subsystems.get(nqn);
    assert.ok(subsystem);
    const others = Array.from({ length: 3 }, (_, n) => uuid.replace(/^.{8}/, `0000000${n}`));
    for (const other of others) {
      const device = new MemoryDisk({ sizeBytes: mebibyte, readOnly: true });
      subsystem.addNamespace({ device, uuid: other });
    }
    for (const other of others) {
      await host.probe.until(`test -b ${diskPath(other)}`);
      assert.equal(await host.probe.succeed(`blockdev --getro ${diskPath(other)}`), "1");
    }
    for (const nsid of [2, 3, 4]) subsystem.removeNamespace(nsid);
    for (const other of others) await host.probe.until(`test ! -e ${diskPath(other)}`);
    await host.probe.succeed(fio(disk, loads.slice(3)), boot);
  });
});
