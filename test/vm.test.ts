/** The QEMU bench on real QEMU and OVMF, without any guest beyond the firmware. */

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { connect } from "node:net";
import { dirname } from "node:path";
import { after, before, test } from "node:test";
import { makeLink, makeScratchDisk, startVm, type Vm, VmError } from "../src/vm/index.ts";

const mebibyte = 1024 * 1024;

/** One machine for most tests here, with a disk or drive of every kind. */
const owned = new AsyncDisposableStack();
let vm: Vm;
let hotPath: string;

before(async () => {
  const scratch = async () => owned.use(await makeScratchDisk(8 * mebibyte)).path;
  hotPath = await scratch();
  const link = owned.use(await makeLink());
  vm = await startVm({
    name: "bench",
    memoryMiB: 512,
    disks: [
      { id: "n", kind: "nvme", path: await scratch(), blockSizeBytes: 4096 },
      { id: "v", kind: "virtio-blk", path: await scratch(), readOnly: true },
      { id: "c", kind: "scsi", path: await scratch() },
      { id: "a", kind: "sata", path: await scratch() },
      { id: "u", kind: "usb", path: await scratch(), bootIndex: 0 },
      { id: "m", kind: "sd", path: await scratch() },
      { id: "f", kind: "floppy" },
      { id: "cd", kind: "cdrom" },
    ],
    nics: [
      { network: { kind: "user" } },
      { network: link.ends[0], model: "e1000e" },
      { network: { kind: "user", isolated: true }, model: "usb" },
    ],
    smbios: { uuid: "00112233-4455-6677-8899-aabbccddeeff", serial: "a,b" },
    extraKernelCommandLine: "console=ttyS0,115200",
  });
  owned.use(vm);
});

after(() => owned.disposeAsync());

test("startVm: a machine that QEMU refuses is an error with its words and command line", async () => {
  const before = process.getActiveResourcesInfo().filter((name) => name === "ProcessWrap").length;
  const disks = [{ id: "d", kind: "nvme", path: "/absent/disk.raw" }] as const;
  await assert.rejects(startVm({ disks }), (error) => {
    assert.ok(error instanceof VmError);
    assert.equal(error.code, "start");
    assert.match(error.message, /Could not open '\/absent\/disk\.raw'/);
    assert.match(error.message, /Command line: .*qemu-system-x86_64 /);
    return true;
  });
  const after = process.getActiveResourcesInfo().filter((name) => name === "ProcessWrap").length;
  assert.equal(after, before);
});

test("startVm: disposing a machine at once ends it and removes its files", async () => {
  const vm = await startVm({ memoryMiB: 128 });
  const shot = await vm.screenshot();
  await vm[Symbol.asyncDispose]();
  assert.equal(existsSync(dirname(shot)), false);
  assert.throws(() => process.kill(vm.pid, 0), /ESRCH/);
});

test("qmp: the machine runs", async () => {
  const status = (await vm.qmp.execute("query-status")) as { status: string };
  assert.equal(status.status, "running");
});

test("forward: a free port of the host that listens, the same when asked again", async () => {
  const port = await vm.forward(22);
  assert.equal(await vm.forward(22), port);
  assert.notEqual(await vm.forward(4420), port);
  const socket = connect(port, "127.0.0.1");
  await new Promise((resolve, reject) => socket.once("connect", resolve).once("error", reject));
  socket.destroy();
});

test("addNic: a card that comes later has a network and forwards of its own", async () => {
  const places = [];
  for (const model of ["usb", "virtio"] as const) {
    places.push(await vm.addNic({ network: { kind: "user" }, model }));
  }
  assert.deepEqual(places, [3, 4]);
  const ports = await Promise.all([0, 3, 4].map((nic) => vm.forward(22, { nic })));
  assert.equal(new Set(ports).size, 3);
});

test("capture: a file in pcap format, until it is disposed", async () => {
  const { path } = owned.use(await makeScratchDisk(0));
  const captures = async () =>
    JSON.stringify(await vm.qmp.execute("qom-list", { path: "/objects" })).includes("filter-dump");
  const capture = await vm.capture(path, { nic: 1 });
  assert.ok(await captures());
  await capture[Symbol.asyncDispose]();
  await capture[Symbol.asyncDispose]();
  assert.ok(!(await captures()));
  const magic = (await readFile(path)).subarray(0, 4);
  assert.equal(magic.readUInt32LE(), 0xa1b2c3d4);
});

test("addDisk and removeDisk: usb and scsi come and go at once", async () => {
  for (const kind of ["usb", "scsi"] as const) {
    await vm.addDisk({ id: "hot", kind, path: hotPath });
    await assert.rejects(vm.addDisk({ id: "hot", kind, path: hotPath }), hasCode("options"));
    await vm.removeDisk("hot");
  }
  await assert.rejects(vm.removeDisk("hot"), hasCode("options"));
});

test("addDisk: what QEMU refuses leaves nothing behind", async () => {
  const missing = { id: "hot", kind: "nvme", path: `${hotPath}.missing` } as const;
  await assert.rejects(vm.addDisk(missing), hasCode("qmp"));
  await vm.addDisk({ ...missing, path: hotPath });
});

test("resizeDisk: the file has the new size", async () => {
  await vm.resizeDisk("c", 16 * mebibyte);
  const file = await blockFile(vm, "c");
  assert.equal((await stat(file)).size, 16 * mebibyte);
});

test("waitForSerial: the firmware speaks, and finds nothing to boot", async () => {
  const match = await vm.waitForSerial(/BdsDxe: failed to load \w+ "UEFI QEMU QEMU USB/);
  assert.ok(match.end <= vm.serialEnd);
  assert.ok(!vm.serial.includes("\x1b"));
});

test("waitForSerial: the deadline's error has the last lines", async () => {
  await assert.rejects(vm.waitForSerial("never said", { timeoutMs: 10 }), (error) => {
    assert.ok(error instanceof VmError && error.code === "timeout");
    assert.match(error.message, /never said[\s\S]*BdsDxe/);
    return true;
  });
});

test("sendSerial: the firmware's shell answers", async () => {
  await vm.waitForSerial(/Press ESC|Shell>/);
  vm.sendSerial("\x1b");
  await vm.waitForSerial("Shell>");
  const after = vm.serialEnd;
  vm.sendSerial("echo spoken\r");
  await vm.waitForSerial(/^spoken/m, { after });
});

test("screenshot: a PNG of what is on the screen, which is not blank", async () => {
  const path = await vm.screenshot();
  const png = await readFile(path);
  assert.equal(png.toString("latin1", 1, 4), "PNG");
  assert.ok(png.readUInt32BE(16) >= 640, "the width in the IHDR chunk");
  await vm.qmp.execute("screendump", { filename: `${path}.ppm`, format: "ppm" });
  assert.ok(coloursOf(await readFile(`${path}.ppm`)) > 1);
});

test("removeDisk: without an operating system a reset lets an nvme disk go", async () => {
  const removed = Promise.all([vm.removeDisk("hot"), vm.removeDisk("n")]);
  await vm.reset();
  await removed;
});

test("quit: QEMU ends in order, and all that is asked later fails", async () => {
  assert.equal((await vm.quit()).code, 0);
  await assert.rejects(vm.qmp.execute("query-status"), hasCode("exited"));
  await assert.rejects(vm.waitForSerial("never said"), hasCode("exited"));
});

function hasCode(code: string): (error: unknown) => boolean {
  return (error) => error instanceof VmError && error.code === code;
}

/** The file behind a disk, as QEMU names it. */
async function blockFile(vm: Vm, id: string): Promise<string> {
  const nodes = (await vm.qmp.execute("query-named-block-nodes", { flat: true })) as {
    "node-name": string;
    file: string;
  }[];
  const file = nodes.find((node) => node["node-name"] === `node-${id}`)?.file;
  assert.ok(file);
  return file;
}

/** Number of different pixels of a PPM image (P6, 8 bits per colour). */
function coloursOf(ppm: Buffer): number {
  const header = /^P6\s+\d+\s+\d+\s+255\s/.exec(ppm.toString("latin1", 0, 64));
  assert.ok(header, "QEMU writes P6 with 255 as its maximum");
  const colours = new Set<number>();
  for (let at = header[0].length; at < ppm.length; at += 3) colours.add(ppm.readUIntBE(at, 3));
  return colours.size;
}
