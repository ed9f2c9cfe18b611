/**
 * The programs of the system that the commands need, and how each system installs them.
 *
 * One line for each: what to look for, who needs it, and its package by package manager. A name
 * without a slash is looked for on PATH; where a list of files is given, one is enough.
 */

/** In which order a line of the table names the packages. */
export const managers = ["apt", "dnf", "pacman", "zypper", "brew"];

const boots = ["start", "test", "test:full"];
const tests = ["test", "test:full"];

const firmware = [
  "/usr/share/OVMF/OVMF_CODE_4M.fd",
  "/usr/share/OVMF/OVMF_CODE.fd",
  "/usr/share/edk2/ovmf/OVMF_CODE.fd",
  "/usr/share/edk2/x64/OVMF_CODE.4m.fd",
  "/usr/share/edk2-ovmf/x64/OVMF_CODE.fd",
  "/usr/share/qemu/ovmf-x86_64-4m-code.bin",
  "/usr/share/qemu/edk2-x86_64-code.fd",
  "/opt/homebrew/share/qemu/edk2-x86_64-code.fd",
  "/usr/local/share/qemu/edk2-x86_64-code.fd",
];

/** Packages as one text, in the order of `managers`; `-` where the system does without. */
const table = [
  ["qemu-system-x86_64", boots, "qemu-system-x86 qemu-system-x86 qemu-system-x86 qemu-x86 qemu"],
  [firmware, boots, "ovmf edk2-ovmf edk2-ovmf qemu-ovmf-x86_64 -"],
  ["ssh", boots, "openssh-client openssh-clients openssh openssh-clients -"],
  ["mkfs.ext4", tests, "e2fsprogs e2fsprogs e2fsprogs e2fsprogs e2fsprogs"],
  ["mkfs.btrfs", tests, "btrfs-progs btrfs-progs btrfs-progs btrfsprogs -"],
  ["mkfs.xfs", tests, "xfsprogs xfsprogs xfsprogs xfsprogs -"],
  ["mkfs.f2fs", tests, "f2fs-tools f2fs-tools f2fs-tools f2fs-tools -"],
  ["mkfs.erofs", tests, "erofs-utils erofs-utils erofs-utils erofs-utils -"],
  ["mkfs.exfat", tests, "exfatprogs exfatprogs exfatprogs exfatprogs -"],
  ["mkntfs", tests, "ntfs-3g ntfsprogs ntfs-3g ntfsprogs -"],
  ["mksquashfs", tests, "squashfs-tools squashfs-tools squashfs-tools squashfs squashfs"],
  ["perl", tests, "perl-base perl-interpreter perl perl -"],
  ["xorriso", tests, "xorriso xorriso libisoburn xorriso xorriso"],
  ["cryptsetup", tests, "cryptsetup-bin cryptsetup cryptsetup cryptsetup -"],
  ["veritysetup", tests, "cryptsetup-bin veritysetup cryptsetup cryptsetup -"],
  ["mkswap", tests, "util-linux util-linux util-linux util-linux -"],
  ["blkid", tests, "util-linux util-linux util-linux util-linux -"],
  ["fallocate", tests, "util-linux util-linux util-linux util-linux -"],
  ["fdisk", tests, "fdisk util-linux util-linux util-linux -"],
  ["tshark", tests, "tshark wireshark-cli wireshark-cli wireshark wireshark"],
  ["systemd-sysusers", tests, "systemd-standalone-sysusers systemd systemd systemd -"],
  ["sgdisk", tests, "gdisk gdisk gptfdisk gptfdisk gptfdisk"],
  ["fsck.vfat", tests, "dosfstools dosfstools dosfstools dosfstools dosfstools"],
  ["mcopy", tests, "mtools mtools mtools mtools mtools"],
  ["objdump", tests, "binutils binutils binutils binutils binutils"],
  ["sbverify", tests, "sbsigntool sbsigntools sbsigntools sbsigntools -"],
  ["openssl", tests, "openssl openssl openssl openssl openssl"],
  ["python3", tests, "python3 python3 python python3 python3"],
  ["xz", tests, "xz-utils xz xz xz xz"],
  ["cpio", tests, "cpio cpio cpio cpio -"],
  ["depmod", tests, "kmod kmod kmod kmod -"],
  ["ip", tests, "iproute2 iproute iproute2 iproute2 -"],
];

/** The table, with names: `{ find, commands, packages }`. */
export const systemPrograms = table.map(([find, commands, packages]) => ({
  find: Array.isArray(find) ? find : [find],
  commands,
  packages: Object.fromEntries(
    packages.split(" ").flatMap((name, at) => (name === "-" ? [] : [[managers[at], name]])),
  ),
}));
