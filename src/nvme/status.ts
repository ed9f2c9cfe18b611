/**
 * Completion status: the field as it lies on the wire, and the names of its codes.
 * NVMe Base 2.0 §3.3.3.2.1; fabrics codes: NVMe-oF 1.1 §3 and Base 2.0 figure 105.
 */

import { bits, flag, layout } from "../bytes/index.ts";

/** The two bytes at the end of a completion queue entry; `p` is reserved over fabrics. */
export const statusField = layout("Status Field", 2, {
  status: bits(2, { p: flag, sc: 8, sct: 3, crd: 2, more: flag, dnr: flag }),
});

/** A status as a value. */
export interface Status {
  /** Status Code Type: 0 generic, 1 command specific, 2 media, 3 path, 7 vendor. */
  readonly sct: number;
  /** Status Code. */
  readonly sc: number;
  /** Command Retry Delay: 0 none, else which CRDT of Identify Controller applies. */
  readonly crd: number;
  /** There is more about it in the Error Information log page. */
  readonly more: boolean;
  /** Do Not Retry: the same command will fail again. */
  readonly dnr: boolean;
}

/** Reads the 16 bits of a completion's status field. */
export function decodeStatus(raw: number): Status {
  const bytes = Uint8Array.of(raw % 256, Math.floor(raw / 256));
  const { sct, sc, crd, more, dnr } = statusField.decode(bytes).status;
  return { sct, sc, crd, more, dnr };
}

/** The 16 bits of a status field, phase bit 0. */
export function encodeStatus(status: Status): number {
  const bytes = statusField.encode({ status: { p: false, ...status } });
  return bytes[0]! + bytes[1]! * 256;
}

/** A status by the name of its code. */
export function statusOf(name: StatusName, options: { readonly dnr?: boolean } = {}): Status {
  const [sct, sc] = statusCodes[name];
  return { sct, sc, crd: 0, more: false, dnr: options.dnr ?? false };
}

/**
 * A refusal by the name of its code, with DNR set unless the same command may succeed later: a
 * host that is told so repeats the command until it gives up, one that is not fails at once.
 */
export function refusal(name: StatusName): Status {
  return statusOf(name, { dnr: name !== "success" && !isTransient(name) });
}

/** True for a code whose cause passes: the same command may succeed later, here or elsewhere. */
export function isTransient(name: StatusName): boolean {
  return transient.has(name);
}

/** What a status code is called and means. */
export interface StatusMeaning {
  /** Name of the table below, or `unknown`. */
  readonly name: StatusName | "unknown";
  /** The specification's words, in short. */
  readonly meaning: string;
  /** Whether the same command may succeed later: DNR is clear, or the code says so itself. */
  readonly retryable: boolean;
}

/** Looks a status up; commands of the fabrics type have their own meanings from 1/80h on. */
export function describeStatus(status: Status, fabrics = false): StatusMeaning {
  const key = status.sct * 256 + status.sc;
  const name = (fabrics ? fabricsNames.get(key) : undefined) ?? names.get(key);
  const meaning = name === undefined ? "a code without a name" : statusCodes[name][2];
  return { name: name ?? "unknown", meaning, retryable: !status.dnr };
}

/** Each code: [SCT, SC, meaning]. Those named `connect…`, `…discovery` are of fabrics commands. */
export const statusCodes = {
  success: [0, 0x00, "successful completion"],
  invalidOpcode: [0, 0x01, "invalid command opcode"],
  invalidField: [0, 0x02, "invalid field in command"],
  commandIdConflict: [0, 0x03, "command identifier already in use"],
  dataTransferError: [0, 0x04, "data transfer error"],
  powerLoss: [0, 0x05, "aborted due to power loss notification"],
  internalError: [0, 0x06, "internal error"],
  abortRequested: [0, 0x07, "command abort requested"],
  abortedQueueDeleted: [0, 0x08, "aborted because its queue was deleted"],
  fusedFailed: [0, 0x09, "the other command of the fused pair failed"],
  fusedMissing: [0, 0x0a, "the other command of the fused pair is missing"],
  invalidNamespace: [0, 0x0b, "invalid namespace or format"],
  commandSequence: [0, 0x0c, "command sequence error"],
  sglInvalidLast: [0, 0x0d, "invalid SGL segment descriptor"],
  sglInvalidCount: [0, 0x0e, "invalid number of SGL descriptors"],
  sglInvalidData: [0, 0x0f, "data SGL length invalid"],
  sglInvalidMetadata: [0, 0x10, "metadata SGL length invalid"],
  sglInvalidType: [0, 0x11, "SGL descriptor type invalid"],
  invalidCmbUse: [0, 0x12, "invalid use of the controller memory buffer"],
  prpInvalidOffset: [0, 0x13, "PRP offset invalid"],
  atomicWriteExceeded: [0, 0x14, "atomic write unit exceeded"],
  operationDenied: [0, 0x15, "operation denied"],
  sglInvalidOffset: [0, 0x16, "SGL offset invalid"],
  hostIdFormat: [0, 0x18, "host identifier inconsistent format"],
  keepAliveExpired: [0, 0x19, "keep alive timer expired"],
  keepAliveInvalid: [0, 0x1a, "keep alive timeout invalid"],
  preempted: [0, 0x1b, "aborted due to preempt and abort"],
  sanitizeFailed: [0, 0x1c, "sanitize failed"],
  sanitizeInProgress: [0, 0x1d, "sanitize in progress"],
  sglGranularity: [0, 0x1e, "SGL data block granularity invalid"],
  commandNotForCmb: [0, 0x1f, "command not supported for a queue in the controller memory buffer"],
  namespaceWriteProtected: [0, 0x20, "namespace is write protected"],
  commandInterrupted: [0, 0x21, "command interrupted"],
  transientTransport: [0, 0x22, "transient transport error"],
  prohibitedByLockdown: [0, 0x23, "prohibited by command and feature lockdown"],
  mediaNotReady: [0, 0x24, "admin command media not ready"],
  invalidKeyTag: [0, 0x25, "invalid key tag"],
  hostDispersedOff: [0, 0x26, "host does not support dispersed namespaces"],
  hostIdNotSet: [0, 0x27, "host identifier not initialized"],
  incorrectKey: [0, 0x28, "incorrect key"],
  fdpDisabled: [0, 0x29, "flexible data placement disabled"],
  invalidPlacementList: [0, 0x2a, "invalid placement handle list"],
  lbaOutOfRange: [0, 0x80, "LBA out of range"],
  capacityExceeded: [0, 0x81, "capacity exceeded"],
  namespaceNotReady: [0, 0x82, "namespace not ready"],
  reservationConflict: [0, 0x83, "reservation conflict"],
  formatInProgress: [0, 0x84, "format in progress"],
  completionQueueInvalid: [1, 0x00, "completion queue invalid"],
  invalidQueueId: [1, 0x01, "invalid queue identifier"],
  invalidQueueSize: [1, 0x02, "invalid queue size"],
  abortLimitExceeded: [1, 0x03, "abort command limit exceeded"],
  asyncEventLimit: [1, 0x05, "asynchronous event request limit exceeded"],
  invalidFirmwareSlot: [1, 0x06, "invalid firmware slot"],
  invalidFirmwareImage: [1, 0x07, "invalid firmware image"],
  invalidInterruptVector: [1, 0x08, "invalid interrupt vector"],
  invalidLogPage: [1, 0x09, "invalid log page"],
  invalidFormat: [1, 0x0a, "invalid format"],
  firmwareNeedsConventionalReset: [1, 0x0b, "firmware activation requires conventional reset"],
  invalidQueueDeletion: [1, 0x0c, "invalid queue deletion"],
  featureNotSaveable: [1, 0x0d, "feature identifier not saveable"],
  featureNotChangeable: [1, 0x0e, "feature not changeable"],
  featureNotPerNamespace: [1, 0x0f, "feature not namespace specific"],
  firmwareNeedsSubsystemReset: [1, 0x10, "firmware activation requires NVM subsystem reset"],
  firmwareNeedsControllerReset: [1, 0x11, "firmware activation requires controller reset"],
  firmwareNeedsTime: [1, 0x12, "firmware activation requires maximum time violation"],
  firmwareProhibited: [1, 0x13, "firmware activation prohibited"],
  overlappingRange: [1, 0x14, "overlapping range"],
  namespaceInsufficientCapacity: [1, 0x15, "namespace insufficient capacity"],
  namespaceIdUnavailable: [1, 0x16, "namespace identifier unavailable"],
  namespaceAttached: [1, 0x18, "namespace already attached"],
  namespacePrivate: [1, 0x19, "namespace is private"],
  namespaceNotAttached: [1, 0x1a, "namespace not attached"],
  thinProvisioningUnsupported: [1, 0x1b, "thin provisioning not supported"],
  controllerListInvalid: [1, 0x1c, "controller list invalid"],
  selfTestInProgress: [1, 0x1d, "device self-test in progress"],
  bootPartitionWriteProhibited: [1, 0x1e, "boot partition write prohibited"],
  invalidControllerId: [1, 0x1f, "invalid controller identifier"],
  invalidSecondaryState: [1, 0x20, "invalid secondary controller state"],
  invalidResourceCount: [1, 0x21, "invalid number of controller resources"],
  invalidResourceId: [1, 0x22, "invalid resource identifier"],
  sanitizeProhibited: [1, 0x23, "sanitize prohibited while persistent memory region is enabled"],
  anaGroupInvalid: [1, 0x24, "ANA group identifier invalid"],
  anaAttachFailed: [1, 0x25, "ANA attach failed"],
  insufficientCapacity: [1, 0x26, "insufficient capacity"],
  attachmentLimit: [1, 0x27, "namespace attachment limit exceeded"],
  prohibitionUnsupported: [1, 0x28, "prohibition of command execution not supported"],
  commandSetNotSupported: [1, 0x29, "I/O command set not supported"],
  commandSetNotEnabled: [1, 0x2a, "I/O command set not enabled"],
  commandSetCombination: [1, 0x2b, "I/O command set combination rejected"],
  invalidCommandSet: [1, 0x2c, "invalid I/O command set"],
  identifierUnavailable: [1, 0x2d, "identifier unavailable"],
  namespaceDispersed: [1, 0x2e, "namespace is dispersed"],
  invalidDiscovery: [1, 0x2f, "invalid discovery information"],
  zoningLocked: [1, 0x30, "zoning data structure locked"],
  zoningNotFound: [1, 0x31, "zoning data structure not found"],
  insufficientDiscoveryResources: [1, 0x32, "insufficient discovery resources"],
  functionDisabled: [1, 0x33, "requested function disabled"],
  zoneGroupInvalid: [1, 0x34, "zone group originator invalid"],
  conflictingAttributes: [1, 0x80, "conflicting attributes"],
  invalidProtection: [1, 0x81, "invalid protection information"],
  writeToReadOnly: [1, 0x82, "attempted write to a read-only range"],
  commandSizeExceeded: [1, 0x83, "command size limit exceeded"],
  connectIncompatibleFormat: [1, 0x80, "connect: incompatible format"],
  connectControllerBusy: [1, 0x81, "connect: controller busy"],
  connectInvalidParameters: [1, 0x82, "connect: invalid parameters"],
  connectRestartDiscovery: [1, 0x83, "connect: restart discovery"],
  connectInvalidHost: [1, 0x84, "connect: this host is not allowed"],
  disconnectInvalidQueueType: [1, 0x85, "disconnect: invalid queue type"],
  discoverRestart: [1, 0x90, "discover restart"],
  authenticationRequired: [1, 0x91, "authentication required"],
  writeFault: [2, 0x80, "write fault"],
  unrecoveredRead: [2, 0x81, "unrecovered read error"],
  guardCheck: [2, 0x82, "end-to-end guard check error"],
  applicationTagCheck: [2, 0x83, "end-to-end application tag check error"],
  referenceTagCheck: [2, 0x84, "end-to-end reference tag check error"],
  compareFailure: [2, 0x85, "compare failure"],
  accessDenied: [2, 0x86, "access denied"],
  unwrittenBlock: [2, 0x87, "deallocated or unwritten logical block"],
  storageTagCheck: [2, 0x88, "end-to-end storage tag check error"],
  internalPathError: [3, 0x00, "internal path error"],
  anaPersistentLoss: [3, 0x01, "asymmetric access persistent loss"],
  anaInaccessible: [3, 0x02, "asymmetric access inaccessible"],
  anaTransition: [3, 0x03, "asymmetric access transition"],
  controllerPathError: [3, 0x60, "controller pathing error"],
  hostPathError: [3, 0x70, "host pathing error"],
  abortedByHost: [3, 0x71, "command aborted by host"],
} as const satisfies Readonly<Record<string, readonly [number, number, string]>>;

/** Name of a status code, in `statusCodes`. */
export type StatusName = keyof typeof statusCodes;

const transient: ReadonlySet<StatusName> = new Set<StatusName>([
  "commandIdConflict",
  "powerLoss",
  "internalError",
  "abortRequested",
  "abortedQueueDeleted",
  "keepAliveExpired",
  "preempted",
  "sanitizeInProgress",
  "commandInterrupted",
  "transientTransport",
  "mediaNotReady",
  "namespaceNotReady",
  "formatInProgress",
  "selfTestInProgress",
  "connectControllerBusy",
  "connectRestartDiscovery",
  "discoverRestart",
  "internalPathError",
  "anaInaccessible",
  "anaTransition",
  "controllerPathError",
  "hostPathError",
  "abortedByHost",
]);

const fabricsOnly: ReadonlySet<StatusName> = new Set<StatusName>([
  "connectIncompatibleFormat",
  "connectControllerBusy",
  "connectInvalidParameters",
  "connectRestartDiscovery",
  "connectInvalidHost",
  "disconnectInvalidQueueType",
  "discoverRestart",
  "authenticationRequired",
]);
const names = namesOf((name) => !fabricsOnly.has(name) || statusCodes[name][1] >= 0x84);
const fabricsNames = namesOf((name) => fabricsOnly.has(name));

function namesOf(wanted: (name: StatusName) => boolean): ReadonlyMap<number, StatusName> {
  const all = Object.keys(statusCodes) as StatusName[];
  return new Map(
    all.filter(wanted).map((name) => [statusCodes[name][0] * 256 + statusCodes[name][1], name]),
  );
}
