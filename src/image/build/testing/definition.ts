/** The least that is a definition, for tests that need one. */

import type { ApplianceDefinition } from "../../definition.ts";

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
