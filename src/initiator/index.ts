export type { ExecuteOptions } from "./channel.ts";
export {
  Controller,
  type ControllerEvent,
  type ControllerOptions,
  connectController,
  connectControllerOver,
} from "./controller.ts";
export {
  type AddressChoice,
  addressOf,
  type DiscoverOptions,
  type DiscoveryEntry,
  type DiscoverySubject,
  discover,
  discoverOver,
  discoveryEntriesMax,
} from "./discover.ts";
export { type Address, dialTcp } from "./driver-socket.ts";
export { InitiatorError, type InitiatorErrorCode, type InitiatorFacts } from "./error.ts";
export type { HostOptions } from "./host.ts";
export type { NamespaceInfo } from "./namespace.ts";
export { RemoteDisk } from "./remote-disk.ts";
export type { Transfer } from "./transfer.ts";
export type {
  Dial,
  InitiatorEvent,
  InitiatorLog,
  Transport,
  TransportHandlers,
} from "./transport.ts";
