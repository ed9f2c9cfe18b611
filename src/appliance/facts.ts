/** What the kernel and udev say of a block device, before anybody judges it. */

/** udev's properties of a device, by name: `ID_SERIAL`, `ID_PART_ENTRY_UUID`. */
export type Properties = Readonly<Record<string, string>>;

/** A partition that the kernel found on a disk. */
export interface PartitionFacts {
  /** Kernel name: `sda1`. */
  readonly name: string;
  /** Null until udev has processed the partition. */
  readonly udev: Properties | null;
}

/** A block device of `/sys/class/block` that is no partition, as it was found at one moment. */
export interface BlockFacts {
  /** Kernel name: `nvme0n1`. It may mean another disk at the next boot. */
  readonly name: string;
  /** Path below /sys: `/devices/pci0000:00/0000:00:02.0/virtio1/block/vda`. */
  readonly devicePath: string;
  /** The kernel's count of disks and media since boot; never the same for two of them. */
  readonly diskSequence: number | null;
  /** In units of 512 bytes, whatever the block size, as the kernel gives it. */
  readonly sectors512: number;
  readonly blockSizeBytes: number;
  readonly readOnly: boolean;
  readonly removable: boolean;
  /** A path of a multipath NVMe disk, which is shown as a whole under another name. */
  readonly hidden: boolean;
  /** The kernel's own world-wide name: `eui.…`, `naa.…`, `uuid.…`, `t10.…`, `nvme.…`. */
  readonly wwid: string | null;
  /** Transports of the NVMe controllers behind the disk: `pcie`, `tcp`; empty for others. */
  readonly transports: readonly string[];
  /** Null until udev has processed the disk. */
  readonly udev: Properties | null;
  readonly partitions: readonly PartitionFacts[];
}
