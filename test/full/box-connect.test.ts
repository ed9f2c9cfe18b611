/**
 * What `connect` and `disconnect` tell the Linux kernel's host, told to a real one: the probe, which
 * has a cable to a box in access mode `paired`. The owner is this test, on a network of its own.
 */

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { after, before, type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import {
  type BoxSession,
  devicePath,
  type KernelController,
  type KernelStep,
  openSession,
  type Place,
  planConnect,
  planDisconnect,
} from "../../src/box/index.ts";
import { makeSshKey as makeHostKey } from "../../src/image/index.ts";
import type { GrantedAccess, GrantMode } from "../../src/rpc/index.ts";
import {
  makeLink,
  makeScratchDisk,
  makeScratchFolder,
  type NicNetwork,
  type ScratchDisk,
  startVm,
  type Vm,
} from "../../src/vm/index.ts";
import { boot, build, stickOf } from "../driver-box.ts";
import { Probe } from "../driver-probe.ts";
import { makeSshKey } from "../driver-ssh.ts";

const mebibyte = 1024 * 1024;
const diskBytes = 64 * mebibyte;
const hostnqn = "nqn.2014-08.org.nvmexpress:uuid:7d1e68ce-8f6d-4c1d-9b6a-4e3a5f2c9ba1";
const sessionsMax = 60;

const owned = new AsyncDisposableStack();
const home = { identities: [] as string[], knownHosts: [] as string[], imageKeys: [] };
let disk: ScratchDisk;
let place: Place;
let session: BoxSession;
let probe: Probe;
let hasFailed = false;

before(async () => {
  const folder = owned.use(await makeScratchFolder());
  const key = owned.use(await makeSshKey());
  const hostKey = makeHostKey(randomBytes(32), "box").privateKey;
  await build("diskomator", folder.path, { authorizedKeys: [key.publicKey], sshHostKey: hostKey });
  await build("probe", folder.path);
  home.identities.push(key.privatePath);
  home.knownHosts.push(join(folder.path, "known_hosts"));
  const link = owned.use(await makeLink());
  const [box, host] = await Promise.all([
    startBox(folder.path, link.ends[0]),
    startProbe(folder.path, link.ends[1]),
  ]);
  place = {
    name: "cellar",
    addresses: ["127.0.0.1"],
    sshPort: await box.forward(22),
    ports: new Map(),
    from: "known",
    sighting: null,
  };
  // At the same time: what a kernel says later would stand behind its prompt.
  [session, probe] = await Promise.all([reach(), Probe.of(host)]);
});

after(async () => {
  await session?.[Symbol.asyncDispose]();
  await owned.disposeAsync();
});

async function startBox(images: string, network: NicNetwork): Promise<Vm> {
  disk = owned.use(await makeScratchDisk(diskBytes));
  const vm = await startVm({
    name: "box",
    memoryMiB: 768,
    extraKernelCommandLine: "diskomator.access=paired",
    disks: [
      stickOf(images, "diskomator"),
      { id: "nvme", kind: "nvme", path: disk.path, serial: "CONNECT-NVME" },
    ],
    nics: [{ network: { kind: "user", isolated: true } }, { network }],
    smbios: { uuid: "3a1f1c2e-52c5-4d0e-8a77-1b6f0c9d2e46" },
  });
  return owned.use(vm);
}

async function startProbe(images: string, network: NicNetwork): Promise<Vm> {
  const vm = await startVm({
    name: "probe",
    memoryMiB: 768,
    disks: [stickOf(images, "probe")],
    nics: [{ network }],
    smbios: { uuid: "6c0f57bd-7e5c-4b0c-9a5f-3d2f4e1b8a91" },
  });
  return owned.use(vm);
}

/** A session with a box that may still be booting, once it offers its disk. */
async function reach(isGood: (session: BoxSession) => boolean = () => true): Promise<BoxSession> {
  for (let attempt = 1; ; attempt++) {
    try {
      await using stack = new AsyncDisposableStack();
      const found = stack.use(await openSession(place, { home, timeoutMs: 60_000 }));
      const { disks } = await found.call("disks", {});
      const offered = disks.some(({ state }) => state.kind === "exported");
      if (!offered || !isGood(found)) throw new Error("The box is not ready yet.");
      stack.move();
      return found;
    } catch (error) {
      if (attempt === sessionsMax) throw error;
      await sleep(3000);
    }
  }
}

/** The box's address on the cable, where no DHCP server is (RFC 3927). */
async function cableAddress(): Promise<string> {
  for (let attempt = 1; attempt < sessionsMax; attempt++) {
    const { addresses } = await session.call("describe", {});
    const found = addresses.find(({ address }) => address.startsWith("169.254."));
    if (found) return found.address;
    await sleep(1000);
  }
  throw new Error("The box has no address on the cable.");
}

async function grant(mode: GrantMode): Promise<GrantedAccess> {
  const disks = ["CONNECT-NVME"];
  return await session.call("grant", { hostnqn, disks, mode, seconds: null });
}

/** Runs steps on the probe as `connect` runs them on the owner's machine. */
async function runSteps(steps: readonly KernelStep[]): Promise<void> {
  const word = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`;
  for (const { program, args, input } of steps) {
    const command = [program, ...args].map(word).join(" ");
    const bytes = Buffer.from(input ?? []).toString("base64");
    await probe.succeed(`base64 -d <<<'${bytes}' | ${command}`);
  }
}

async function connect(
  mode: GrantMode,
  isEncrypted: boolean,
  found?: KernelController,
): Promise<{ readonly device: string; readonly access: GrantedAccess }> {
  const access = await grant(mode);
  const [one] = access.disks;
  assert(one);
  const address = await cableAddress();
  await runSteps(planConnect({ access, disk: one, place, address, isEncrypted, found }));
  return { device: devicePath(one), access };
}

/** The controller that the probe's kernel has for the box. */
async function controllerOf(access: GrantedAccess): Promise<KernelController> {
  const subsystemNqn = access.disks[0]?.nqn ?? "";
  const name = await probe.succeed(
    `grep -lF '${subsystemNqn}' /sys/class/nvme/*/subsysnqn | cut -d/ -f5`,
  );
  const state = await probe.succeed(`cat /sys/class/nvme/${name}/state`);
  return { name, subsystemNqn, hostnqn, state, address: "", port: 0, devices: [] };
}

async function detach(access: GrantedAccess): Promise<void> {
  await runSteps(planDisconnect(await controllerOf(access)));
  await session.call("revoke", { grant: access.grant });
}

const writeMark = (device: string, mark: string) =>
  probe.succeed(`printf ${mark} | dd of=${device} bs=512 conv=sync oflag=direct status=none`);
const readMark = (device: string, mark: string) =>
  probe.succeed(`dd if=${device} bs=512 count=1 iflag=direct status=none | head -c ${mark.length}`);

async function markOnDisk(length: number): Promise<string> {
  await using file = await open(disk.path);
  const buffer = Buffer.alloc(length);
  await file.read(buffer, 0, length, 0);
  return buffer.toString();
}

/** A scenario that fails is not followed by others: they would fail for its reason. */
function scenario(title: string, body: (t: TestContext) => Promise<void>): void {
  test(title, async (t) => {
    if (hasFailed) assert.fail("an earlier scenario has failed");
    try {
      await body(t);
    } catch (error) {
      hasFailed = true;
      t.diagnostic((await probe.run("dmesg | tail -40; keyctl list %:.nvme")).output);
      t.diagnostic(JSON.stringify((await session.call("log", {})).events.slice(-30)));
      throw error;
    }
  });
}

for (const isEncrypted of [true, false]) {
  scenario(`planConnect ${isEncrypted ? "with" : "without"} TLS brings the disk`, async () => {
    await probe.succeed("systemctl start tlshd");
    const { device, access } = await connect("rw", isEncrypted);
    await probe.until(`test -b ${device}`);
    const mark = `encrypted-${isEncrypted}`;
    await writeMark(device, mark);
    assert.equal(await readMark(device, mark), mark);
    assert.equal(await markOnDisk(mark.length), mark);
    const isTls = await probe.run("test -s /sys/class/nvme/nvme0/tls_key");
    assert.equal(isTls.code === 0, isEncrypted);
    await detach(access);
    await probe.until(`! test -e ${device}`);
    assert.doesNotMatch(await probe.succeed("keyctl list %:.nvme"), /psk: NVMe/);
  });
}

scenario("planConnect with a read-only grant brings a disk that takes no writes", async () => {
  const before = await markOnDisk(64);
  const { device, access } = await connect("ro", true);
  await probe.until(`test -b ${device}`);
  assert.equal(await probe.succeed(`blockdev --getro ${device}`), "1");
  const { code } = await probe.run(`dd if=/dev/zero of=${device} bs=4096 count=1 oflag=direct`);
  assert.notEqual(code, 0);
  assert.equal(await markOnDisk(64), before);
  await detach(access);
});

scenario("planConnect brings a device back whose box was booted again", async () => {
  const first = await connect("rw", true);
  await probe.until(`test -b ${first.device}`);
  await writeMark(first.device, "before");
  const node = await probe.succeed(`readlink -f ${first.device}`);
  const { bootedAt } = session.description;
  await session.call("reboot", {});
  await session[Symbol.asyncDispose]();
  session = await reach(({ description }) => description.bootedAt !== bootedAt);
  const waiting = await controllerOf(first.access);
  assert.notEqual(waiting.state, "live");
  const second = await connect("rw", true, waiting);
  assert.notEqual(second.access.secrets.host, first.access.secrets.host);
  await probe.until(`grep -q live /sys/class/nvme/${waiting.name}/state`, boot);
  assert.equal(await probe.succeed(`readlink -f ${first.device}`), node);
  assert.equal(await readMark(first.device, "before"), "before");
  await detach(second.access);
});
