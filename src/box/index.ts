export { type GrantedConnection, grantedConnection } from "./access.ts";
export type { Sighting } from "./announcement.ts";
export { assertOffered, chooseDisk, type DiskChoice } from "./choose.ts";
export { findAddress } from "./driver-address.ts";
export { LastingChannel } from "./driver-channel.ts";
export { type FindOptions, findAll, findBox } from "./driver-find.ts";
export { type Home, type HomeOptions, readHome, writeKnownBoxes } from "./driver-home.ts";
export {
  findProgram,
  machineHostnqn,
  numericAddress,
  readControllers,
  runSteps,
} from "./driver-kernel.ts";
export {
  BoxSession,
  openSession,
  type ReachOptions,
  sshTargetOf,
} from "./driver-session.ts";
export {
  readSeenBoxes,
  rememberSeenBoxes,
  sendMagicPackets,
  type WakeTo,
} from "./driver-wake.ts";
export { BoxError, type BoxErrorCode } from "./error.ts";
export { type GrantChannel, type GrantEvent, type GrantRequest, HeldGrant } from "./grant.ts";
export {
  devicePath,
  isFor,
  type KernelConnection,
  type KernelController,
  type KernelStep,
  planConnect,
  planDisconnect,
  planForget,
  waitsElsewhere,
} from "./kernel.ts";
export { addKnownBox, type KnownBox } from "./known.ts";
export { type Place, placeOfAddress, portAt } from "./place.ts";
export { type SeenBox, seenBoxOf } from "./seen.ts";
export { type SshTarget, sshArguments } from "./ssh.ts";
export { strangerError } from "./stranger.ts";
