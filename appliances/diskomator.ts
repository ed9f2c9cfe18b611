/** The appliance itself: boots from one EFI file and exports every disk as NVMe/TCP. */

import { defineAppliance } from "../src/image/index.ts";
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
    "libpam-systemd",
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
    // What Node.js links against
    "libstdc++6",
  ],
  excludeDependencies: { ...scriptOnly },

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
  },
  filesFrom: "diskomator",

  enable: [
    "diskomator.service",
    "systemd-networkd.service",
    "systemd-resolved.service",
    "ssh.service",
  ],
  mask: ["getty@tty1.service"],
  defaultTarget: "diskomator.target",
  kernelCommandLine: [...memoryRoot, ...consoles, "quiet", "loglevel=4"],
});
