/** Linux for tests: the kernel's own NVMe/TCP host and target, driven over the serial line. */

import { defineAppliance } from "diskomator/image";
import { consoles, memoryRoot, scriptOnly } from "./common.ts";

export default defineAppliance({
  name: "probe",
  title: "Diskomator probe",
  version: "0.1.0",
  release: "trixie",
  architecture: "amd64",
  components: ["main"],

  packages: [
    "base-files",
    "systemd",
    "systemd-sysv",
    "udev",
    "kmod",
    "libzstd1",
    "bash",
    "dash",
    "coreutils",
    "grep",
    "util-linux",
    "iproute2",
    "nvme-cli",
    "fio",
    "ktls-utils",
    "keyutils",
    "e2fsprogs",
    "xfsprogs",
  ],
  excludeDependencies: {
    ...scriptOnly,
    python3: "scripts of fio that draw its results, and of xfsprogs",
    "python3-dbus": "a script of xfsprogs that runs xfs_scrub everywhere",
    libicu76: "names that look alike, for xfs_scrub",
  },

  kernel: {
    package: "linux-image-cloud-amd64",
    classes: ["nvme-host", "nvme-target", "tls"],
    // What the target is configured by, and disks for it that are made of memory and files.
    modules: ["virtio_net", "virtio_blk", "ext4", "xfs", "configfs", "null_blk", "loop"],
  },

  filesFrom: "probe",
  enable: ["probe-shell.service", "systemd-networkd.service"],
  defaultTarget: "probe.target",
  kernelCommandLine: [...memoryRoot, ...consoles, "quiet", "loglevel=4"],
});
