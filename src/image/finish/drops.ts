/** Paths that stay out of the image although a package ships them. */

const generators = "usr/lib/systemd/system-generators/";
const rules = "usr/lib/udev/rules.d/";
const scriptLeft = "Made for maintainer scripts, which are not run.";
const touchesDisks = "It would mount, swap on or unlock what lies on the machine's disks.";
const assembles = "It assembles or activates volumes as soon as their disks appear.";
const enabledByName = "What runs is enabled by name, never found out at boot.";
const remote = "It connects to disks of other machines as events come in.";

/**
 * Path, or glob (`*` in one directory, `**` across), → why it stays out. A directory's contents are
 * named by a glob of their own.
 */
export const dropPaths: Readonly<Record<string, string>> = {
  // Finishing puts links in their place; an archive must not hold both.
  "var/run": "Replaced by a link to /run.",
  "var/run/**": "Replaced by a link to /run.",
  "var/lock": "Replaced by a link to /run/lock.",
  "var/lock/**": "Replaced by a link to /run/lock.",
  // Generators run one by one before anything else does.
  [`${generators}systemd-gpt-auto-generator`]: touchesDisks,
  [`${generators}systemd-fstab-generator`]: touchesDisks,
  [`${generators}systemd-hibernate-resume-generator`]: touchesDisks,
  [`${generators}systemd-cryptsetup-generator`]: touchesDisks,
  [`${generators}systemd-veritysetup-generator`]: touchesDisks,
  [`${generators}systemd-integritysetup-generator`]: touchesDisks,
  [`${generators}systemd-bless-boot-generator`]: touchesDisks,
  [`${generators}lvm2-activation-generator`]: assembles,
  [`${generators}zram-generator`]: "It would swap, and zram devices look like disks.",
  [`${generators}nfs-server-generator`]: enabledByName,
  [`${generators}rpc-pipefs-generator`]: enabledByName,
  [`${generators}systemd-getty-generator`]:
    "It puts a login prompt on every console of the command line, where the appliance's screen is.",
  [`${generators}systemd-import-generator`]: "It downloads images that the command line names.",
  [`${generators}systemd-rc-local-generator`]: enabledByName,
  [`${generators}systemd-ssh-generator`]: "It opens further doors to sshd (AF_VSOCK, AF_UNIX).",
  [`${generators}systemd-system-update-generator`]: enabledByName,
  [`${generators}systemd-sysv-generator`]: "There are no init scripts.",
  [`${generators}systemd-tpm2-generator`]: "Nothing unseals keys; boot must not wait for a TPM.",
  // udev rules that do more than name what they see.
  [`${rules}01-md-raid-creating.rules`]: assembles,
  [`${rules}63-md-raid-arrays.rules`]: assembles,
  [`${rules}64-md-raid-assembly.rules`]: assembles,
  [`${rules}69-md-clustered-confirm-device.rules`]: assembles,
  [`${rules}56-lvm.rules`]: assembles,
  [`${rules}69-lvm.rules`]: assembles,
  [`${rules}56-dm-mpath.rules`]: assembles,
  [`${rules}56-dm-parts.rules`]: assembles,
  [`${rules}60-kpartx.rules`]: assembles,
  [`${rules}60-multipath.rules`]: assembles,
  [`${rules}68-del-part-nodes.rules`]: "It deletes partitions of multipath disks from the kernel.",
  [`${rules}64-btrfs.rules`]: "It tells the kernel's btrfs to open every member that it sees.",
  [`${rules}64-btrfs-dm.rules`]: assembles,
  [`${rules}64-btrfs-zoned.rules`]: "It changes the scheduler of zoned disks.",
  [`${rules}64-xfs.rules`]: "For desktops that mount by themselves.",
  [`${rules}64-ext4.rules`]: "For desktops that mount by themselves.",
  [`${rules}69-bcache.rules`]: assembles,
  [`${rules}65-drbd.rules`]: assembles,
  [`${rules}80-udisks2.rules`]: assembles,
  [`${rules}96-e2scrub.rules`]: "For snapshots that e2scrub makes.",
  [`${rules}90-iocost.rules`]: "It tunes disks from the hardware database, which is not there.",
  [`${rules}70-nvmf-autoconnect.rules`]: remote,
  [`${rules}70-open-iscsi.rules`]: remote,
  // The hardware database: 9 MB of text for a binary of 13 MB that only names devices.
  "usr/lib/udev/hwdb.d/**": "Not compiled: udev does without, and names devices by their own data.",
  // Other things that only scripts, or a system that is kept, would read.
  "etc/init.d/**": "There are no init scripts.",
  "etc/rc*.d/**": "There are no init scripts.",
  "etc/runit/**": "Another init system's.",
  "etc/sv/**": "Another init system's.",
  "etc/cron.*/**": "No cron.",
  "etc/apt/**": "There is no package database in the image.",
  "etc/kernel/**": scriptLeft,
  "etc/initramfs-tools/**": scriptLeft,
  "usr/share/initramfs-tools/**": scriptLeft,
  "usr/share/debconf/**": scriptLeft,
  "etc/ssh/moduli":
    "592 kB for one key exchange that no client needs; sshd has built-in groups for it.",
};

/** Generators that may stay: they act on the command line only, and only when asked to. */
export const knownGenerators: Readonly<Record<string, string>> = {
  [`${generators}systemd-debug-generator`]: "systemd.mask=, systemd.wants=, systemd.debug_shell.",
  [`${generators}systemd-run-generator`]: "systemd.run=, for tests that boot.",
};
