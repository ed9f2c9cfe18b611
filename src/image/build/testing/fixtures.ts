/** The least that is a definition, a lock and a package of one, for tests that need them. */

import type { ApplianceDefinition } from "../../definition.ts";
import type { Lock, LockedPackage } from "../../lock.ts";

export const smallDefinition: ApplianceDefinition = {
  name: "box",
  title: "Box",
  version: "1",
  release: "trixie",
  architecture: "amd64",
  components: ["main"],
  packages: [],
  excludeDependencies: {},
  kernel: { package: "linux-image-amd64", classes: [] },
  enable: [],
  defaultTarget: "box.target",
  kernelCommandLine: [],
};

export const lockedPackage: LockedPackage = {
  name: "less",
  version: "1",
  architecture: "amd64",
  archive: "debian",
  path: "pool/less.deb",
  sizeBytes: 1,
  sha256: "0".repeat(64),
  scripts: {},
};

export const emptyLock: Lock = {
  format: 1,
  appliance: "box",
  releases: [],
  packages: [],
  npm: [],
  ids: {},
  epochSeconds: 1_795_000_000,
};
