export {
  blockDeviceContract,
  type ContractCase,
  type ContractDisk,
  type MakeDisk,
} from "./contract.ts";
export { type BlockDevice, BlockError, type BlockErrorCode, type CallOptions } from "./device.ts";
export { FileDisk, type FileDiskOptions } from "./driver-file.ts";
export { type Fault, type FaultyDisk, faultyDisk } from "./faulty.ts";
export { type BlockCall, CallGate, type Shape } from "./gate.ts";
export { MemoryDisk, type MemoryDiskOptions } from "./memory.ts";
export { OverlayDisk, type OverlayOptions } from "./overlay.ts";
