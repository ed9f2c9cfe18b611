/** The appliance itself: built here, booted by OVMF, and read and written from outside. */

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { makeScratchDisk, type ScratchDisk, startVm, type Vm } from "../src/vm/index.ts";
import { boot, build, Exports, stickOf } from "./driver-box.ts";

const mebibyte = 1024 * 1024;
const diskBytes = 64 * mebibyte;

let outDirectory: string;
let box: Vm;
let exported: Exports;
const disks: Record<string, ScratchDisk> = {};

before(async () => {
  outDirectory = await mkdtemp(join(tmpdir(), "diskomator-box-"));
  await build("diskomator", outDirectory);
  for (const name of ["nvme", "virtio", "sata", "hot"]) {
    disks[name] = await makeScratchDisk(diskBytes);
  }
  box = await startVm({
    name: "box",
    memoryMiB: 640,
    disks: [
      stickOf(outDirectory, "diskomator"),
      { id: "nvme", kind: "nvme", path: disks.nvme!.path, serial: "TEST-NVME" },
      { id: "virtio", kind: "virtio-blk", path: disks.virtio!.path, serial: "TEST-VIRTIO" },
      { id: "sata", kind: "sata", path: disks.sata!.path, serial: "TEST-SATA" },
      { id: "drive", kind: "cdrom" },
    ],
    nics: [{ network: { kind: "user" } }],
  });
  exported = await Exports.of(box);
});

after(async () => {
  await box?.[Symbol.asyncDispose]();
  for (const disk of Object.values(disks)) await disk[Symbol.asyncDispose]();
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
