/** The probe with the newest kernel that Debian has for its release, which is years newer. */

import { defineAppliance } from "diskomator/image";
import probe from "./probe.ts";

export default defineAppliance({
  ...probe,
  name: "probe-backports",
  backports: ["linux-image-cloud-amd64", "linux-base"],
  excludeDependencies: { ...probe.excludeDependencies, dracut: "the builder makes the initrd" },
});
