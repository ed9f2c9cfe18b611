/** What Get Log Page answers. NVMe Base 2.0 §5.16. */

import { toNumber } from "../bytes/index.ts";
import {
  type AsyncEventName,
  anaState,
  broadcastNsid,
  type CommandEffects,
  type CommandName,
  type CommandOf,
  changedNamespacesOverflow,
  commands,
  csi,
  dataUnitBytes,
  encodeAnaLog,
  encodeCommandsSupported,
  encodeFeaturesSupported,
  encodeNamespaceList,
  encodeSupportedLogPages,
  fabricsOpcode,
  firmwareSlotLog,
  logPage,
  offsetOf,
  reservationNotification,
  reservationNotificationType,
  smartLog,
} from "../nvme/index.ts";
import { type Answer, failure, successWith } from "./answer.ts";
import type { Controller } from "./controller.ts";
import { featuresOf } from "./features.ts";
import { anaGroup } from "./identify.ts";
import { answerBytesMax, type TargetLimits } from "./limits.ts";
import type { Namespace } from "./namespace.ts";

/** What log pages tell beside what the controller knows. */
export interface LogSources {
  readonly limits: TargetLimits;
  /** Since the target was made. */
  readonly uptimeMs: number;
  /** The Discovery log page for the asking controller's host. */
  discoveryLog(): Uint8Array;
}

/** Byte offsets of fields in the command: LID, NUMDL, LPOL; NSID. */
const at = {
  nsid: offsetOf("getLogPage", "nsid"),
  lid: offsetOf("getLogPage", "lid"),
  numd: offsetOf("getLogPage", "numd"),
  lpo: offsetOf("getLogPage", "lpo"),
  offsetType: offsetOf("getLogPage", "offset"),
};

const ioPages: readonly number[] = [
  logPage.supportedLogPages,
  logPage.errorInformation,
  logPage.smart,
  logPage.firmwareSlot,
  logPage.changedNamespaces,
  logPage.commandsSupported,
  logPage.ana,
  logPage.featuresSupported,
  logPage.reservationNotification,
];
const discoveryPages: readonly number[] = [
  logPage.supportedLogPages,
  logPage.errorInformation,
  logPage.smart,
  logPage.commandsSupported,
  logPage.featuresSupported,
  logPage.discovery,
];

/** Answers a Get Log Page. */
export function getLogPage(
  controller: Controller,
  sources: LogSources,
  command: CommandOf<"getLogPage">,
): Answer {
  const { lid, numd, lpo, specific, offset: offsetType } = command;
  const pages = controller.isDiscovery ? discoveryPages : ioPages;
  if (!pages.includes(lid)) return failure("invalidLogPage", at.lid);
  // No page has an index that an offset could count in.
  if (offsetType.ot) return failure("invalidField", at.offsetType, 7);
  const lengthBytes = numd * 4;
  const longest = Math.min(answerBytesMax, sources.limits.transferBytesMax);
  if (lengthBytes > longest) return failure("invalidField", at.numd);
  if (lpo % 4n !== 0n || lpo > BigInt(longest) * 1024n) return failure("invalidField", at.lpo);
  const page = makePage(controller, sources, command);
  if ("status" in page) return page;
  const offset = toNumber(lpo);
  if (offset > page.length) return failure("invalidField", at.lpo);
  const data = new Uint8Array(lengthBytes);
  data.set(page.subarray(offset, offset + lengthBytes));
  if (!specific.rae) wasRead(controller, lid);
  return successWith(data);
}

/** A page was read by a host that has done with it: what it told of may be told again. */
function wasRead(controller: Controller, lid: number): void {
  if (lid === logPage.changedNamespaces) controller.clearChangedNamespaces();
  if (lid === logPage.reservationNotification) controller.reservationNotices.shift();
  const event = rearms.get(lid);
  if (event) controller.rearm(event);
}

const rearms: ReadonlyMap<number, AsyncEventName> = new Map([
  [logPage.changedNamespaces, "namespaceAttribute"],
  [logPage.discovery, "discoveryLog"],
  [logPage.ana, "ana"],
  [logPage.reservationNotification, "reservation"],
]);

function makePage(
  controller: Controller,
  sources: LogSources,
  command: CommandOf<"getLogPage">,
): Uint8Array | Answer {
  switch (command.lid) {
    case logPage.supportedLogPages:
      return encodeSupportedLogPages(controller.isDiscovery ? discoveryPages : ioPages);
    case logPage.errorInformation:
      return controller.errors.encode();
    case logPage.smart:
      return smart(controller, sources, command.nsid);
    case logPage.firmwareSlot:
      return firmwareSlot(controller);
    case logPage.changedNamespaces:
      return changedNamespaces(controller);
    case logPage.commandsSupported:
      return commandEffects(controller.isDiscovery, command.csi);
    case logPage.ana:
      return ana(controller, command.specific.lsp % 2 === 1);
    case logPage.featuresSupported:
      return encodeFeaturesSupported(featuresOf(controller));
    case logPage.reservationNotification:
      return reservationNotice(controller);
    default:
      return sources.discoveryLog();
  }
}

function smart(
  controller: Controller,
  { uptimeMs }: LogSources,
  nsid: number,
): Uint8Array | Answer {
  const { namespaces } = controller.subsystem;
  const isAll = nsid === 0 || nsid === broadcastNsid;
  const one = namespaces.get(nsid);
  if (!isAll && !one) return failure("invalidNamespace", at.nsid);
  const counted = one ? [one] : [...namespaces.values()];
  const sum = (value: (namespace: Namespace) => number) =>
    counted.reduce((total, namespace) => total + value(namespace), 0);
  const units = (bytes: number) => BigInt(Math.ceil(bytes / dataUnitBytes));
  const zero = smartLog.decode(new Uint8Array(smartLog.size));
  return smartLog.encode({
    // No Critical Warning: a medium that is read-only by intent is no drive that fails (§5.16.1.3).
    ...zero,
    availableSpare: 100,
    dataUnitsRead: units(sum(({ statistics }) => statistics.read.bytes)),
    dataUnitsWritten: units(sum(({ statistics }) => statistics.write.bytes)),
    hostReads: BigInt(sum(({ statistics }) => statistics.read.operations)),
    hostWrites: BigInt(sum(({ statistics }) => statistics.write.operations)),
    powerCycles: 1n,
    powerOnHours: BigInt(Math.floor(uptimeMs / 3_600_000)),
    mediaErrors: BigInt(sum(({ mediaErrors }) => mediaErrors)),
    errorLogEntries: controller.errors.count,
  });
}

function firmwareSlot({ subsystem }: Controller): Uint8Array {
  const frs = [subsystem.firmware, "", "", "", "", "", ""];
  return firmwareSlotLog.encode({ afi: { active: 1, next: 0 }, frs });
}

function changedNamespaces(controller: Controller): Uint8Array {
  const changed = controller.changedNamespaces;
  return encodeNamespaceList(changed === "many" ? [changedNamespacesOverflow] : changed);
}

const discoveryCommands: readonly CommandName[] = [
  "getLogPage",
  "identify",
  "setFeatures",
  "getFeatures",
  "asyncEventRequest",
  "keepAlive",
];
const writers: readonly CommandName[] = ["write", "writeZeroes", "datasetManagement"];

/** Command sets other than NVM have no commands here. */
function commandEffects(isDiscovery: boolean, set: number): Uint8Array {
  const effects = (set: "admin" | "io"): CommandEffects => {
    const names = (Object.keys(commands) as CommandName[]).filter(
      (name) => commands[name].set === set && (!isDiscovery || discoveryCommands.includes(name)),
    );
    return new Map(
      names.map((name) => [commands[name].opc, writers.includes(name) ? { lbcc: true } : {}]),
    );
  };
  const admin = new Map(effects("admin"));
  admin.set(fabricsOpcode, {});
  return encodeCommandsSupported(admin, isDiscovery || set !== csi.nvm ? new Map() : effects("io"));
}

function ana({ subsystem }: Controller, groupsOnly: boolean): Uint8Array {
  const nsids = groupsOnly ? [] : [...subsystem.namespaces.keys()].sort((a, b) => a - b);
  const group = { anagrpid: anaGroup, chgcnt: 0n, state: anaState.optimized, nsids };
  return encodeAnaLog({ chgcnt: 0n, groups: [group] });
}

/** The oldest notification, and how many follow. */
function reservationNotice({ reservationNotices, reservationNoticeCount }: Controller): Uint8Array {
  const [oldest, ...later] = reservationNotices;
  if (!oldest) return new Uint8Array(reservationNotification.size);
  return reservationNotification.encode({
    lpc: reservationNoticeCount - BigInt(later.length),
    type: reservationNotificationType[oldest.type],
    nalp: Math.min(later.length, 255),
    nsid: oldest.nsid,
  });
}
