export type { Listening, Referral } from "./discovery.ts";
export {
  createTarget,
  type ListenOptions,
  type RunningTarget,
  type TargetListener,
} from "./driver-listener.ts";
export { TargetError, type TargetErrorCode } from "./error.ts";
export { defaultLimits, type TargetLimits } from "./limits.ts";
export { Namespace, type NamespaceOptions } from "./namespace.ts";
export type { TlsPolicy } from "./secure-channel.ts";
export type { SuccessPolicy } from "./services.ts";
export {
  latencyBuckets,
  type OperationCounts,
  type OperationKind,
  type StatisticsSnapshot,
} from "./statistics.ts";
export { everyHost, type HostAccess, Subsystem, type SubsystemOptions } from "./subsystem.ts";
export { Target, type TargetOptions, type TargetStatistics, type TargetWorld } from "./target.ts";
export type { TlsKey } from "./tls-keys.ts";
export type { Endpoint, TargetEvent, TargetLog, TlsParties, Transport } from "./transport.ts";
