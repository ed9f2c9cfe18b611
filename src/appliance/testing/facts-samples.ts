/** Facts of typical disks, for tests: as a machine with one of each kind gives them. */
import type { BlockFacts } from "../facts.ts";

const base: BlockFacts = {
  name: "sda",
  devicePath: "/devices/pci0000:00/0000:00:1f.2/ata1/host0/target0:0:0/0:0:0:0/block/sda",
  diskSequence: 9,
  sectors512: 2_097_152,
  blockSizeBytes: 512,
  readOnly: false,
  removable: false,
  hidden: false,
  wwid: null,
  transports: [],
  udev: {},
  partitions: [],
};

/** Facts with some of them replaced. */
export function sampleFacts(change: Partial<BlockFacts>): BlockFacts {
  return { ...base, ...change };
}

/** An NVMe disk with an EUI-64. */
export const nvmeFacts = sampleFacts({
  name: "nvme0n1",
  devicePath: "/devices/pci0000:00/0000:00:01.1/0000:01:00.0/nvme/nvme0/nvme0n1",
  diskSequence: 10,
  wwid: "eui.0025385b71b0a3f1",
  transports: ["pcie"],
  udev: {
    ID_SERIAL_SHORT: "S5GXNX0R123456",
    ID_MODEL: "Samsung SSD 980 1TB",
    ID_REVISION: "2B4QFXO7",
    ID_SERIAL: "Samsung_SSD_980_1TB_S5GXNX0R123456_1",
    ID_PATH: "pci-0000:01:00.0-nvme-1",
    DEVLINKS: "/dev/disk/by-id/nvme-Samsung_SSD_980_1TB_S5GXNX0R123456",
  },
});

/** A USB stick that was booted from. */
export const stickFacts = sampleFacts({
  name: "sdb",
  devicePath:
    "/devices/pci0000:00/0000:00:14.0/usb2/2-3/2-3:1.0/host6/target6:0:0/6:0:0:0/block/sdb",
  diskSequence: 11,
  removable: true,
  udev: {
    ID_BUS: "usb",
    ID_MODEL: "Ultra_Fit",
    ID_MODEL_ENC: "Ultra\\x20Fit\\x20\\x20\\x20",
    ID_REVISION: "1.00",
    ID_SERIAL: "SanDisk_Ultra_Fit_4C530001230101117392-0:0",
    ID_SERIAL_SHORT: "4C530001230101117392",
    ID_PATH: "pci-0000:00:14.0-usb-0:3:1.0-scsi-0:0:0:0",
  },
  partitions: [
    { name: "sdb1", udev: { ID_PART_ENTRY_UUID: "5f0c1b4e-9d6f-4f51-8f7c-0a1b2c3d4e5f" } },
  ],
});

/** A virtio disk without a serial number. */
export const virtioFacts = sampleFacts({
  name: "vda",
  devicePath: "/devices/pci0000:00/0000:00:02.0/virtio1/block/vda",
  diskSequence: 12,
  udev: { ID_PATH: "pci-0000:00:02.0" },
});
