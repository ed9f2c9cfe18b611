/**
 * An operating system to be tried out: it counts its boots on the disk that it booted from and boots
 * the machine again, or ends in one of the ways in which a system under test ends.
 *
 * Kernel parameters choose: `counter.then=reboot|stay|order|forget|panic|hang`, `counter.name=TEXT`,
 * and for kexec, which leaves it no other way to know its disk, `counter.serial=SERIAL`.
 */

import { defineAppliance } from "diskomator/image";
import { consoles, memoryRoot, scriptOnly } from "./common.ts";

export default defineAppliance({
  name: "counter",
  title: "Diskomator counter",
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
    "util-linux",
    "sed",
    "openssh-server",
  ],
  excludeDependencies: {
    ...scriptOnly,
    passwd: "accounts come from sysusers.d",
    "runit-helper": "for another init system",
    ucf: "no maintainer script runs",
    "lsb-base": "for init scripts, of which there are none",
    "linux-base": "for kernels that are installed one beside the other",
    "initramfs-tools": "the builder makes the initrd",
  },

  kernel: {
    package: "linux-image-cloud-amd64",
    classes: ["efi"],
    modules: ["virtio_net", "virtio_blk", "nvme"],
  },

  filesFrom: "counter",
  enable: ["counter.service", "ssh.service", "systemd-networkd.service"],
  mask: ["systemd-networkd-wait-online.service"],
  defaultTarget: "counter.target",
  kernelCommandLine: [...memoryRoot, ...consoles, "quiet", "loglevel=4", "panic=3"],
});
