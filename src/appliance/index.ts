export { openHashed } from "./driver-hashing.ts";
export { SoftTarget, type SoftTargetOptions } from "./driver-soft-target.ts";
export type { SoftExport } from "./grant-exports.ts";
export { type HashedDisk, hashRanges } from "./hashing.ts";
export type { Disk, Identity } from "./inventory.ts";
export type { Address } from "./network.ts";
export type { Reason, ReasonCode } from "./policy.ts";
export type { DiskRow, DiskState, State } from "./state.ts";
