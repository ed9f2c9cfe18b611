/** Full device paths, from what a firmware said and from what Linux shows. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type DiskPlace, findDiskPath } from "./disk-path.ts";

const bytes = (hex: string) => new Uint8Array(Buffer.from(hex.replace(/\s/g, ""), "hex"));
const hexOf = (data: Uint8Array | null) => data && Buffer.from(data).toString("hex");

const root = "02010c00d041030a00000000";
const otherRoot = "02010c00d041030a01000000";
const pci = (device: number, fn: number): string =>
  `01010600${Buffer.from([fn, device]).toString("hex")}`;
const nvme = (nsid: number, eui = "0000000000000000"): string => `031710000${nsid}000000${eui}`;
const sata = (port: number, multiplier = "ffff"): string => `03120a000${port}00${multiplier}0000`;
const usb = (port: number): string => `030506000${port}00`;
const partition = `04012a00${"00".repeat(38)}`;
const file = "0404080041000000";
const option = (...nodes: string[]) => {
  return { attributes: 1, description: "x", path: bytes(`${nodes.join("")}7fff0400`) };
};

/** Of OVMF (edk2-stable202211): `UEFI QEMU NVMe Ctrl RUN-OS 1`. */
const qemu = option(
  "02010c00d041030a00000000 010106000010 010106000000 031710000100000000000000 00000000",
);
const qemuPlace: DiskPlace = {
  devicePath: "/devices/pci0000:00/0000:00:10.0/0000:01:00.0/nvme/nvme0/nvme0n1",
  rootUid: 0,
  nvme: { nsid: 1, eui: null },
  ataPort: null,
};
const eui = bytes("0025385b71b0a3f1");
const real: DiskPlace = { ...qemuPlace, nvme: { nsid: 1, eui } };
const way = [root, pci(0x10, 0), pci(0, 0)];
const realPath = [...way, nvme(1, "0025385b71b0a3f1")];
/** Says how the firmware calls its root, and nothing of the disk. */
const network = option(root, pci(4, 0), "030b2500".padEnd(74, "0"));
const virtio: DiskPlace = {
  devicePath: "/devices/pci0000:00/0000:00:02.0/virtio1/block/vda",
  rootUid: 0,
  nvme: null,
  ataPort: null,
};
const ata: DiskPlace = {
  devicePath: "/devices/pci0000:00/0000:00:1f.2/ata3/host2/target2:0:0/2:0:0:0/block/sda",
  rootUid: 0,
  nvme: null,
  ataPort: 2,
};
const stick: DiskPlace = {
  ...ata,
  devicePath:
    "/devices/pci0000:00/0000:00:14.0/usb2/2-3/2-3:1.0/host6/target6:0:0/6:0:0:0/block/sdb",
  ataPort: null,
};
const behindVmd =
  "/devices/pci0000:00/0000:00:0e.0/pci10000:e0/10000:e0:06.0/10000:e1:00.0/nvme/nvme0/nvme0n1";

const rows: readonly [
  name: string,
  place: DiskPlace,
  options: Parameters<typeof findDiskPath>[1],
  path: readonly string[] | null,
][] = [
  ["what the firmware says", qemuPlace, [network, qemu, null], [...way, nvme(1)]],
  ["without partition and file", real, [option(...realPath, partition, file)], realPath],
  [
    "two options for the same disk",
    qemuPlace,
    [qemu, option(...way, nvme(1), partition)],
    [...way, nvme(1)],
  ],
  [
    "two options that differ, and no EUI-64 to decide",
    qemuPlace,
    [qemu, option(...realPath)],
    null,
  ],
  ["two options that differ, and one has its EUI-64", real, [qemu, option(...realPath)], realPath],
  ["made from an EUI-64, and the firmware's word for the root", real, [network], realPath],
  ["a disk that was in the slot before", real, [qemu], realPath],
  ["another namespace", qemuPlace, [option(...way, nvme(2))], null],
  ["another slot", qemuPlace, [option(root, pci(1, 0), pci(0, 0), nvme(1))], null],
  ["an EUI-64 that the kernel does not show", qemuPlace, [network], null],
  ["nobody says what the root is called", real, [], null],
  ["another root", { ...real, rootUid: 1 }, [network, qemu], null],
  [
    "its own root among two",
    { ...real, rootUid: 1 },
    [option(otherRoot, pci(1, 0))],
    [otherRoot, ...realPath.slice(1)],
  ],
  ["a root without a number", { ...real, rootUid: null }, [option(...realPath)], null],
  ["made for virtio", virtio, [network], [root, pci(2, 0)]],
  [
    "what the firmware says of virtio",
    virtio,
    [option(root, pci(2, 0), partition)],
    [root, pci(2, 0)],
  ],
  ["SATA at its port", ata, [option(root, pci(0x1f, 2), sata(2))], [root, pci(0x1f, 2), sata(2)]],
  [
    "SATA as older firmware has it",
    ata,
    [option(root, pci(0x1f, 2), sata(2, "0080"))],
    [root, pci(0x1f, 2), sata(2, "0080")],
  ],
  ["SATA at another port", ata, [option(root, pci(0x1f, 2), sata(1))], null],
  ["SATA behind a multiplier", ata, [option(root, pci(0x1f, 2), sata(2, "0100"))], null],
  ["SATA of which no option tells", ata, [network], null],
  ["USB at its port", stick, [option(root, pci(0x14, 0), usb(2))], [root, pci(0x14, 0), usb(2)]],
  ["USB at another port", stick, [option(root, pci(0x14, 0), usb(4))], null],
  ["USB of which no option tells", stick, [network], null],
  [
    "behind what puts a root of its own in between",
    { ...real, devicePath: behindVmd },
    [network],
    null,
  ],
  [
    "no PCI",
    { ...real, devicePath: "/devices/platform/x/mmc_host/mmc0/mmc0:1/block/mmcblk0" },
    [network],
    null,
  ],
];

for (const [name, place, options, path] of rows) {
  test(`findDiskPath: ${name}`, () => {
    assert.equal(hexOf(findDiskPath(place, options)), path?.join("") ?? null);
  });
}

test("findDiskPath takes any bytes for an option", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), (path) => {
      findDiskPath(real, [{ attributes: 1, description: "x", path }]);
    }),
    { seed: 20261123, numRuns: 500 },
  );
});
