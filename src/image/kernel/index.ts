export { type ClassRule, moduleClasses } from "./classes.ts";
export { depmod, type IndexFile } from "./depmod.ts";
export {
  type FirmwareDemand,
  type FirmwareSelection,
  type MissingFirmware,
  type ModuleFirmware,
  selectFirmware,
} from "./firmware.ts";
export {
  type KernelJobInput,
  type KernelJobOutput,
  type KernelReport,
  kernelJob,
  type ReportedModule,
} from "./job.ts";
export { microcodeEntries } from "./microcode.ts";
export { type KernelFiles, type KernelModule, readKernelFiles } from "./modules.ts";
export {
  type ChosenModule,
  type ModuleChoice,
  type ModuleReason,
  type Selection,
  selectModules,
} from "./select.ts";
