/** What a disk is recognised by. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { BlockFacts } from "./facts.ts";
import { type Disk, isDummySerial, takeInventory } from "./inventory.ts";
import { nvmeFacts, sampleFacts, stickFacts, virtioFacts } from "./testing/facts-samples.ts";

const identities: { name: string; facts: BlockFacts; identity: Disk["identity"] }[] = [
  {
    name: "EUI-64",
    facts: nvmeFacts,
    identity: { kind: "wwid", value: "eui.0025385b71b0a3f1", weak: false },
  },
  {
    name: "NAA name from sysfs",
    facts: sampleFacts({ wwid: "naa.5000c500a1b2c3d4" }),
    identity: { kind: "wwid", value: "naa.5000c500a1b2c3d4", weak: false },
  },
  {
    name: "NAA name from udev",
    facts: sampleFacts({ udev: { ID_WWN: "0x5000C500A1B2C3D4" } }),
    identity: { kind: "wwid", value: "naa.5000c500a1b2c3d4", weak: false },
  },
  {
    name: "QEMU's EUI-64, which all its disks share, gives way to the serial number",
    facts: { ...nvmeFacts, wwid: "eui.5254000000000001" },
    identity: { kind: "serial", value: "Samsung_SSD_980_1TB_S5GXNX0R123456_1", weak: false },
  },
  {
    name: "an EUI-64 of zeros is none",
    facts: { ...nvmeFacts, wwid: "eui.0000000000000000" },
    identity: { kind: "serial", value: "Samsung_SSD_980_1TB_S5GXNX0R123456_1", weak: false },
  },
  {
    name: "t10 names hold model and serial only",
    facts: sampleFacts({
      wwid: "t10.ATA     QEMU HARDDISK   QM00001",
      udev: { ID_SERIAL: "QEMU_HARDDISK_QM00001", ID_SERIAL_SHORT: "QM00001" },
    }),
    identity: { kind: "serial", value: "QEMU_HARDDISK_QM00001", weak: true },
  },
  {
    name: "USB serial number",
    facts: stickFacts,
    identity: { kind: "serial", value: "SanDisk_Ultra_Fit_4C530001230101117392-0:0", weak: false },
  },
  {
    name: "a bridge's dummy serial number falls back to the place",
    facts: sampleFacts({
      udev: {
        ID_SERIAL: "JMicron_Generic_0123456789ABCDEF-0:0",
        ID_SERIAL_SHORT: "0123456789ABCDEF",
        ID_PATH: "pci-0000:00:14.0-usb-0:1:1.0-scsi-0:0:0:0",
      },
    }),
    identity: {
      kind: "path",
      value: "pci-0000:00:14.0-usb-0:1:1.0-scsi-0:0:0:0",
      weak: true,
    },
  },
  {
    name: "no serial number at all",
    facts: virtioFacts,
    identity: { kind: "path", value: "pci-0000:00:02.0", weak: true },
  },
  {
    name: "nothing from udev",
    facts: { ...virtioFacts, udev: null },
    identity: { kind: "path", value: virtioFacts.devicePath, weak: true },
  },
];

for (const { name, facts, identity } of identities) {
  test(`takeInventory finds the identity: ${name}`, () => {
    assert.deepEqual(takeInventory(facts).identity, identity);
  });
}

test("takeInventory gives model, serial, firmware, size and transport", () => {
  const { model, serial, firmware, sizeBytes, transport } = takeInventory(nvmeFacts);
  assert.deepEqual(
    [model, serial, firmware, sizeBytes, transport],
    ["Samsung SSD 980 1TB", "S5GXNX0R123456", "2B4QFXO7", 1_073_741_824, "nvme"],
  );
  assert.equal(takeInventory(stickFacts).model, "Ultra Fit");
  assert.equal(takeInventory(stickFacts).transport, "usb");
  assert.equal(takeInventory(virtioFacts).transport, "virtio");
  assert.equal(takeInventory({ ...nvmeFacts, transports: ["tcp"] }).transport, "nvme-tcp");
});

test("takeInventory keeps only printable ASCII", () => {
  const udev = { ID_MODEL: "D\u00efsk\u0007\x1b[31m", ID_SERIAL_SHORT: "  A\tB " };
  const { model, serial } = takeInventory(sampleFacts({ udev }));
  assert.deepEqual([model, serial], ["D sk [31m", "A B"]);
});

test("isDummySerial tells made-up numbers from real ones", () => {
  const dummies = ["", "   ", "000000", "123456789ABC", "0123456789", "FFFFFFFF", "none", "----"];
  assert.deepEqual(
    dummies.filter((serial) => !isDummySerial(serial)),
    [],
  );
  const real = ["S5GXNX0R123456", "4C530001230101117392", "WD-WCC4E1234567", "QM00001"];
  assert.deepEqual(real.filter(isDummySerial), []);
});
