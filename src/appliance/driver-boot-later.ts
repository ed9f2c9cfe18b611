/**
 * The boot control, loaded when somebody asks for it, or when the box finds its note in the firmware:
 * most boxes boot none of their disks, and it takes the part that reads disks along.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { BootControl } from "./driver-boot-control.ts";
import { efiVariables, noteName, noteVendor } from "./efi-names.ts";
import type { Log } from "./log.ts";

/** As `BootControl`; what it does at its start it does now only if there is something to do. */
export function bootLater(
  root: string,
  log: Log,
  now: () => Date,
): Pick<BootControl, "prepare" | "state" | "takeBack"> {
  let loaded: Promise<BootControl> | undefined;
  const control = (): Promise<BootControl> => {
    loaded ??= import("./driver-boot-control.ts").then(
      (module) => new module.BootControl(root, log, now),
    );
    return loaded;
  };
  if (existsSync(join(root, efiVariables, `${noteName}-${noteVendor}`))) void control();
  return {
    prepare: async (request) => (await control()).prepare(request),
    takeBack: async () => (await control()).takeBack(),
    state: async () => (await control()).state(),
  };
}
