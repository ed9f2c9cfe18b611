import assert from "node:assert/strict";
import test from "node:test";
import { isHotPluggable, planDisk } from "./disk.ts";
import { VmError } from "./error.ts";
import type { DiskOptions } from "./options.ts";
import { planPortDevice, planPorts } from "./ports.ts";

const path = "/disk.raw";
const drive = "node-d";

const table: { disk: DiskOptions; port?: string; devices: object[] }[] = [
  {
    disk: { id: "d", kind: "nvme", path, serial: "S1", blockSizeBytes: 4096, bootIndex: 0 },
    port: "port0",
    devices: [
      {
        driver: "nvme",
        id: "d",
        bus: "port0",
        drive,
        serial: "S1",
        logical_block_size: 4096,
        physical_block_size: 4096,
        bootindex: 0,
      },
    ],
  },
  {
    disk: { id: "d", kind: "virtio-blk", path },
    port: "port1",
    devices: [{ driver: "virtio-blk-pci", id: "d", bus: "port1", drive, serial: "d" }],
  },
  {
    disk: { id: "d", kind: "scsi", path },
    devices: [{ driver: "scsi-hd", id: "d", bus: "scsi.0", drive, serial: "d" }],
  },
  {
    disk: { id: "d", kind: "sata", path },
    port: "ide.0",
    devices: [{ driver: "ide-hd", id: "d", bus: "ide.0", drive, serial: "d" }],
  },
  {
    disk: { id: "d", kind: "usb", path },
    devices: [
      { driver: "usb-storage", id: "d", bus: "usb.0", drive, serial: "d", removable: true },
    ],
  },
  {
    disk: { id: "d", kind: "sd", path },
    devices: [
      { driver: "sdhci-pci", id: "d-host" },
      { driver: "sd-card", id: "d", drive },
    ],
  },
  {
    disk: { id: "d", kind: "floppy" },
    devices: [{ driver: "floppy", id: "d", "drive-type": "144" }],
  },
  {
    disk: { id: "d", kind: "cdrom" },
    port: "ide.1",
    devices: [{ driver: "ide-cd", id: "d", bus: "ide.1" }],
  },
];

for (const { disk, port, devices } of table) {
  test(`planDisk: the devices of a ${disk.kind}`, () => {
    assert.deepEqual(planDisk(disk, port).devices, devices);
  });
}

test("planDisk: the block node carries the file and whether it may be written", () => {
  const readOnlyOf = (disk: DiskOptions) => planDisk(disk).blockNode?.["read-only"];
  assert.equal(readOnlyOf({ id: "d", kind: "usb", path }), false);
  assert.equal(readOnlyOf({ id: "d", kind: "usb", path, readOnly: true }), true);
  assert.equal(readOnlyOf({ id: "d", kind: "cdrom", path }), true);
  assert.equal(planDisk({ id: "d", kind: "cdrom" }).blockNode, undefined);
  assert.deepEqual(planDisk({ id: "d", kind: "usb", path }).blockNode?.file, {
    driver: "file",
    filename: path,
  });
});

const refused: { why: RegExp; disk: DiskOptions }[] = [
  { why: /id must be/, disk: { id: "1st", kind: "nvme", path } },
  { why: /id must be/, disk: { id: "a".repeat(25), kind: "nvme", path } },
  { why: /has no file/, disk: { id: "d", kind: "nvme" } },
  { why: /21 characters, and 20/, disk: { id: "d", kind: "nvme", path, serial: "x".repeat(21) } },
  { why: /512 bytes only/, disk: { id: "d", kind: "sata", path, blockSizeBytes: 4096 } },
  { why: /no read-only SATA/, disk: { id: "d", kind: "sata", path, readOnly: true } },
  { why: /no boot order/, disk: { id: "d", kind: "sd", path, bootIndex: 1 } },
];

for (const { why, disk } of refused) {
  test(`planDisk refuses with ${why}`, () => {
    assert.throws(
      () => planDisk(disk),
      (error) => error instanceof VmError && error.code === "options" && why.test(error.message),
    );
  });
}

test("isHotPluggable: exactly the kinds on hot-pluggable buses", () => {
  const kinds = table.map(({ disk }) => disk.kind).filter(isHotPluggable);
  assert.deepEqual(kinds, ["nvme", "virtio-blk", "scsi", "usb"]);
});

test("planPorts: disks that need a port get one in order, the rest are free", () => {
  const disks: DiskOptions[] = [
    { id: "u", kind: "usb", path },
    { id: "a", kind: "sata", path },
    { id: "n", kind: "nvme", path },
    { id: "c", kind: "cdrom" },
    { id: "v", kind: "virtio-blk", path },
  ];
  const plan = planPorts(disks, 2);
  assert.deepEqual(Object.fromEntries(plan.byDisk), {
    n: "port0",
    v: "port1",
    a: "ide.0",
    c: "ide.1",
  });
  assert.deepEqual(plan.freePciePorts, ["port2", "port3"]);
  assert.equal(plan.pciePortCount, 4);
});

test("planPorts refuses more ports than a machine has", () => {
  const sata = Array.from({ length: 7 }, (_, n) => ({ id: `d${n}`, kind: "sata" as const, path }));
  assert.throws(() => planPorts(sata, 0), /7 SATA ports: 6 is the most/);
  assert.doesNotThrow(() => planPorts([], 112));
  assert.throws(() => planPorts([], 113), /113 PCI Express ports: 112 is the most/);
});

test("planPortDevice: eight ports share a slot, and each has its own address and chassis", () => {
  const ports = Array.from({ length: 112 }, (_, index) => planPortDevice(index));
  assert.equal(ports[0]?.addr, "10.0");
  assert.equal(ports[7]?.addr, "10.7");
  assert.equal(ports[8]?.addr, "11.0");
  assert.equal(ports[111]?.addr, "1d.7");
  assert.equal(new Set(ports.map((port) => port.addr)).size, 112);
  assert.equal(new Set(ports.map((port) => port.chassis)).size, 112);
  assert.deepEqual(
    ports.flatMap((port, index) => (port.multifunction === true ? [index] : [])).slice(0, 3),
    [0, 8, 16],
  );
});
