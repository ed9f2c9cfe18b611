/**
 * The box as a Linux host sees it, over a cable from machine to machine without any DHCP server:
 * the probe's kernel connects by the line on the box's screen and does verified I/O while the box's
 * daemon and disks come and go.
 */

import assert from "node:assert/strict";
import { after, before, type TestContext, test } from "node:test";
import type { DiskRow } from "../src/appliance/index.ts";
import {
  type Link,
  makeLink,
  makeScratchDisk,
  makeScratchFolder,
  startVm,
  type Vm,
} from "../src/vm/index.ts";
import { boot, build, openToAll, readState, stickOf } from "./driver-box.ts";
import { Rounds } from "./driver-fio.ts";
import { Probe } from "./driver-probe.ts";
import { makeSshKey, Ssh } from "./driver-ssh.ts";

const mebibyte = 1024 * 1024;
const serials = ["HOST-NVME", "HOST-VIRTIO"] as const;
const diskBytes = 128 * mebibyte;
/** What the kernel says when a host loses its disk, even for a moment. */
const trouble = /I\/O error|reconnect|controller is down|timeout|failed/i;

const owned = new AsyncDisposableStack();
let box: Vm;
let host: Vm;
let shell: Ssh;
let probe: Probe;
/** What stood on the screen while the cable was all that the box had. */
let lines: readonly string[];
const milestones: string[] = [];
let hasFailed = false;

before(async () => {
  const start = performance.now();
  const reached = (what: string) => {
    milestones.push(`${what} after ${((performance.now() - start) / 1000).toFixed(0)} s`);
  };
  const folder = owned.use(await makeScratchFolder());
  const key = owned.use(await makeSshKey());
  const link = owned.use(await makeLink());
  await build("diskomator", folder.path, { authorizedKeys: [key.publicKey] });
  await build("probe", folder.path);
  reached("images built");
  [box, host] = await Promise.all([startBox(folder.path, link), startHost(folder.path, link)]);
  probe = await Probe.of(host);
  reached("shell of the probe");
  lines = await Promise.all(serials.map(lineOf));
  reached("lines on the screen of the box");
  // From now on the box is on another network too: that is the test's own way in.
  const nic = await box.addNic({ network: { kind: "user", isolated: true } });
  await box.waitForSerial(/nvme connect -t tcp -a 10\.0\./, boot);
  shell = await Ssh.of(box, key, { nic });
});

after(() => owned.disposeAsync());

async function startBox(images: string, link: Link): Promise<Vm> {
  const nvme = owned.use(await makeScratchDisk(diskBytes));
  const virtio = owned.use(await makeScratchDisk(diskBytes));
  const vm = await startVm({
    name: "box",
    memoryMiB: 768,
    disks: [
      stickOf(images, "diskomator"),
      { id: "nvme", kind: "nvme", path: nvme.path, serial: "HOST-NVME" },
      { id: "virtio", kind: "virtio-blk", path: virtio.path, serial: "HOST-VIRTIO" },
    ],
    nics: [{ network: link.ends[0] }],
    smbios: { uuid: "3a1f1c2e-52c5-4d0e-8a77-1b6f0c9d2e45" },
    extraKernelCommandLine: openToAll,
  });
  return owned.use(vm);
}

async function startHost(images: string, link: Link): Promise<Vm> {
  const vm = await startVm({
    name: "probe",
    memoryMiB: 768,
    disks: [stickOf(images, "probe")],
    nics: [{ network: link.ends[1] }],
    smbios: { uuid: "6c0f57bd-7e5c-4b0c-9a5f-3d2f4e1b8a90" },
  });
  return owned.use(vm);
}

test("sshd lets in the key that was built in, and takes no password", async (t) => {
  for (const milestone of milestones) t.diagnostic(milestone);
  assert.equal(await shell.succeed("id -un"), "root\n");
  const refused = await shell.run("true", ["-oControlPath=none", "-oPubkeyAuthentication=no"]);
  assert.equal(refused.code, 255);
  assert.match(refused.stderr, /Permission denied \(publickey\)\./);
});

scenario("the line on the screen, typed on a Linux host, brings the disk", async (t) => {
  for (const line of lines) await probe.succeed(line);
  for (const serial of serials) {
    const path = await pathOf(serial);
    await probe.until(`test -b ${path}`);
    const found = JSON.parse(await probe.succeed(`lsblk -bdJ -o SERIAL,SIZE,MODEL ${path}`));
    const { disk } = await rowOf(serial);
    const model = disk.model || "virtio disk";
    assert.deepEqual(found.blockdevices, [{ serial, size: diskBytes, model }]);
  }
  t.diagnostic(`\n${await probe.succeed("nvme list")}`);
});

scenario("every address of the cable on the screen reaches the box", async (t) => {
  const { addresses } = await readState(shell);
  const cable = addresses.find(({ address }) => lines[0]!.includes(address))?.interface;
  const ofCable = addresses.filter((address) => address.interface === cable);
  assert.deepEqual(
    ofCable.map(({ family, linkLocal }) => [family, linkLocal]),
    [
      ["IPv4", true],
      ["IPv6", true],
    ],
  );
  const card = await probe.succeed("ls /sys/class/net | grep -v lo");
  for (const { address, family } of ofCable) {
    const reached = family === "IPv6" ? `${address}%${card}` : address;
    const log = await probe.succeed(`nvme discover -t tcp -a ${reached} -s 4420`);
    for (const serial of serials) assert.ok(log.includes(serial), log);
    t.diagnostic(`${reached} answers`);
  }
});

scenario("a restarted and a killed daemon are not noticed by verified I/O", async (t) => {
  const path = await pathOf("HOST-NVME");
  const before = await rowOf("HOST-NVME");
  await probe.succeed("dmesg -C");
  const rounds = await Rounds.start(probe, path);
  await newDaemon(() => shell.succeed("systemctl restart diskomator"));
  await newDaemon(() => shell.succeed("systemctl kill --kill-whom=main -s KILL diskomator"));
  assert.deepEqual(namesOf(await rowOf("HOST-NVME")), namesOf(before));
  t.diagnostic(await rounds.finish());
  assert.doesNotMatch(await probe.succeed("dmesg"), trouble);
  assert.equal(await probe.succeed("cat /sys/class/nvme/nvme*/state"), "live\nlive");
  const journal = await shell.succeed("journalctl -b -u diskomator -o cat");
  assert.equal(journal.match(/^exported disk=nvme0n1 /gm)?.length, 1, journal);
  assert.doesNotMatch(journal, /^(removed|torn-down|failed)/m);
});

scenario("a disk that grows has its new size on a connected host", async () => {
  await box.resizeDisk("virtio", 2 * diskBytes);
  const path = await pathOf("HOST-VIRTIO");
  await probe.until(`test $(blockdev --getsize64 ${path}) = ${2 * diskBytes}`);
});

scenario("an exported disk takes a file system, and what is in it stays", async () => {
  const path = await pathOf("HOST-VIRTIO");
  await probe.succeed(`mkfs.ext4 -q -F ${path} 32M && mount ${path} /mnt`, boot);
  await probe.succeed("head -c 4M /dev/urandom >/mnt/a && sha256sum /mnt/a >/run/a && umount /mnt");
  await probe.succeed(`blockdev --flushbufs ${path} && e2fsck -fn ${path}`);
  await probe.succeed(`mount ${path} /mnt && sha256sum -c /run/a && umount /mnt`);
});

scenario("a disk that is pulled out under load fails alone, and comes back", async (t) => {
  const [pulled, other] = [await pathOf("HOST-VIRTIO"), await pathOf("HOST-NVME")];
  const before = await rowOf("HOST-VIRTIO");
  const lost = await Rounds.start(probe, pulled, { amount: "64M" });
  const untouched = await Rounds.start(probe, other);
  await box.removeDisk("virtio", boot);
  const { code, output } = await lost.job.wait(boot);
  assert.notEqual(code, 0);
  assert.match(output, /error=(Input\/output error|No such)/);
  t.diagnostic(await untouched.finish());
  // The host tries again once, is told that there is no such disk, and gives it up.
  await probe.until("test $(ls /sys/class/nvme | wc -l) = 1", boot);
  await probe.succeed(`test ! -e ${pulled}`);

  const again = owned.use(await makeScratchDisk(diskBytes));
  const mark = box.serialEnd;
  await box.addDisk({
    id: "virtio",
    kind: "virtio-blk",
    path: again.path,
    serial: "HOST-VIRTIO",
  });
  await box.waitForSerial(/serial HOST-VIRTIO +exported/, { ...boot, after: mark });
  assert.deepEqual(namesOf(await rowOf("HOST-VIRTIO")), namesOf(before));
  await probe.succeed(lines[1]!);
  await probe.until(`test -b ${pulled}`);
});

scenario("nvme disconnect-all ends every connection", async () => {
  await probe.succeed("nvme disconnect-all");
  assert.equal(await probe.succeed("ls /sys/class/nvme"), "");
  const { disks } = await readState(shell);
  assert.equal(disks.filter(({ state }) => state.kind === "exported").length, 2);
});

/** A test whose failure, if it is the first, brings the last words of both machines. */
function scenario(title: string, body: (t: TestContext) => Promise<void>): void {
  test(title, async (t) => {
    try {
      await body(t);
    } catch (error) {
      const speaking = hasFailed ? [] : [box, host];
      for (const vm of speaking) t.diagnostic(`${vm.name}:\n${vm.serialLastLines()}`);
      hasFailed = true;
      throw error;
    }
  });
}

/** The line on the screen that connects to a disk over the cable, by an address that is whole. */
async function lineOf(serial: string): Promise<string> {
  const line = `nvme connect -t tcp -a 169\\.254\\.\\S+ -s \\d+ -n nqn\\S+${serial}\\S*(?=\n)`;
  return (await box.waitForSerial(new RegExp(line), boot)).text;
}

async function rowOf(serial: string): Promise<DiskRow> {
  const { disks } = await readState(shell);
  const row = disks.find(({ disk }) => disk.serial === serial);
  assert.ok(row, `${serial} is on the screen`);
  return row;
}

/** What a host remembers a disk by. */
function namesOf({ state }: DiskRow): { readonly nqn: string; readonly uuid: string } {
  assert.ok(state.kind === "exported", JSON.stringify(state));
  return { nqn: state.nqn, uuid: state.uuid };
}

/** The link that a Linux host makes from the namespace's UUID. */
async function pathOf(serial: string): Promise<string> {
  return `/dev/disk/by-id/nvme-uuid.${namesOf(await rowOf(serial)).uuid}`;
}

/** Does something to the daemon and waits until another process of it is ready. */
async function newDaemon(replace: () => Promise<unknown>): Promise<void> {
  const pid = "systemctl show -P MainPID diskomator";
  const before = (await shell.succeed(pid)).trim();
  await replace();
  const isNew = `systemctl is-active -q diskomator && test $(${pid}) != ${before}`;
  await shell.succeed(`until ${isNew}; do sleep 0.2; done`);
}
