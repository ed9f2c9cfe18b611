/** Each disk that is not exported has its reason. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Config, defaultConfig } from "./config.ts";
import type { DiskChoices } from "./disk-choices.ts";
import type { BlockFacts } from "./facts.ts";
import { takeInventory } from "./inventory.ts";
import { type BootVerdict, judge } from "./policy.ts";
import { nvmeFacts, sampleFacts, stickFacts } from "./testing/facts-samples.ts";

const noChoices: DiskChoices = { withdrawn: new Set(), offered: new Set() };

function codeOf(
  facts: BlockFacts,
  config: Config = defaultConfig,
  boot: BootVerdict = "other",
  choices = noChoices,
) {
  return judge(facts, takeInventory(facts), config, boot, choices)?.code ?? null;
}

const kinds: [name: string, change: Partial<BlockFacts>, code: string | null][] = [
  ["a SATA disk", {}, null],
  ["an eMMC", { name: "mmcblk0" }, null],
  ["a loop device", { name: "loop0" }, "loop"],
  ["a RAM disk", { name: "ram0" }, "ram"],
  ["compressed swap", { name: "zram0" }, "zram"],
  ["a logical volume", { name: "dm-0" }, "composed"],
  ["a RAID", { name: "md127" }, "composed"],
  ["a floppy drive", { name: "fd0" }, "floppy"],
  ["a CD drive without a disc", { name: "sr0", udev: { ID_CDROM: "1" } }, "empty"],
  ["a CD", { readOnly: true, udev: { ID_CDROM: "1", ID_CDROM_MEDIA: "1" } }, "optical"],
  ["a writable DVD", { udev: { ID_CDROM: "1", ID_CDROM_MEDIA: "1" } }, "optical"],
  ["a network block device", { name: "nbd0" }, "network"],
  ["NVMe over TCP", { name: "nvme1n1", transports: ["tcp"] }, "nvme-of"],
  ["NVMe over both", { name: "nvme1n1", transports: ["pcie", "rdma"] }, "nvme-of"],
  ["a path of a multipath disk", { name: "nvme0c0n1", hidden: true }, "hidden"],
  ["an empty card reader", { sectors512: 0 }, "empty"],
  ["a card with its switch on lock", { readOnly: true }, null],
  ["a disk that udev has not seen", { udev: null }, "waiting"],
];

for (const [name, change, code] of kinds) {
  test(`judge: ${name}: ${code ?? "exported"}`, () => {
    assert.equal(codeOf(sampleFacts(change)), code);
  });
}

test("judge keeps the boot medium back unless it is asked for too", () => {
  assert.equal(codeOf(stickFacts, defaultConfig, "boot"), "boot-medium");
  assert.equal(codeOf(stickFacts, defaultConfig, "maybe-boot"), "boot-medium");
  assert.equal(codeOf(stickFacts, defaultConfig, "waiting"), "waiting");
  const all: Config = { ...defaultConfig, export: "all-and-boot-medium" };
  assert.equal(codeOf(stickFacts, all, "boot"), null);
});

test("judge takes listed disks by name, path, link, serial number or identity", () => {
  const listed = (...devices: string[]): Config => {
    return { ...defaultConfig, export: "listed", devices };
  };
  const entries = [
    "nvme0n1",
    "/dev/nvme0n1",
    "/dev/disk/by-id/nvme-Samsung_SSD_980_1TB_S5GXNX0R123456",
    "S5GXNX0R123456",
    "eui.0025385b71b0a3f1",
  ];
  assert.deepEqual(
    entries.filter((entry) => codeOf(nvmeFacts, listed(entry)) !== null),
    [],
  );
  assert.equal(codeOf(nvmeFacts, listed("sda", "", "nvme0n")), "not-listed");
});

test("judge keeps to what has been chosen for a disk, but never offers the boot medium", () => {
  const facts = sampleFacts({});
  const only = new Set([takeInventory(facts).identity.value]);
  const listed: Config = { ...defaultConfig, export: "listed", devices: ["other"] };
  assert.equal(
    codeOf(facts, defaultConfig, "other", { ...noChoices, withdrawn: only }),
    "withdrawn",
  );
  assert.equal(codeOf(facts, listed), "not-listed");
  assert.equal(codeOf(facts, listed, "other", { ...noChoices, offered: only }), null);
  assert.equal(codeOf(facts, listed, "boot", { ...noChoices, offered: only }), "boot-medium");
});
