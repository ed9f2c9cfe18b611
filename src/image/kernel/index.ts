export { type ClassRule, moduleClasses } from "./classes.ts";
export type { MissingFirmware } from "./firmware.ts";
export {
  type KernelJobInput,
  type KernelJobOutput,
  type KernelReport,
  kernelJob,
  type ReportedModule,
} from "./job.ts";
