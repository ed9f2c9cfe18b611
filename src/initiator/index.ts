export type { AuthenticationOptions } from "./authentication.ts";
export type { ExecuteOptions } from "./channel.ts";
export {
  Controller,
  type ControllerOptions,
  connectController,
  connectControllerOver,
} from "./controller.ts";
export type { ControllerEvent } from "./controller-event.ts";
export {
  type DiscoverOptions,
  discover,
  discoverOver,
  type WatchOptions,
  watchDiscovery,
} from "./discover.ts";
export {
  type AddressChoice,
  addressOf,
  type DiscoveryEntry,
  type DiscoverySubject,
  discoveryEntriesMax,
} from "./discovery-entry.ts";
export type { DiskAbilities } from "./disk-commands.ts";
export { type Address, dialTcp } from "./driver-socket.ts";
export { InitiatorError, type InitiatorErrorCode, type InitiatorFacts } from "./error.ts";
export type { Features, GetFeature, SetFeature, WriteProtection } from "./features.ts";
export type { HostOptions } from "./host.ts";
export type { LogPages, SupportedCommand } from "./logs.ts";
export type { NamespaceIdentifier, NamespaceInfo } from "./namespace.ts";
export type { ReconnectOptions } from "./reconnect.ts";
export { type DeallocateOptions, RemoteDisk, type WriteOptions } from "./remote-disk.ts";
export { type Reservation, readReservation } from "./reservations.ts";
export type { Dials, TlsOptions } from "./security.ts";
export type { Transfer } from "./transfer.ts";
export type {
  Clock,
  Dial,
  InitiatorEvent,
  InitiatorLog,
  Transport,
  TransportHandlers,
} from "./transport.ts";
export type { ByteRange } from "./written-ranges.ts";
