/** Reading sysfs and udev's database from a tree of files that is laid out like them. */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { listBlockDevices, readBlockFacts } from "./driver-sysfs.ts";

let root = "";

async function put(path: string, text: string): Promise<void> {
  await mkdir(dirname(join(root, path)), { recursive: true });
  await writeFile(join(root, path), text);
}

async function putDevice(name: string, path: string, attributes: Record<string, string>) {
  for (const [attribute, value] of Object.entries(attributes)) {
    await put(`sys${path}/${attribute}`, `${value}\n`);
  }
  await mkdir(join(root, "sys/class/block"), { recursive: true });
  await symlink(`../..${path}`, join(root, "sys/class/block", name));
}

before(async () => {
  root = await mkdtemp(join(tmpdir(), "diskomator-sysfs-"));
  const disk = "/devices/pci0000:00/0000:00:02.0/virtio1/block/vda";
  await putDevice("vda", disk, {
    dev: "254:0",
    diskseq: "9",
    size: "2048",
    ro: "0",
    removable: "0",
    hidden: "0",
    "queue/logical_block_size": "4096",
  });
  await putDevice("vda1", `${disk}/vda1`, { dev: "254:1", partition: "1", size: "8" });
  const subsystem = "/devices/virtual/nvme-subsystem/nvme-subsys0";
  await putDevice("nvme0n1", `${subsystem}/nvme0n1`, {
    dev: "259:0",
    size: "2048",
    ro: "1",
    wwid: "eui.0025385b71b0a3f1",
  });
  await put(`sys${subsystem}/nvme0/transport`, "tcp\n");
  await put("run/udev/data/b254:0", "S:disk/by-id/a\nE:ID_SERIAL=a\n");
});

after(() => rm(root, { recursive: true }));

test("listBlockDevices leaves partitions out", () => {
  assert.deepEqual(listBlockDevices(root).sort(), ["nvme0n1", "vda"]);
});

test("readBlockFacts gives the disk with its partitions and what udev knows so far", () => {
  assert.deepEqual(readBlockFacts(root, "vda"), {
    name: "vda",
    devicePath: "/devices/pci0000:00/0000:00:02.0/virtio1/block/vda",
    diskSequence: 9,
    sectors512: 2048,
    blockSizeBytes: 4096,
    readOnly: false,
    removable: false,
    hidden: false,
    wwid: null,
    transports: [],
    udev: { ID_SERIAL: "a", DEVLINKS: "/dev/disk/by-id/a" },
    partitions: [{ name: "vda1", udev: null }],
  });
});

test("readBlockFacts finds the transports behind a multipath NVMe disk", () => {
  const facts = readBlockFacts(root, "nvme0n1");
  assert.deepEqual(facts?.transports, ["tcp"]);
  assert.equal(facts?.readOnly, true);
  assert.equal(facts?.wwid, "eui.0025385b71b0a3f1");
});

test("readBlockFacts gives null for a disk that has gone", () => {
  assert.equal(readBlockFacts(root, "sdz"), null);
});
