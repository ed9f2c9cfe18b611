/** The appliance itself: built here, booted by OVMF, and read and written from outside. */

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { makeScratchDisk, type ScratchDisk, startVm, type Vm } from "../src/vm/index.ts";
import { boot, build, Exports, openShell, openToAll, readState, stickOf } from "./driver-box.ts";
import { makeSshKey, type Ssh, type SshKey } from "./driver-ssh.ts";

const mebibyte = 1024 * 1024;
const diskBytes = 64 * mebibyte;

let outDirectory: string;
let key: SshKey;
let box: Vm;
let shell: Ssh;
let exported: Exports;
const disks: Record<string, ScratchDisk> = {};

before(async () => {
  outDirectory = await mkdtemp(join(tmpdir(), "diskomator-box-"));
  key = await makeSshKey();
  await build("diskomator", outDirectory, { authorizedKeys: [key.publicKey] });
  for (const name of ["nvme", "virtio", "sata", "hot", "later"]) {
    disks[name] = await makeScratchDisk(diskBytes);
  }
  box = await startVm({
    name: "box",
    memoryMiB: 640,
    smbios: { uuid: "5d0c6f1e-2b7a-4c93-9e48-1f6a7b3c2d10" },
    disks: [
      stickOf(outDirectory, "diskomator"),
      { id: "nvme", kind: "nvme", path: disks.nvme!.path, serial: "TEST-NVME" },
      { id: "virtio", kind: "virtio-blk", path: disks.virtio!.path, serial: "TEST-VIRTIO" },
      { id: "sata", kind: "sata", path: disks.sata!.path, serial: "TEST-SATA" },
      { id: "drive", kind: "cdrom" },
    ],
    nics: [{ network: { kind: "user" } }],
    extraKernelCommandLine: openToAll,
  });
  exported = await Exports.of(box);
  shell = await openShell(box, key);
});

after(async () => {
  await box?.[Symbol.asyncDispose]();
  for (const disk of Object.values(disks)) await disk[Symbol.asyncDispose]();
  await key?.[Symbol.asyncDispose]();
  if (outDirectory) await rm(outDirectory, { recursive: true, force: true });
});

test("the box exports NVMe, virtio and SATA disks in 640 MiB, and shows how to connect", async () => {
  for (const serial of ["TEST-NVME", "TEST-VIRTIO", "TEST-SATA"]) {
    await box.waitForSerial(new RegExp(`serial ${serial} +exported`), boot);
    const line = new RegExp(`nvme connect -t tcp -a 10\\.0\\.\\S+ -s 4420 -n nqn\\.\\S+${serial}`);
    await box.waitForSerial(line, boot);
  }
  assert.equal(new Set(await exported.nqns()).size, 3);
});

test("the box does not export the medium that it booted from", async () => {
  await box.waitForSerial(/not exported: this box booted from it/, boot);
});

test("what is written over NVMe/TCP lies on the disk, and reads back", async () => {
  const data = randomBytes(8 * mebibyte);
  {
    await using controller = await exported.connect("TEST-NVME");
    await using disk = await controller.openNamespace(1);
    assert.equal(disk.sizeBytes, diskBytes);
    await disk.write(mebibyte, data);
    await disk.flush();
    const found = Buffer.alloc(data.length);
    await disk.read(mebibyte, found);
    assert(found.equals(data));
  }
  const hash = createHash("sha256");
  const range = { start: mebibyte, end: mebibyte + data.length - 1 };
  for await (const piece of createReadStream(disks.nvme!.path, range)) hash.update(piece);
  assert.equal(hash.digest("hex"), createHash("sha256").update(data).digest("hex"));
});

test("a disk that is plugged in is exported, and one that is pulled is not", async () => {
  await box.addDisk({ id: "hot", kind: "nvme", path: disks.hot!.path, serial: "TEST-HOT" });
  await box.waitForSerial(/serial TEST-HOT +exported/, boot);
  assert((await exported.nqns()).some((nqn) => nqn.includes("TEST-HOT")));
  const mark = box.serialEnd;
  await box.removeDisk("hot", boot);
  await box.waitForSerial(/Disks: \d+, exported: 3/, { ...boot, after: mark });
  assert(!(await exported.nqns()).some((nqn) => nqn.includes("TEST-HOT")));
});

test("a disk that grows is seen at its new size", async () => {
  await box.resizeDisk("virtio", 2 * diskBytes);
  await box.waitForSerial(/vda +134 MB/, boot);
  await using controller = await exported.connect("TEST-VIRTIO");
  await using disk = await controller.openNamespace(1);
  assert.equal(disk.sizeBytes, 2 * diskBytes);
});

test("the box listens for NVMe/TCP, SSH and multicast DNS, and for nothing else", async () => {
  const sockets = await shell.succeed("ss -Hlntu");
  const doors = sockets
    .trim()
    .split("\n")
    .map((line) => line.split(/\s+/))
    .filter(([, , , , local = ""]) => !/^(?:127\.|\[::1\])/.test(local))
    .map(
      ([protocol, , , , local = ""]) => `${protocol} ${local.slice(local.lastIndexOf(":") + 1)}`,
    );
  // Ports 68 and 546 are the DHCP clients'.
  const clients = new Set(["udp 68", "udp 546"]);
  const servers = new Set(doors.filter((door) => !clients.has(door)));
  assert.deepEqual([...servers].sort(), ["tcp 22", "tcp 4420", "tcp 8009", "udp 5353"], sockets);
});

test("the daemon stays under 80 MiB, and comes to rest while nothing happens", async (t) => {
  // Node.js tidies its memory for some seconds after work; what goes on for ever never rests.
  const tookMs: number[] = [];
  for (let last = Number.POSITIVE_INFINITY; last > idleTicksMax; ) {
    assert.ok(tookMs.length < idleTriesMax, `CPU time in each 10 seconds: ${tookMs} ms`);
    const [resident, before] = await readDaemon();
    assert.ok(resident < 80 * 1024, `${resident} KiB`);
    await shell.succeed("sleep 10");
    const [, after] = await readDaemon();
    last = after - before;
    tookMs.push(last * 10);
    const megabytes = Math.round(resident / 1024);
    t.diagnostic(`resident: ${megabytes} MiB, CPU time in 10 seconds: ${last * 10} ms`);
  }
});

const idleTriesMax = 6;
/** A clock tick of 10 ms may fall anywhere; more than some of them are work. */
const idleTicksMax = 5;

/** Resident memory in KiB, and CPU time in ticks. */
async function readDaemon(): Promise<[resident: number, ticks: number]> {
  const pid = "$(systemctl show -P MainPID diskomator)";
  const text = await shell.succeed(`cat /proc/${pid}/status /proc/${pid}/stat`);
  const resident = Number(/^VmRSS:\s+(\d+) kB$/m.exec(text)?.[1]);
  // After the name in parentheses: state, 10 numbers, then time in user and kernel mode; proc(5).
  const [user, kernel] = text
    .slice(text.lastIndexOf(")") + 2)
    .split(" ")
    .slice(11, 13);
  return [resident, Number(user) + Number(kernel)];
}

test("a login is a process and no more: systemd starts nothing for it", async () => {
  const units = "systemctl list-units --all --plain --no-legend";
  assert.equal(await shell.succeed(`${units} 'session-*' 'user-*' 'user@*'`), "");
  assert.match(await shell.succeed("cat /proc/self/cgroup"), /\/ssh\.service$/m);
});

test("nothing looks at a disk again because somebody has written to it", async () => {
  const watch = "timeout 4 udevadm monitor --kernel --udev --subsystem-match=block";
  const writeAndClose = "sleep 2; : >>/dev/vda; sleep 3";
  const events = await shell.succeed(`{ ${watch}; } & ${writeAndClose}; wait`);
  assert.doesNotMatch(events, /\bchange\b/);
  assert.match(events, /KERNEL - the kernel uevent/);
});

test("with the boot medium pulled out the box goes on", async () => {
  await box.removeDisk("stick", boot);
  await box.waitForSerial(/Boot medium: has been removed/, boot);
  await box.addDisk({ id: "later", kind: "nvme", path: disks.later!.path, serial: "TEST-LATER" });
  await box.waitForSerial(/serial TEST-LATER +exported/, boot);
  await shell.succeed("systemctl restart diskomator");
  const nqns = await exported.nqns();
  assert.equal(nqns.length, 4, nqns.join(" "));
  await using controller = await exported.connect("TEST-LATER");
  await using disk = await controller.openNamespace(1);
  await disk.read(0, Buffer.alloc(mebibyte));
  const { bootMedium, problems } = await readState(shell);
  assert.equal(bootMedium, "has been removed");
  assert.deepEqual(problems, []);
});
