/**
 * The box with 32 disks of every kind, some of them with contents that an operating system would
 * like to touch: what is exported and what is not and why, under which names, in what time, and
 * that no byte changes between power on and power off.
 */

import assert from "node:assert/strict";
import { after, before, type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import {
  type DiskKind,
  type DiskOptions,
  makeScratchDisk,
  makeScratchFolder,
  startVm,
  type Vm,
} from "../src/vm/index.ts";
import { boot, build, Exports, openShell, openToAll, readState, stickOf } from "./driver-box.ts";
import { type DiskImage, hashFile, makeDiskImages } from "./driver-disk-images.ts";
import { makeSshKey, type Ssh } from "./driver-ssh.ts";

const mebibyte = 1024 * 1024;
/** A power of two, as cards want it. */
const diskBytes = 64 * mebibyte;
const exportedCount = 32;
/** Disks beside these that take no writes: the box serves them on its second target. */
const readOnlyCount = 3;
const burstCount = 8;
/** The daemon tries a port again after five seconds; the journal lags behind by less. */
const settleMs = 15_000;
/** The same machine at both boots, so that the box has the same name. */
const smbios = { uuid: "9a3e1b52-7c64-4d1f-8f3a-5d2b6c7e8f90" };

const owned = new AsyncDisposableStack();
let images: readonly DiskImage[];
let hashes: readonly string[];
/** Those that stay as they are made: the kinds, one or two of each. */
let kinds: readonly DiskOptions[];
let raw: string;
let box: Vm;
let shell: Ssh;
let exported: Exports;
/** NQN → UUID, at the first boot. */
let names: ReadonlyMap<string, string>;

before(async () => {
  raw = owned.use(await makeScratchFolder()).path;
  const contents = owned.use(await makeScratchFolder());
  const key = owned.use(await makeSshKey());
  await build("diskomator", raw, { authorizedKeys: [key.publicKey] });
  images = await makeDiskImages(contents.path);
  hashes = await Promise.all(images.map(({ path }) => hashFile(path)));
  kinds = [
    await scratch("nvme", "K-NVME-512", 512),
    await scratch("nvme", "K-NVME-4096", 4096),
    await scratch("virtio-blk", "K-VIRTIO-512", 512),
    await scratch("virtio-blk", "K-VIRTIO-4096", 4096),
    await scratch("scsi", "K-SCSI-512", 512),
    await scratch("scsi", "K-SCSI-4096", 4096),
    await scratch("usb", "K-USB", 512),
    await scratch("sata", "K-SATA", 512),
  ];
  box = owned.use(
    await startVm({
      name: "box",
      memoryMiB: 768,
      smbios,
      // Firmware and kernel take a second for each port.
      sparePorts: 0,
      disks: [stickOf(raw, "diskomator"), ...(await otherDisks()), ...kinds],
      nics: [{ network: { kind: "user" } }, { network: { kind: "user" }, model: "e1000e" }],
      // Whoever resumes from swap space by the command line would find it.
      extraKernelCommandLine: `resume=LABEL=hibernated ${openToAll}`,
    }),
  );
  const { timeoutMs } = boot;
  await box.waitForSerial(`exported: ${exportedCount + readOnlyCount}\n`, { timeoutMs });
  shell = await openShell(box, key);
  exported = await Exports.of(box);
});

after(() => owned.disposeAsync());

test("the box exports 32 disks of every kind under names of their own, in their own sizes", async (t) => {
  await settlesAt(exportedCount, countNqns, t);
  names = await readNames(exported);
  assert.equal(new Set(names.values()).size, exportedCount);
  for (const { serial = "", blockSizeBytes } of kinds) {
    await using controller = await exported.connect(serial);
    await using disk = await controller.openNamespace(1);
    assert.equal(disk.sizeBytes, diskBytes, serial);
    assert.equal(disk.blockSizeBytes, blockSizeBytes ?? 512, serial);
  }
  const card = (await readState(shell)).disks.find(({ disk }) => disk.transport === "mmc");
  assert.equal(card?.disk.sizeBytes, diskBytes);
  assert.equal(card.state.kind, "exported");
});

test("each disk that is not exported has its reason, and gives no trouble", async () => {
  const { disks, access } = await readState(shell);
  assert.equal(access, "open");
  assert.match(box.serial, /OPEN: everyone on this network can read and write/);
  const reasons = disks
    .filter(({ state }) => state.kind !== "exported")
    .map(({ disk, state }) => [
      disk.serial.startsWith("QM") ? disk.name : disk.serial,
      state.kind === "not exported" ? state.reason.code : state.kind,
    ]);
  assert.deepEqual(Object.fromEntries(reasons), {
    stick: "boot-medium",
    sr0: "empty",
    sr1: "optical",
  });
  assert.match(box.serial, /serial RO-VIRTIO +exported, read-only\n.*nvme connect .* -s 4421 /);
  assert.match(box.serial, /sr0 +0 B .*not exported: no medium in the drive/);
  const errors = await shell.succeed("journalctl -b -o cat -p err");
  assert.doesNotMatch(errors, /I\/O error|nvmet|diskomator|node/, errors);
  const ours = (await journal()).split("\n");
  assert.ok(ours.length < exportedCount + 20, ours.join("\n"));
});

test("a disk that takes no writes can be read by everybody, and written by nobody", async () => {
  const second = await Exports.of(box, { servicePort: 4421 });
  // Each is listed once for each address family.
  assert.equal(new Set(await second.nqns()).size, readOnlyCount);
  await using controller = await second.connect("RO-SCSI");
  await using disk = await controller.openNamespace(1);
  assert.equal(disk.readOnly, true);
  await disk.read(0, Buffer.alloc(disk.blockSizeBytes));
  await assert.rejects(disk.write(0, Buffer.alloc(disk.blockSizeBytes)), { code: "read-only" });
});

test("two network cards have an address each, and both reach the disks", async () => {
  const { addresses } = await readState(shell);
  const shown = addresses.map(({ address }) => address);
  assert.ok(shown.includes("10.0.2.15") && shown.includes("10.0.3.15"), shown.join(" "));
  await box.waitForSerial(/Addresses: 10\.0\.2\.15 \(\w+\) {2}10\.0\.3\.15 \(\w+\)/);
  const second = await Exports.of(box, { nic: 1 });
  assert.deepEqual([...(await second.nqns())].sort(), [...(await exported.nqns())].sort());
});

test("disks that are plugged in all at once are all exported", async (t) => {
  const disks: DiskOptions[] = [];
  for (let n = 0; n < burstCount; n++) {
    disks.push({ ...(await scratch("scsi", `BURST-${n}`, 512)) });
  }
  // QEMU 7.2 loses PCI Express disks that come at the same time; SCSI disks it does not.
  await Promise.all(disks.map((disk) => box.addDisk(disk)));
  await box.waitForSerial(`exported: ${exportedCount + readOnlyCount + burstCount}\n`, boot);
  await settlesAt(exportedCount + burstCount, countNqns, t);
  const readTook = async () => [
    ...(await journal()).matchAll(/^exported disk=(\S+) .*tookMs=(\d+) readOnly=no/gm),
  ];
  await settlesAt(exportedCount + burstCount, async () => (await readTook()).length, t);
  const took = await readTook();
  const times = took.map(([, , ms]) => Number(ms));
  const [first, burst] = [times.slice(0, exportedCount), times.slice(exportedCount)];
  t.diagnostic(`uevent to export while booting: ${summary(first)} (${box.accelerator})`);
  t.diagnostic(`uevent to export, ${burstCount} at once: ${summary(burst)}`);
});

test("the power button takes the exports down in order, and not a byte of any disk has changed", async () => {
  // What the journal says while the machine goes down is told on the serial line.
  const follow = "-p DefaultDependencies=no -p StandardOutput=tty -p TTYPath=/dev/ttyS0";
  const mark = box.serialEnd;
  await shell.succeed(`systemd-run ${follow} journalctl -f -n 1 -o cat -u diskomator`);
  await box.waitForSerial(/^(?:exported|announced|call)\b/m, { ...boot, after: mark });
  await box.powerdown();
  await box.waitForSerial(/stopping reason=stop/, { ...boot, after: mark });
  await box.waitForSerial(/torn-down groups=4\d/, boot);
  await box.waitForExit(boot);
  const after = await Promise.all(images.map(({ path }) => hashFile(path)));
  for (const [n, { name }] of images.entries()) assert.equal(after[n], hashes[n], name);
});

test("at the next boot, on other ports and a fixed address, the disks have the same names", async () => {
  await using next = await startVm({
    name: "box",
    memoryMiB: 640,
    smbios,
    sparePorts: 0,
    disks: [...kinds.toReversed(), stickOf(raw, "diskomator")],
    nics: [{ network: { kind: "user" } }],
    extraKernelCommandLine: `ip=10.0.2.77::10.0.2.2:255.255.255.0:::none ${openToAll}`,
  });
  await next.waitForSerial(`exported: ${kinds.length}\n`, boot);
  await next.waitForSerial(/Addresses: 10\.0\.2\.77 \(/, boot);
  assert.doesNotMatch(next.serial, /10\.0\.2\.15/);
  const found = await readNames(await Exports.of(next, { guestAddress: "10.0.2.77" }));
  assert.equal(found.size, kinds.length);
  for (const [nqn, uuid] of found) assert.equal(uuid, names.get(nqn), nqn);
});

async function scratch(
  kind: DiskKind,
  serial: string,
  blockSizeBytes: 512 | 4096,
): Promise<DiskOptions> {
  const { path } = owned.use(await makeScratchDisk(diskBytes));
  const big = blockSizeBytes === 4096 ? { blockSizeBytes } : {};
  return { id: serial, kind, path, serial, ...big };
}

/** Everything beside the kinds: drives, read-only disks, disks with contents, and more of them. */
async function otherDisks(): Promise<DiskOptions[]> {
  const plugs = ["virtio-blk", "scsi", "nvme"] as const;
  const { path: card } = owned.use(await makeScratchDisk(diskBytes));
  const { path: disc } = owned.use(await makeScratchDisk(diskBytes));
  const disks: DiskOptions[] = [
    { id: "card", kind: "sd", path: card },
    { id: "floppy", kind: "floppy" },
    { id: "empty", kind: "cdrom" },
    { id: "disc", kind: "cdrom", path: disc },
    { ...(await scratch("virtio-blk", "RO-VIRTIO", 512)), readOnly: true },
    { ...(await scratch("scsi", "RO-SCSI", 512)), readOnly: true },
    { ...(await scratch("usb", "RO-USB", 512)), readOnly: true },
  ];
  for (const [n, { name, path }] of images.entries()) {
    disks.push({ id: name, kind: plugs[n % plugs.length]!, path, serial: name });
  }
  // The card and the kinds are exported too.
  const missing = exportedCount - images.length - kinds.length - 1;
  for (let n = 0; n < missing; n++) {
    disks.push(await scratch("scsi", `MORE-${n}`, 512));
  }
  return disks;
}

/** How many disks the discovery log has, each under a name of its own. */
async function countNqns(): Promise<number> {
  return new Set(await exported.nqns()).size;
}

/** What is not there at once has to be soon; the journal then tells why it was late. */
async function settlesAt(
  wanted: number,
  count: () => Promise<number>,
  t: TestContext,
): Promise<void> {
  let found = await count();
  if (found !== wanted) t.diagnostic(`${found} of ${wanted} at first\n${await journal()}`);
  for (const late = AbortSignal.timeout(settleMs); found !== wanted && !late.aborted; ) {
    await sleep(1000);
    found = await count();
  }
  assert.equal(found, wanted);
}

function journal(): Promise<string> {
  return shell.succeed("journalctl -b -o cat -t node");
}

/** NQN → UUID of what a box exports. */
async function readNames(exports: Exports): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  for (const nqn of await exports.nqns()) {
    await using controller = await exports.connect(nqn);
    const { uuid } = await controller.namespace(1);
    assert.ok(uuid, nqn);
    found.set(nqn, uuid);
  }
  return found;
}

function summary(times: readonly number[]): string {
  const sorted = times.toSorted((a, b) => a - b);
  return `${sorted[0]} to ${sorted.at(-1)} ms, half of them within ${sorted[times.length >> 1]} ms`;
}
