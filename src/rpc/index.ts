export type { BootState, RunReport } from "./boot-values.ts";
export { type ClientCallOptions, RpcClient } from "./client.ts";
export { type RpcAnswerCode, RpcError, type RpcErrorCode } from "./error.ts";
export {
  grantsMax,
  hashesMax,
  hashItemUnitsMax,
  hashRangesMax,
  idleMs,
  orphanGraceSeconds,
  sessionsMax,
} from "./limits.ts";
export {
  type CallParams,
  type Item,
  type MethodName,
  type Params,
  type Result,
  type StreamingMethod,
  sshSubsystem,
} from "./methods.ts";
export { type Call, type Handlers, RpcSession, type SessionEnd } from "./session.ts";
export type {
  AccessMode,
  BoxDescription,
  BoxEvent,
  DiskView,
  GrantedAccess,
  GrantMode,
  GrantView,
  PeerView,
  UnitDigests,
} from "./values.ts";
export { describeVersionGap, rpcVersion } from "./version.ts";
