/** What Identify answers. NVMe Base 2.0 §5.17, NVM Command Set 1.0 §4.1.5. */

import {
  adminCapsuleBytesMax,
  broadcastNsid,
  type CommandOf,
  capsuleCmdBytes,
  cns,
  controllerType,
  csi,
  encodeControllerList,
  encodeNamespaceDescriptors,
  encodeNamespaceList,
  identifyBytes,
  identifyCommandSets,
  identifyController,
  identifyControllerNvm,
  identifyNamespace,
  identifyNamespaceIndependent,
  identifyNamespaceNvm,
  namespaceListMax,
  offsetOf,
} from "../nvme/index.ts";
import { type Answer, failure, successWith } from "./answer.ts";
import type { Controller } from "./controller.ts";
import {
  abortsMax,
  adminQueueEntriesMax,
  asyncEventsMax,
  errorLogEntriesMax,
  keepAliveUnitMs,
  namespacesMax,
  type TargetLimits,
} from "./limits.ts";
import type { Namespace } from "./namespace.ts";

/** VS: the revision that controllers follow, 2.0. */
export const versionBits = 0x00020000;
/** Blocks of a Compare and Write that are compared and written as one (ACWU as a count). */
export const compareAndWriteBlocksMax = 128;

const pageBytes = 4096;
const unitBytes = 16;
/** The only ANA group: this target is every namespace's one and best path. */
export const anaGroup = 1;
const anaTransitionSeconds = 10;
const atCns = offsetOf("identify", "cns");
const atNsid = offsetOf("identify", "nsid");
const atCsi = offsetOf("identify", "csi");
const empty = new Uint8Array(identifyBytes);
const zeroController = identifyController.decode(empty);
const zeroNamespace = identifyNamespace.decode(empty);
const zeroIndependent = identifyNamespaceIndependent.decode(empty);

/** Answers an Identify. */
export function identify(
  controller: Controller,
  limits: TargetLimits,
  command: CommandOf<"identify">,
): Answer {
  const { subsystem } = controller;
  if (command.cns === cns.controller) return successWith(controllerData(controller, limits));
  if (controller.isDiscovery) return failure("invalidField", atCns);
  const namespace = subsystem.namespaces.get(command.nsid);
  const nsids = [...subsystem.namespaces.keys()].sort((a, b) => a - b);
  switch (command.cns) {
    case cns.namespace:
    case cns.allocatedNamespace:
      if (command.nsid === broadcastNsid) return successWith(anyNamespace());
      if (isUnusable(command.nsid)) return failure("invalidNamespace", atNsid);
      return successWith(namespace ? namespaceData(controller, namespace) : empty);
    case cns.activeNamespaces:
    case cns.allocatedNamespaces:
      return listAfter(command.nsid, nsids);
    case cns.commandSetActiveNamespaces:
      if (command.csi !== csi.nvm) return failure("commandSetNotSupported", atCsi);
      return listAfter(command.nsid, nsids);
    case cns.namespaceDescriptors:
      return namespace ? successWith(descriptors(namespace)) : noNamespace();
    case cns.commandSetNamespace:
      if (command.csi !== csi.nvm) return failure("commandSetNotSupported", atCsi);
      if (isUnusable(command.nsid)) return failure("invalidNamespace", atNsid);
      return successWith(identifyNamespaceNvm.encode(identifyNamespaceNvm.decode(empty)));
    case cns.commandSetController:
      // Zeros would say that the command set is there: SPDK's host asks for zoned namespaces so.
      if (command.csi !== csi.nvm) return failure("commandSetNotSupported", atCsi);
      return successWith(identifyControllerNvm.encode(identifyControllerNvm.decode(empty)));
    case cns.independentNamespace:
      if (isUnusable(command.nsid)) return noNamespace();
      return successWith(namespace ? independentData(controller, namespace) : empty);
    case cns.namespaceControllers:
      if (!namespace) return noNamespace();
      return listControllers(controller, command.cntid);
    case cns.controllers:
      return listControllers(controller, command.cntid);
    case cns.commandSets:
      return successWith(commandSets());
    default:
      return failure("invalidField", atCns);
  }
}

/** Whether a host may not write to a namespace, for whatever reason. */
export function isReadOnlyFor(controller: Controller, namespace: Namespace): boolean {
  return namespace.isWriteProtected || controller.host.access.readOnly === true;
}

function noNamespace(): Answer {
  return failure("invalidNamespace", atNsid);
}

function isUnusable(nsid: number): boolean {
  return nsid === 0 || nsid > namespacesMax;
}

function listAfter(nsid: number, nsids: readonly number[]): Answer {
  if (nsid >= broadcastNsid - 1) return failure("invalidNamespace", atNsid);
  const listed = nsids.filter((candidate) => candidate > nsid).slice(0, namespaceListMax);
  return successWith(encodeNamespaceList(listed));
}

function listControllers(controller: Controller, from: number): Answer {
  const cntlids = [...controller.subsystem.controllers.keys()].sort((a, b) => a - b);
  return successWith(encodeControllerList(cntlids.filter((cntlid) => cntlid >= from)));
}

/** Combination 0: the NVM command set alone. */
function commandSets(): Uint8Array {
  const { vectors } = identifyCommandSets.decode(empty);
  return identifyCommandSets.encode({ vectors: [1n, ...vectors.slice(1)] });
}

function descriptors({ options, nguid }: Namespace): Uint8Array {
  const { uuid, eui64 } = options;
  return encodeNamespaceDescriptors({
    ...(eui64 === undefined ? {} : { eui64 }),
    ...(nguid === undefined ? {} : { nguid }),
    uuid,
    csi: csi.nvm,
  });
}

function controllerData(controller: Controller, limits: TargetLimits): Uint8Array {
  const { subsystem, isDiscovery } = controller;
  const zero = zeroController;
  const common = {
    ...zero,
    sn: subsystem.serial,
    mn: subsystem.model,
    fr: subsystem.firmware,
    mdts: Math.log2(limits.transferBytesMax / pageBytes),
    cntlid: controller.cntlid,
    ver: versionBits,
    ctratt: { ...zero.ctratt, hids: true, tbkas: true },
    acl: abortsMax,
    aerl: asyncEventsMax,
    frmw: { ...zero.frmw, slot1ReadOnly: true, slots: 1 },
    lpa: { ...zero.lpa, smartPerNamespace: true, effects: true, extended: true },
    elpe: errorLogEntriesMax,
    kas: keepAliveUnitMs / 100,
    maxcmd: isDiscovery ? adminQueueEntriesMax : limits.queueEntriesMax,
    sgls: { ...zero.sgls, support: 1 },
    sglsMore: { ...zero.sglsMore, inCapsuleOffset: true, transportDataBlock: true },
    subnqn: subsystem.nqn,
    iorcsz: 1,
    msdbd: 1,
  };
  const capsuleBytes = isDiscovery ? adminCapsuleBytesMax : limits.capsuleDataBytesMax;
  const ioccsz = (capsuleCmdBytes - 8 + capsuleBytes) / unitBytes;
  if (isDiscovery) {
    const oaes = discoveryEvents;
    return identifyController.encode({
      ...common,
      oaes,
      ioccsz,
      cntrltype: controllerType.discovery,
      dctype: 1,
    });
  }
  return identifyController.encode({
    ...common,
    oaes: namespaceEvents,
    ioccsz,
    cntrltype: controllerType.io,
    cmic: { ...zero.cmic, multiPort: true, multiController: true, ana: true },
    anatt: anaTransitionSeconds,
    anacap: { ...zero.anacap, optimized: true },
    anagrpmax: 1,
    nanagrpid: 1,
    sqes: { required: 6, maximum: 6 },
    cqes: { required: 4, maximum: 4 },
    nn: namespacesMax,
    mnan: namespacesMax,
    oncs: {
      ...zero.oncs,
      compare: true,
      datasetManagement: true,
      writeZeroes: true,
      reservations: true,
      verify: true,
    },
    fuses: { compareAndWrite: true },
    vwc: { present: true, flushBehavior: flushTakesBroadcast },
    nwpc: { ...zero.nwpc, writeProtect: true },
    acwu: compareAndWriteBlocksMax - 1,
    ofcs: { disconnect: true },
  });
}

/** OAES: Namespace Attribute Notices; Discovery Log Page Change Notices. */
const namespaceEvents = 0x100;
const discoveryEvents = 0x80000000;
/** VWC: Flush takes NSID FFFFFFFFh. */
const flushTakesBroadcast = 3;

/** DLFEAT: what was deallocated reads as zeros. */
const readsZeros = 1;

const reservationCapabilities = {
  persistThroughPowerLoss: false,
  writeExclusive: true,
  exclusiveAccess: true,
  writeExclusiveRegistrantsOnly: true,
  exclusiveAccessRegistrantsOnly: true,
  writeExclusiveAllRegistrants: true,
  exclusiveAccessAllRegistrants: true,
  ignoreExistingKey: true,
};

/** What all namespaces have in common (CNS 00h of FFFFFFFFh). */
function anyNamespace(): Uint8Array {
  const zero = zeroNamespace;
  return identifyNamespace.encode({
    ...zero,
    rescap: reservationCapabilities,
    nmic: { shared: true },
    lbaf: zero.lbaf.map((format, index) => (index === 0 ? { ...format, lbads: 9 } : format)),
  });
}

function namespaceData(controller: Controller, namespace: Namespace): Uint8Array {
  const { blockSizeBytes, blockShift, options } = namespace;
  const zero = zeroNamespace;
  const blocks = BigInt(namespace.blocks);
  const { physicalBlockSizeBytes = blockSizeBytes, optimalIoBytes = 0 } = options;
  const inBlocks = (bytes: number) => Math.max(1, Math.floor(bytes / blockSizeBytes));
  const physical = inBlocks(physicalBlockSizeBytes);
  const optimal = optimalIoBytes === 0 ? physical : inBlocks(optimalIoBytes);
  const hasHints = physical > 1 || optimalIoBytes > 0;
  return identifyNamespace.encode({
    ...zero,
    nsze: blocks,
    ncap: blocks,
    nuse: blocks,
    nsfeat: { ...zero.nsfeat, optperf: hasHints },
    nmic: { shared: true },
    rescap: reservationCapabilities,
    // A range that is deallocated reads as zeros, or as before where the device did nothing.
    dlfeat: { ...zero.dlfeat, readBehavior: readsZeros, writeZeroesDeallocate: true },
    nvmcap: blocks * BigInt(blockSizeBytes),
    ...(hasHints
      ? { npwg: physical, npwa: physical, npdg: physical, npda: physical, nows: optimal }
      : {}),
    anagrpid: anaGroup,
    nsattr: { writeProtected: isReadOnlyFor(controller, namespace) },
    nguid: hexBytes(namespace.nguid, zero.nguid),
    eui64: hexBytes(options.eui64, zero.eui64),
    lbaf: zero.lbaf.map((format, index) =>
      index === 0 ? { ...format, lbads: blockShift } : format,
    ),
  });
}

function independentData(controller: Controller, namespace: Namespace): Uint8Array {
  return identifyNamespaceIndependent.encode({
    ...zeroIndependent,
    nmic: { shared: true },
    rescap: rescapByte,
    anagrpid: anaGroup,
    nsattr: { writeProtected: isReadOnlyFor(controller, namespace) },
    nstat: { ready: true },
  });
}

/** RESCAP as CNS 08h has it: all types, keys may be ignored, nothing survives loss of power. */
const rescapByte = 0xfe;

function hexBytes(text: string | undefined, none: Uint8Array): Uint8Array {
  return text === undefined ? none : Uint8Array.from(Buffer.from(text, "hex"));
}
