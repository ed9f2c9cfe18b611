/**
 * Somebody else's Linux on the network of a box, for tests: it scans ports, looks for NVMe discovery
 * controllers as nvme-stas does, and has no key. Driven over the serial line, as the probe.
 */

import { defineAppliance } from "diskomator/image";
import { consoles, memoryRoot, scriptOnly } from "./common.ts";

export default defineAppliance({
  name: "stranger",
  title: "Diskomator stranger",
  version: "0.1.0",
  release: "trixie",
  architecture: "amd64",
  components: ["main"],

  packages: [
    "base-files",
    "systemd",
    "systemd-sysv",
    "udev",
    "dbus",
    "kmod",
    "libzstd1",
    "bash",
    "dash",
    "coreutils",
    "grep",
    "util-linux",
    "iproute2",
    "nvme-cli",
    "nvme-stas",
    "avahi-daemon",
    "nmap",
  ],
  excludeDependencies: { ...scriptOnly },

  // What nmap knows of systems and services; that a port is open it finds out without.
  excludeFiles: ["usr/share/nmap/{scripts,nselib}/**", "usr/share/nmap/nmap-os-db"],

  kernel: {
    package: "linux-image-cloud-amd64",
    classes: ["nvme-host", "tls"],
    modules: ["virtio_net"],
  },

  filesFrom: "probe",
  files: {
    // What the package's script makes by adduser.
    "usr/lib/sysusers.d/avahi.conf": {
      content: 'u avahi - "Avahi mDNS daemon" /run/avahi-daemon\n',
    },
    // What the package's script makes by update-alternatives; nmap is linked with it.
    "usr/lib/x86_64-linux-gnu/libblas.so.3": { content: { symlink: "blas/libblas.so.3" } },
  },
  enable: ["probe-shell.service", "systemd-networkd.service"],
  defaultTarget: "probe.target",
  kernelCommandLine: [...memoryRoot, ...consoles, "quiet", "loglevel=4"],
});
