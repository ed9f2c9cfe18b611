export {
  blockDeviceContract,
  type ContractCase,
  type ContractDisk,
  type MakeDisk,
} from "./contract.ts";
export { type BlockDevice, BlockError, type BlockErrorCode, type CallOptions } from "./device.ts";
export { digestBytes, digestsLength, digestUnits, isZeroDigest } from "./digests.ts";
export {
  type DigestedRange,
  Digester,
  type DigesterOptions,
  type DigestRange,
} from "./driver-digests.ts";
export { deviceNumber, FileDisk, type FileDiskOptions, filePlaceOf } from "./driver-file.ts";
export { type Fault, type FaultyDisk, faultyDisk } from "./faulty.ts";
export { type BlockCall, CallGate, type Shape } from "./gate.ts";
export { MemoryDisk, type MemoryDiskOptions } from "./memory.ts";
export { OverlayDisk, type OverlayOptions } from "./overlay.ts";
