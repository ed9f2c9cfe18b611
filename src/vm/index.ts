export {
  type Link,
  makeLink,
  makeScratchDisk,
  makeScratchFolder,
  type ScratchDisk,
  type ScratchFolder,
} from "./driver-files.ts";
export { findFirmware } from "./driver-host.ts";
export { exitError, type VmExit } from "./driver-process.ts";
export { startVm } from "./driver-qemu.ts";
export type { Qmp } from "./driver-qmp.ts";
export type { Vm } from "./driver-vm.ts";
export type { WaitOptions } from "./driver-wait.ts";
export { VmError, type VmErrorCode } from "./error.ts";
export type {
  Accelerator,
  DiskKind,
  DiskOptions,
  Firmware,
  NicNetwork,
  NicOptions,
  SmbiosOptions,
  TcgThreads,
  VmOptions,
} from "./options.ts";
export type { QmpEvent } from "./qmp.ts";
export type { SerialMatch } from "./serial.ts";
