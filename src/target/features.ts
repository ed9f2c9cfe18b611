/** What Get and Set Features do. NVMe Base 2.0 §5.15 and §5.27, NVM Command Set 1.0 §4.1.3. */

import {
  broadcastNsid,
  type CommandOf,
  dword,
  dwordOf,
  errorRecovery,
  feature,
  type featureScope,
  keepAliveTimer,
  numberOfQueues,
  offsetOf,
  volatileWriteCache,
  writeProtectState,
} from "../nvme/index.ts";
import { type Answer, type Call, failure, success } from "./answer.ts";
import type { Controller } from "./controller.ts";
import { isReadOnlyFor } from "./identify.ts";
import { keepAliveUnitMs, type TargetLimits } from "./limits.ts";

/** Byte offsets in the command: NSID, FID, SEL and SV, CDW11. */
const at = {
  nsid: offsetOf("setFeatures", "nsid"),
  fid: offsetOf("setFeatures", "fid"),
  select: offsetOf("getFeatures", "select"),
  save: offsetOf("setFeatures", "save"),
  cdw11: offsetOf("setFeatures", "cdw11"),
};

/** Features whose value is taken and given back, and changes nothing. */
const remembered: readonly number[] = [
  feature.arbitration,
  feature.temperatureThreshold,
  feature.writeAtomicity,
];
/** Features of an I/O controller, and what their values belong to. */
const ofIo: FeatureScopes = new Map([
  [feature.arbitration, "controller"],
  [feature.powerManagement, "controller"],
  [feature.temperatureThreshold, "controller"],
  [feature.errorRecovery, "namespace"],
  [feature.volatileWriteCache, "controller"],
  [feature.numberOfQueues, "controller"],
  [feature.writeAtomicity, "controller"],
  [feature.asyncEventConfiguration, "controller"],
  [feature.keepAliveTimer, "controller"],
  [feature.hostBehavior, "controller"],
  [feature.commandSetProfile, "controller"],
  [feature.hostIdentifier, "controller"],
  [feature.reservationMask, "namespace"],
  [feature.reservationPersistence, "namespace"],
  [feature.namespaceWriteProtect, "namespace"],
]);
/** Features of a discovery controller. */
const ofDiscovery: FeatureScopes = new Map([
  [feature.asyncEventConfiguration, "controller"],
  [feature.keepAliveTimer, "controller"],
]);

type FeatureScopes = ReadonlyMap<number, keyof typeof featureScope>;

/** Features that a controller has, and what their values belong to. */
export function featuresOf({ isDiscovery }: Controller): FeatureScopes {
  return isDiscovery ? ofDiscovery : ofIo;
}
const hostBehaviorBytes = 512;
/** Longest data of a feature: what is more of it is refused by its length. */
const featureDataBytesMax = 4096;

/** Answers a Get Features. */
export function getFeatures(
  controller: Controller,
  limits: TargetLimits,
  { command, lengthBytes }: Call<CommandOf<"getFeatures">>,
): Answer {
  const { fid, nsid, select } = command;
  if (select.sel !== 0) return failure("invalidField", at.select);
  if (!featuresOf(controller).has(fid)) return failure("invalidField", at.fid);
  if (remembered.includes(fid)) return success(controller.remembered.get(fid) ?? 0);
  switch (fid) {
    case feature.powerManagement:
    case feature.commandSetProfile:
    case feature.reservationPersistence:
      return success();
    case feature.errorRecovery:
      return success(controller.remembered.get(fid) ?? 0);
    case feature.volatileWriteCache:
      return success(
        dwordOf(volatileWriteCache.encode({ bits: { wce: !controller.isWriteThrough } })),
      );
    case feature.numberOfQueues:
      return success(queueGrant(limits.ioQueuesMax, limits.ioQueuesMax));
    case feature.asyncEventConfiguration:
      return success(controller.eventConfiguration);
    case feature.keepAliveTimer:
      return success(controller.katoMs);
    case feature.hostBehavior:
      return padded(controller.hostBehavior, lengthBytes);
    case feature.hostIdentifier:
      if (command.cdw11 % 2 === 0) return failure("invalidField", at.cdw11);
      return padded(Buffer.from(controller.host.hostid, "hex"), lengthBytes);
    case feature.reservationMask:
      if (!controller.subsystem.namespaces.has(nsid)) return failure("invalidNamespace", at.nsid);
      return success(controller.reservationMask.get(nsid) ?? 0);
    case feature.namespaceWriteProtect:
      return getWriteProtect(controller, nsid);
    default:
      return failure("invalidField", at.fid);
  }
}

/** Answers a Set Features. */
export function setFeatures(
  controller: Controller,
  limits: TargetLimits,
  { command, data }: Call<CommandOf<"setFeatures">>,
): Answer {
  const { fid, nsid, cdw11, save } = command;
  if (save.sv) return failure("featureNotSaveable", at.save, 7);
  if (!featuresOf(controller).has(fid)) return failure("invalidField", at.fid);
  if (remembered.includes(fid)) {
    controller.remembered.set(fid, cdw11);
    return success();
  }
  switch (fid) {
    case feature.powerManagement:
    case feature.commandSetProfile:
    case feature.reservationPersistence:
      // There is one power state, one combination of command sets, and nothing persists.
      return cdw11 % 32 === 0 ? success() : failure("invalidField", at.cdw11);
    case feature.errorRecovery:
      if (errorRecovery.decode(dword(cdw11)).behavior.dulbe)
        return failure("invalidField", at.cdw11 + 2);
      controller.remembered.set(fid, cdw11);
      return success();
    case feature.volatileWriteCache:
      controller.isWriteThrough = !volatileWriteCache.decode(dword(cdw11)).bits.wce;
      return success();
    case feature.numberOfQueues:
      return setQueues(controller, limits, cdw11);
    case feature.asyncEventConfiguration:
      controller.eventConfiguration = cdw11;
      return success();
    case feature.keepAliveTimer: {
      const { kato } = keepAliveTimer.decode(dword(cdw11));
      controller.katoMs = Math.ceil(kato / keepAliveUnitMs) * keepAliveUnitMs;
      return success(controller.katoMs);
    }
    case feature.hostBehavior:
      if (data.length < hostBehaviorBytes) return failure("sglInvalidData");
      controller.hostBehavior = data.slice(0, hostBehaviorBytes);
      return success();
    case feature.hostIdentifier:
      // Over fabrics, Connect has said it.
      return failure("commandSequence", at.fid);
    case feature.reservationMask:
      return setReservationMask(controller, nsid, cdw11);
    case feature.namespaceWriteProtect:
      return setWriteProtect(controller, nsid, cdw11);
    default:
      return failure("invalidField", at.fid);
  }
}

function padded(value: Uint8Array, lengthBytes: number): Answer {
  const data = new Uint8Array(Math.min(lengthBytes, featureDataBytesMax));
  data.set(value.subarray(0, lengthBytes));
  return { status: 0, dw0: 0, dw1: 0, data };
}

/** The dword for so many submission and completion queues. */
function queueGrant(nsq: number, ncq: number): number {
  return dwordOf(numberOfQueues.encode({ nsq, ncq }));
}

function setQueues(controller: Controller, limits: TargetLimits, cdw11: number): Answer {
  const { nsq, ncq } = numberOfQueues.decode(dword(cdw11));
  if (controller.ioQueues.size > 0) return failure("commandSequence", at.fid);
  if (nsq > 65535 || ncq > 65535) return failure("invalidField", at.cdw11);
  const granted = Math.min(nsq, ncq, limits.ioQueuesMax);
  return success(queueGrant(granted, granted));
}

function setReservationMask(controller: Controller, nsid: number, cdw11: number): Answer {
  const { namespaces } = controller.subsystem;
  if (nsid !== broadcastNsid && !namespaces.has(nsid)) return failure("invalidNamespace", at.nsid);
  for (const one of nsid === broadcastNsid ? namespaces.keys() : [nsid]) {
    controller.reservationMask.set(one, cdw11);
  }
  return success();
}

function getWriteProtect(controller: Controller, nsid: number): Answer {
  const namespace = controller.subsystem.namespaces.get(nsid);
  if (!namespace) return failure("invalidNamespace", at.nsid);
  // NWPC has this state alone, and no other that would stand for what hosts cannot change.
  const isProtected = isReadOnlyFor(controller, namespace);
  return success(isProtected ? writeProtectState.writeProtect : writeProtectState.none);
}

function setWriteProtect(controller: Controller, nsid: number, cdw11: number): Answer {
  const namespace = controller.subsystem.namespaces.get(nsid);
  if (!namespace) return failure("invalidNamespace", at.nsid);
  const wanted = cdw11 % 8;
  if (wanted !== writeProtectState.none && wanted !== writeProtectState.writeProtect) {
    return failure("invalidField", at.cdw11);
  }
  if (namespace.isReadOnly || controller.host.access.readOnly) {
    return failure("featureNotChangeable", at.fid);
  }
  if (namespace.writeProtect !== wanted) {
    namespace.writeProtect = wanted;
    controller.subsystem.namespaceChanged(nsid);
  }
  return success();
}
