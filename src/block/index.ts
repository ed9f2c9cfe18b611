export { type BlockDevice, BlockError, type BlockErrorCode, type CallOptions } from "./device.ts";
