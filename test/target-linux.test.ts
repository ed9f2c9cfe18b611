/**
 * Our target as the Linux kernel's own host sees it: discovery, all that nvme-cli asks, verified I/O
 * with every combination of digests, file systems, changes under a connected host, a restart of the
 * target under load, and DH-HMAC-CHAP in every hash and group.
 */

import assert from "node:assert/strict";
import { truncate } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { after, before, type TestContext, test } from "node:test";
import { FileDisk } from "../src/block/index.ts";
import { createTarget, type SubsystemOptions } from "../src/target/index.ts";
import { makeScratchFolder, startVm, type Vm } from "../src/vm/index.ts";
import { boot, build, stickOf } from "./driver-box.ts";
import { Probe } from "./driver-probe.ts";

const mebibyte = 1024 * 1024;
const diskBytes = 128 * mebibyte;
const nqn = "nqn.2026-11.org.example:linux";
const uuid = "5b6b1f0a-4f1c-4d5e-8a77-0d3a1c2b9e10";
const hostNqn = "nqn.2014-08.org.nvmexpress:uuid:6c0f57bd-7e5c-4b0c-9a5f-3d2f4e1b8a90";
const disk = `/dev/disk/by-id/nvme-uuid.${uuid}`;
/** The host that runs QEMU, on QEMU's own network. */
const targetAddress = "10.0.2.2";
const trouble = /I\/O error|invalid|failed|unexpected/i;

const owned = new AsyncDisposableStack();
let host: Vm;
let probe: Probe;
let path: string;
let device: FileDisk;
let port: number;
let serving: Awaited<ReturnType<typeof serve>>;

before(async () => {
  const folder = owned.use(await makeScratchFolder());
  path = join(folder.path, "disk.img");
  device = await FileDisk.open(path, { createBytes: diskBytes });
  port = await freePort();
  serving = await serve();
  await build("probe", folder.path);
  host = owned.use(
    await startVm({
      name: "linux",
      memoryMiB: 768,
      disks: [stickOf(folder.path, "probe")],
      nics: [{ network: { kind: "user" } }],
    }),
  );
  probe = await Probe.of(host);
  // udev gives the card its name some time after the kernel has found it.
  const card = await probe.until("ls /sys/class/net | grep ^en", boot);
  await probe.succeed(`ip addr add 10.0.2.15/24 dev ${card} && ip link set ${card} up`);
  await probe.succeed("mkdir -p /etc/nvme");
});

after(async () => {
  await serving?.close();
  await device?.[Symbol.asyncDispose]();
  await owned.disposeAsync();
});

/** A port that is free now, and the same after a restart of the target. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  assert.ok(address !== null && typeof address === "object");
  return address.port;
}

async function serve(subsystem: Partial<SubsystemOptions> = {}) {
  const running = createTarget({
    subsystems: [{ nqn, serial: "L1", hosts: "any", namespaces: [{ device, uuid }], ...subsystem }],
  });
  await running.listen({ port });
  return running;
}

/** Serves the same disk in another way. */
async function serveAgain(subsystem: Partial<SubsystemOptions> = {}): Promise<void> {
  await serving.close();
  serving = await serve(subsystem);
}

const connectLine = (more = "") =>
  `nvme connect -t tcp -a ${targetAddress} -s ${port} -n ${nqn} -q ${hostNqn} ${more}`;

async function connect(more = ""): Promise<void> {
  await probe.succeed(connectLine(more));
  await probe.until(`test -b ${disk}`);
}

const disconnect = () => probe.succeed(`nvme disconnect -n ${nqn}`);

/** Writes every block once, in no order, then reads all of them and compares. */
function fio(bs: string, size: string): string {
  return (
    `fio --name=load --filename=${disk} --allow_file_create=0 --bs=${bs} --size=${size} ` +
    "--rw=randwrite --randrepeat=0 --direct=1 --ioengine=libaio --iodepth=4 --verify=crc32c " +
    "--verify_fatal=1 --eta=never"
  );
}

/** Rounds of that, until one fails. */
const rounds = (count: number) => `for n in $(seq ${count}); do ${fio("16k", "8M")} || exit; done`;

/** Block size and amount: in the capsule, by one R2T, and split by MDTS. */
const sizes = [
  ["512", "512k"],
  ["16k", "8M"],
  ["256k", "16M"],
  ["2M", "32M"],
] as const;

/** A test whose failure brings the last words of the kernel. */
function scenario(title: string, body: (t: TestContext) => Promise<void>): void {
  test(title, async (t) => {
    try {
      await probe.succeed("dmesg -C");
      await body(t);
    } catch (error) {
      t.diagnostic((await probe.run("dmesg | tail -40")).output);
      await probe.run("nvme disconnect-all");
      throw error;
    }
  });
}

scenario("nvme discover lists the subsystem", async () => {
  const log = await probe.succeed(`nvme discover -t tcp -a ${targetAddress} -s ${port}`);
  assert.ok(log.includes(nqn), log);
});

scenario("everything that nvme-cli asks is answered", async () => {
  await connect();
  const name = (await probe.succeed(`basename $(realpath ${disk})`)).trim();
  const controller = name.replace(/n\d+$/, "");
  const asked = [
    `id-ctrl /dev/${controller}`,
    `id-ns /dev/${name}`,
    `ns-descs /dev/${name}`,
    `list-ns /dev/${controller}`,
    "list-subsys",
    `smart-log /dev/${controller}`,
    `error-log /dev/${controller}`,
    `fw-log /dev/${controller}`,
    `effects-log /dev/${controller}`,
    `supported-log-pages /dev/${controller}`,
    `show-regs /dev/${controller}`,
    `get-feature /dev/${controller} -f 7`,
    `resv-report /dev/${name} -e`,
    `flush /dev/${name}`,
  ];
  for (const command of asked) {
    const { code, output } = await probe.run(`nvme ${command}`);
    assert.equal(code, 0, `nvme ${command}: ${output}`);
  }
  const ids = await probe.succeed(`lsblk -bdn -o SERIAL,SIZE ${disk}`);
  assert.deepEqual(ids.trim().split(/\s+/), ["L1", String(diskBytes)]);
  await disconnect();
});

for (const digests of ["", "--hdr-digest", "--data-digest", "--hdr-digest --data-digest"]) {
  scenario(`verified I/O of every size, digests: ${digests || "none"}`, async (t) => {
    await connect(`--nr-io-queues=2 ${digests}`);
    for (const [bs, size] of sizes) {
      const { code, output } = await probe.run(fio(bs, size), boot);
      assert.equal(code, 0, output);
      for (const line of output.match(/^ +(READ|WRITE): .*/gm) ?? []) t.diagnostic(line.trim());
    }
    assert.doesNotMatch(await probe.succeed("dmesg"), trouble);
    await disconnect();
  });
}

scenario(
  "a file system is made, used, checked and trimmed, and the file gets its holes",
  async () => {
    await connect();
    await probe.succeed(`blkdiscard ${disk}`, boot);
    await probe.succeed(`mkfs.ext4 -q -F ${disk} 64M && mount ${disk} /mnt`, boot);
    await probe.succeed("head -c 8M /dev/urandom >/mnt/a && sha256sum /mnt/a >/run/a");
    await probe.succeed("rm -f /mnt/b; fstrim /mnt && umount /mnt", boot);
    await probe.succeed(`e2fsck -fn ${disk} && mount ${disk} /mnt && sha256sum -c /run/a`, boot);
    await probe.succeed("umount /mnt");
    assert.doesNotMatch(await probe.succeed("dmesg"), trouble);
    await disconnect();
  },
);

scenario("a disk that grows has its new size on a connected host", async () => {
  await connect();
  await truncate(path, 2 * diskBytes);
  await device.refreshSize();
  serving.target.subsystems.get(nqn)?.namespaceChanged(1);
  await probe.until(`test $(blockdev --getsize64 ${disk}) = ${2 * diskBytes}`);
  await disconnect();
});

scenario("a target that restarts under load loses no write", async (t) => {
  await connect("--reconnect-delay=1");
  const job = await probe.start(rounds(5));
  await probe.until(
    `test $(cut -d' ' -f5 /sys/class/nvme/*/nvme*n1/stat 2>/dev/null || echo 1) != 0`,
  );
  await serveAgain();
  const { code, output } = await job.wait(boot);
  assert.equal(code, 0, output);
  const log = await probe.succeed("dmesg");
  assert.match(log, /reconnect/i);
  t.diagnostic(log.split("\n").slice(-4).join("\n"));
  await disconnect();
});

scenario("a namespace that goes under load fails alone, without a hang", async () => {
  await connect();
  const job = await probe.start(rounds(20));
  await probe.succeed("sleep 2");
  serving.target.subsystems.get(nqn)?.removeNamespace(1);
  const { code } = await job.wait(boot);
  assert.notEqual(code, 0);
  await probe.until(`test ! -e ${disk}`);
  await disconnect();
  await serveAgain();
});

const hashes = [
  [1, "hmac(sha256)"],
  [2, "hmac(sha384)"],
  [3, "hmac(sha512)"],
] as const;

scenario("DH-HMAC-CHAP in every hash, both ways; a wrong key is refused", async () => {
  for (const [hmac, name] of hashes) {
    const key = async () =>
      (await probe.succeed(`nvme gen-dhchap-key -m ${hmac} -n ${hostNqn}`)).trim();
    const [secret, controllerSecret, other] = [await key(), await key(), await key()];
    await serveAgain({ hosts: new Map([[hostNqn, { secret, controllerSecret }]]) });
    const both = `--dhchap-secret=${secret} --dhchap-ctrl-secret=${controllerSecret}`;
    await connect(`--dhchap-secret=${secret}`);
    await disconnect();
    await connect(both);
    const { code, output } = await probe.run(fio("16k", "2M"), boot);
    assert.equal(code, 0, `${name}: ${output}`);
    await disconnect();
    for (const wrong of [
      "",
      `--dhchap-secret=${other}`,
      `--dhchap-secret=${secret} --dhchap-ctrl-secret=${other}`,
    ]) {
      assert.notEqual((await probe.run(connectLine(wrong))).code, 0, `${name}: ${wrong}`);
    }
  }
  await serveAgain();
});
