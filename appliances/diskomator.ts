/** The appliance itself: boots from one EFI file and exports every disk as NVMe/TCP. */

import { defineAppliance } from "diskomator/image";
import { consoles, memoryRoot, scriptOnly } from "./common.ts";

export default defineAppliance({
  name: "diskomator",
  title: "Diskomator",
  version: "0.1.0",
  release: "trixie",
  architecture: "amd64",
  components: ["main", "non-free-firmware"],

  packages: [
    // The system
    "base-files",
    "systemd",
    "systemd-sysv",
    "udev",
    "systemd-resolved",
    "libnss-systemd",
    "dbus",
    "kmod",
    // What systemd opens at run time without depending on it
    "libzstd1",
    // The way in, and something to hold on to once there
    "openssh-server",
    "bash",
    "dash",
    "coreutils",
    "util-linux",
    "iproute2",
    "procps",
    "grep",
    "sed",
    "less",
    // What joins SSH to the daemon's socket; what does TLS handshakes for the kernel, and its keys
    "netcat-openbsd",
    "ktls-utils",
    "keyutils",
    // What disks say of their own health
    "smartmontools",
    // What starts another kernel without the firmware
    "kexec-tools",
    // What Node.js links against
    "libstdc++6",
  ],
  excludeDependencies: {
    ...scriptOnly,
    "dbus-session-bus-common": "there are no sessions with a bus of their own",
    dpkg: "only kexec-tools' maintainer scripts ask for it",
    "initramfs-tools": "the builder makes the initrd",
    "iucode-tool": "the builder reads microcode by itself",
    "libcap2-bin": "only iproute2's script calls setcap",
    "libdb5.3t64": "only arpd and pam_userdb open it, and excludeFiles takes both",
    libext2fs2t64: "of what libxenmisc4.20 brings only libxenctrl stays",
    liblzma5: "as libext2fs2t64",
    libxenhypfs1: "as libext2fs2t64",
    libxenstore4: "as libext2fs2t64",
    libyajl2: "as libext2fs2t64",
    "linux-base": "for kernels that are installed one beside the other",
    "lsb-base": "for init scripts, of which there are none",
    mawk: "nothing on the box is written in awk",
    "openssl-provider-legacy": "ciphers that are only there when a configuration loads them",
    passwd: "accounts come from sysusers.d, and nobody changes them on the box",
    "runit-helper": "for another init system",
    ucf: "no maintainer script runs",
  },
  excludeFiles: [
    // All that would open libdb.
    "usr/sbin/arpd",
    // kexec is linked with libxenctrl, and with nothing else of Xen; what else it comes with reads dumps,
    // and is for init scripts.
    "usr/lib/*/lib{xenguest,xenlight,xenstat,xenvchan,xlutil}.so*",
    "usr/lib/xen-4.20/**",
    "usr/lib/*/kexec-tools/**",
    "usr/sbin/{coldreboot,kexec-load-kernel,vmcore-dmesg}",
    "etc/default/kexec.d",
    // Disks are asked when somebody wants to know, and what is known of models is not updated.
    "usr/sbin/{smartd,update-smart-drivedb}",
    "usr/share/smartmontools/**",
    "usr/lib/*/security/pam_userdb.so",
    // Tables of character sets: everything here speaks UTF-8, which is built in.
    "usr/lib/*/gconv/**",
    // Rules that udev would read at every boot, for devices whose drivers are not in the image.
    "usr/lib/udev/rules.d/60-persistent-{alsa,v4l}.rules",
    "usr/lib/udev/rules.d/{60-sensor,70-camera,70-joystick,78-sound-card}.rules",
  ],

  kernel: {
    package: "linux-image-amd64",
    classes: [
      "network-wired",
      "network-usb",
      "network-virtual",
      "thunderbolt-net",
      "storage",
      "storage-usb",
      "nvme-target",
      "device-mapper",
      "filesystems-basic",
      "hid",
      "tls",
      "efi",
      "console",
    ],
    // What boots before the first disk is exported, on most machines.
    unpackedModules: [
      "nvme",
      "virtio_blk",
      "ahci",
      "xhci-pci",
      "sd_mod",
      "usb-storage",
      "uas",
      "configfs",
      "efivarfs",
      "autofs4",
      "nvme-keyring",
      "nvmet",
      "nvmet-tcp",
      "virtio_net",
      "virtio_scsi",
      "aesni-intel",
      "ghash-clmulni-intel",
      "crc32c-intel",
      "button",
      "evdev",
    ],
    firmwarePackages: [
      "firmware-bnx2",
      "firmware-bnx2x",
      "firmware-intel-misc",
      "firmware-linux-free",
      "firmware-misc-nonfree",
      "firmware-myricom",
      "firmware-netxen",
      "firmware-qlogic",
      "firmware-realtek",
    ],
    // 31 MB of memory for two families of cards that carry firmware of their own.
    excludeFirmware: ["netronome/**", "liquidio/**"],
    microcodePackages: ["intel-microcode", "amd64-microcode"],
  },

  node: true,
  programs: {
    "usr/lib/diskomator/daemon.mjs": { entry: "../src/appliance/driver-main.ts" },
    "usr/lib/diskomator/digest-thread.mjs": { entry: "../src/block/driver-digest-thread.ts" },
  },
  filesFrom: "diskomator",

  enable: [
    "diskomator.service",
    "systemd-networkd.service",
    "systemd-resolved.service",
    "ssh.service",
  ],
  mask: [
    // The daemon's screen is there.
    "getty@tty1.service",
    // networkd brings its wait along, which would hold up a box that has no network yet.
    "systemd-networkd-wait-online.service",
    // Nothing keeps state, brings credentials, or asks for a device before its driver is there.
    "systemd-networkd-persistent-storage.service",
    "systemd-udev-load-credentials.service",
    "kmod-static-nodes.service",
    "systemd-tmpfiles-setup-dev-early.service",
    "systemd-tmpfiles-setup-dev.service",
    // logind would load it for seats with graphics.
    "modprobe@drm.service",
    // File systems that nothing here uses; /tmp and /run/lock are in memory without them.
    "dev-hugepages.mount",
    "dev-mqueue.mount",
    "modprobe@fuse.service",
    "run-lock.mount",
    "sys-fs-fuse-connections.mount",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
    "tmp.mount",
  ],
  defaultTarget: "diskomator.target",
  kernelCommandLine: [...memoryRoot, ...consoles, "quiet", "loglevel=4"],
});
