export { type Config, type ParsedConfig, parseConfig } from "./config.ts";
export { ApplianceError, type ApplianceErrorCode } from "./error.ts";
export { boxId } from "./identity.ts";
export type { Disk, Identity } from "./inventory.ts";
export type { Address } from "./network.ts";
export { servicePort } from "./nvmet.ts";
export type { Reason, ReasonCode } from "./policy.ts";
export { formatSize, renderScreen, type ScreenSize } from "./screen.ts";
export type { DiskRow, DiskState, State } from "./state.ts";
